import Foundation

/// Runs `body`, and every program and thread that it starts, in a network of its own that has loopback and nothing else, and with a
/// hosts file and a name server of its own. Sockets that were there before stay in the network that they were made in.
///
/// The calling thread comes back when `body` has ended; a thread that `body` starts stays inside.
package func withOwnNetwork<Result>(
    hosts: String = "127.0.0.1 localhost\n::1 localhost\n", nameServer: String = "127.0.0.1",
    _ body: () throws -> Result
) throws -> Result {
    let before = try ["net", "mnt"].map { name in
        let descriptor = open("/proc/thread-self/ns/\(name)", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SocketError("open") }
        return descriptor
    }
    defer { for descriptor in before { close(descriptor) } }
    guard Namespaces.unshare(Namespaces.network | Namespaces.mounts) == 0 else {
        throw SocketError("unshare")
    }
    defer {
        // Threads that were started inside share the folder that paths begin in; only who has that alone may go elsewhere.
        precondition(Namespaces.unshare(Namespaces.folders) == 0)
        for descriptor in before { precondition(Namespaces.setns(descriptor, 0) == 0) }
    }
    let directory = try TemporaryDirectory()
    try command("mount", "--make-rprivate", "/")
    for (path, text) in [("/etc/hosts", hosts), ("/etc/resolv.conf", "nameserver \(nameServer)\n")] {
        let own = try directory.write(String(path.split(separator: "/").joined(separator: "-")), text)
        try command("mount", "--bind", own, path)
    }
    try command("ip", "link", "set", "lo", "up")
    return try body()
}

/// With the network of that file for the calling thread.
func withNetwork<Result>(_ path: String, _ body: () throws -> Result) throws -> Result {
    let descriptors = ["/proc/thread-self/ns/net", path].map { (path: String) in
        open(path, O_RDONLY | O_CLOEXEC)
    }
    defer { for descriptor in descriptors where descriptor >= 0 { close(descriptor) } }
    guard descriptors[0] >= 0, Namespaces.setns(descriptors[1], Namespaces.network) == 0 else {
        throw SocketError("setns")
    }
    defer { precondition(Namespaces.setns(descriptors[0], Namespaces.network) == 0) }
    return try body()
}

/// A command of the system, which must succeed.
package func command(_ name: String, _ arguments: String...) throws {
    _ = try run("/usr/bin/env", [name] + arguments).succeeded()
}

/// Whether this user may make namespaces.
package let canHaveOwnNetwork = { (try? withOwnNetwork { true }) ?? false }()

private enum Namespaces {
    static let network: Int32 = 0x4000_0000
    static let mounts: Int32 = 0x0002_0000
    static let folders: Int32 = 0x0000_0200

    // The module of the C library leaves out what is Linux's alone.
    static let unshare = unsafeBitCast(
        dlsym(nil, "unshare"), to: (@convention(c) (Int32) -> Int32).self)
    static let setns = unsafeBitCast(
        dlsym(nil, "setns"), to: (@convention(c) (Int32, Int32) -> Int32).self)
}

/// A name server of the test's own on port 53. It says of a name what `answer` gives for the kind of question: addresses, none, or
/// nothing at all.
package final class NameServer: Sendable {
    package enum Kind: UInt16, Sendable {
        case address4 = 1
        case address6 = 28
    }

    private let descriptor: Int32

    package init(
        on host: String = "127.0.0.1", answer: @escaping @Sendable (_ name: String, Kind) -> [String]?
    ) throws {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        descriptor = socket
        try Endpoint.tcp("\(host):53").withSocketAddress { _, address, length in
            guard bind(socket, address, length) == 0 else { throw SocketError("bind") }
        }
        Thread.detachNewThread {
            while Self.serve(socket, answer) {}
            close(socket)
        }
    }

    deinit { shutdown(descriptor, Int32(SHUT_RDWR)) }

    private static func serve(_ socket: Int32, _ answer: (String, Kind) -> [String]?) -> Bool {
        var question = [UInt8](repeating: 0, count: 1_024)
        var from = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &from) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { from in
                let count = recvfrom(socket, &question, question.count, 0, from, &length)
                guard count > 12 else { return false }
                guard let reply = reply(to: Array(question.prefix(count)), answer) else { return true }
                _ = sendto(socket, reply, reply.count, 0, from, length)
                return true
            }
        }
    }

    /// RFC 1035: a header of 12 bytes, the question (labels, kind, class), the answers, each of which points back at the name.
    private static func reply(to query: [UInt8], _ answer: (String, Kind) -> [String]?) -> [UInt8]? {
        var labels: [String] = []
        var place = 12
        while place < query.count, query[place] > 0, place + Int(query[place]) < query.count {
            labels.append(String(decoding: query[(place + 1)...(place + Int(query[place]))], as: UTF8.self))
            place += 1 + Int(query[place])
        }
        guard place + 4 < query.count,
            let kind = Kind(rawValue: UInt16(query[place + 1]) << 8 | UInt16(query[place + 2])),
            let addresses = answer(labels.joined(separator: "."), kind)
        else { return nil }
        var reply = Array(query[0..<2]) + [0x81, 0x80, 0, 1, 0, UInt8(addresses.count), 0, 0, 0, 0]
        reply += query[12..<(place + 5)]
        for address in addresses {
            let bytes = kind == .address4 ? 4 : 16
            var packed = [UInt8](repeating: 0, count: bytes)
            inet_pton(kind == .address4 ? AF_INET : AF_INET6, address, &packed)
            reply += [0xc0, 12, 0, UInt8(kind.rawValue), 0, 1, 0, 0, 0, 60, 0, UInt8(bytes)] + packed
        }
        return reply
    }
}
