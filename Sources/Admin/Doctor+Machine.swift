import CLinux
import Glibc
import Records
import TLS
import Tunnel

extension Doctor {
    mutating func versions() {
        let detail = "goproxy \(Version.number), SQLite \(DatabaseFacts.sqliteVersion), \(openSSLVersion)"
        guard let server = status?.version, server != Version.number else { return ok("versions", detail) }
        warn(
            "versions", "\(detail); the server is \(server)", "use the goproxy-admin of the server's version")
    }

    /// The history stops taking connections when the disk is full: better told before.
    mutating func disk() {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else {
            return fail("disk", "\(directory): \(reason())", "check --data")
        }
        let unit = Int64(status.f_frsize)
        let free = Int64(status.f_bavail) * unit
        let share = status.f_blocks == 0 ? 100 : Int64(status.f_bavail) * 100 / Int64(status.f_blocks)
        let detail = "\(bytesText(free)) free (\(share) %)"
        if status.f_flag & UInt(ST_RDONLY) != 0 {
            fail("disk", "\(directory) is mounted read-only", "mount it for writing")
        } else if free < 64 << 20 {
            fail("disk", detail, "make room: connections are refused when their record finds none")
        } else if free < 1 << 30 || share < 5 {
            warn("disk", detail, "make room, or prune: goproxy-admin history prune --before 365d --dry-run")
        } else {
            ok("disk", detail)
        }
        if status.f_ffree < 1_000, status.f_files > 0 {
            fail("disk", "only \(status.f_ffree) files can be made", "remove files")
        }
    }

    /// One a connection, two a node, some for itself.
    mutating func descriptors() {
        guard let limit = Self.descriptorLimit(of: holder ?? getpid()) else { return }
        let whose = holder == nil ? "here; the server is not running" : "of process \(holder ?? 0)"
        let detail = "\(limit) \(whose)"
        guard limit < 65_536 else { return ok("descriptors", detail) }
        let hint = "LimitNOFILE=65536 in the unit, or minfds in supervisor: each connection takes one"
        limit < 1_024 ? fail("descriptors", detail, hint) : warn("descriptors", detail, hint)
    }

    /// The server raises its own to the hard one.
    private static func descriptorLimit(of pid: Int32) -> Int64? {
        let lines = text(of: "/proc/\(pid)/limits").split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("Max open files") }) else { return nil }
        let numbers = line.split(separator: " ").compactMap { Int64($0) }
        return numbers.last
    }

    /// The history says when; a clock that is set by nobody makes it say something else.
    mutating func clock() {
        var clock = timex()
        let state = adjtimex(&clock)
        if state < 0 {
            warn("clock", "the kernel does not tell: \(reason())", "see that the clock is synchronised")
        } else if state == TIME_ERROR || clock.status & STA_UNSYNC != 0 {
            warn("clock", "is not synchronised", "timedatectl set-ntp true, or run chrony")
        } else {
            ok("clock", "synchronised, off by at most \(clock.maxerror / 1_000) ms")
        }
    }

    /// What only the system can do for links and dials: deploy/systemd/goproxy-network.conf.
    mutating func network() {
        let settings = "/proc/sys/net/ipv4"
        let probing = Self.text(of: "\(settings)/tcp_mtu_probing").prefix { $0.isNumber }
        let reuse = Self.text(of: "\(settings)/tcp_tw_reuse").prefix { $0.isNumber }
        guard !probing.isEmpty, !reuse.isEmpty else { return }
        var faults: [String] = []
        if probing == "0" {
            faults.append(
                "tcp_mtu_probing=0: where a path loses large packets, a transfer stops its whole link")
        }
        if reuse != "1" {
            faults.append(
                "tcp_tw_reuse=\(reuse): some 470 connections a second to one target, if clients end first")
        }
        guard !faults.isEmpty else { return ok("network", "tcp_mtu_probing=\(probing), tcp_tw_reuse=1") }
        warn(
            "network", faults.joined(separator: "; "),
            "install deploy/systemd/goproxy-network.conf in /etc/sysctl.d, here and at the nodes")
    }

    func reason() -> String { String(cString: strerror(errno)) }

    /// All of a small file; empty if it cannot be read.
    static func text(of path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var all: [UInt8] = []
        var bytes = [UInt8](repeating: 0, count: 16_384)
        while all.count < 4 << 20 {
            let count = read(descriptor, &bytes, bytes.count)
            guard count > 0 else { break }
            all += bytes[..<count]
        }
        return String(decoding: all, as: UTF8.self)
    }
}
