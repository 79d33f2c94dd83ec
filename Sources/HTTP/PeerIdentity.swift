import CMicrohttpd
import Glibc

/// Who stands at the other end of a Unix socket, as the kernel noted it when they connected.
package struct PeerIdentity: Equatable, Sendable {
    /// Who logged in, where the process runs as somebody else by now.
    package enum Login: Equatable, Sendable {
        /// The kernel's `loginuid`: set at login, inherited through su and sudo, not to be changed by who has it.
        case kernel(uid: UInt32)
        /// What sudo left in the process's environment. Root may write anything there: a help among friends, no proof.
        case sudo(String)
    }

    package let uid: UInt32
    package let gid: UInt32
    package let pid: Int32
    package let login: Login?

    package init(uid: UInt32, gid: UInt32, pid: Int32, login: Login? = nil) {
        self.uid = uid
        self.gid = gid
        self.pid = pid
        self.login = login
    }

    /// This process.
    package static var own: PeerIdentity {
        let (uid, pid) = (getuid(), getpid())
        return PeerIdentity(uid: uid, gid: getgid(), pid: pid, login: Login.of(pid, uid: uid))
    }

    /// - Parameter descriptor: of the connected socket.
    init?(descriptor: Int32) {
        var peer = goproxy_peer()
        guard goproxy_peer_of(descriptor, &peer) == 1 else { return nil }
        (uid, gid, pid) = (peer.uid, peer.gid, peer.pid)
        // The number may be another process's by now; held by a descriptor it is not, as long as that one lives.
        let process = goproxy_peer_process(descriptor, peer.pid)
        let said = process >= 0 ? Login.of(peer.pid, uid: peer.uid) : nil
        var state = pollfd(fd: process, events: Int16(POLLIN), revents: 0)
        login = process >= 0 && poll(&state, 1, 0) == 0 ? said : nil
        if process >= 0 { close(process) }
    }
}

extension PeerIdentity.Login {
    private static let unset = UInt32.max

    static func of(_ pid: Int32, uid: UInt32) -> Self? {
        let text = String(decoding: read("/proc/\(pid)/loginuid", atMost: 16), as: UTF8.self)
        if let login = UInt32(text), login != unset { return login == uid ? nil : .kernel(uid: login) }
        guard uid == 0 else { return nil }
        return sudoUser(in: read("/proc/\(pid)/environ", atMost: 1 << 17)).map { .sudo($0) }
    }

    /// - Parameter environment: its entries, each with a zero behind it.
    package static func sudoUser(in environment: [UInt8]) -> String? {
        let name = Array("SUDO_USER=".utf8)
        guard let entry = environment.split(separator: 0).first(where: { $0.starts(with: name) }) else {
            return nil
        }
        let value = entry.dropFirst(name.count)
        let isName = value.allSatisfy { byte in
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
                || "._-@".utf8.contains(byte)
        }
        guard isName, 1...32 ~= value.count else { return nil }
        return String(decoding: value, as: UTF8.self)
    }

    private static func read(_ path: String, atMost count: Int) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let more = bytes.withUnsafeMutableBytes {
                Glibc.read(descriptor, $0.baseAddress! + filled, count - filled)
            }
            guard more > 0 else { break }
            filled += more
        }
        return Array(bytes[..<filled])
    }
}
