import CLinux
import Glibc

/// An address as the kernel takes it: IPv4, IPv6 or Unix.
package struct SocketAddress: Equatable, Hashable, Sendable, CustomStringConvertible {
    package enum Family: Sendable {
        case ipv4
        case ipv6
        case unix
    }

    package let family: Family
    /// The address in network order, read as two big-endian numbers; IPv4 is the upper half of `high`. 0 for Unix.
    package let high: UInt64
    package let low: UInt64
    package let port: UInt16
    /// Interface of a link-local IPv6 address.
    let scope: UInt32
    /// The path of a Unix address; a leading @ stands for the abstract namespace.
    package let path: String

    package init(ipv4 address: UInt32, port: UInt16) {
        self.init(family: .ipv4, high: UInt64(address) << 32, low: 0, port: port, scope: 0, path: "")
    }

    package init(ipv6 high: UInt64, _ low: UInt64, port: UInt16, scope: UInt32 = 0) {
        self.init(family: .ipv6, high: high, low: low, port: port, scope: scope, path: "")
    }

    package init(unix path: String) {
        self.init(family: .unix, high: 0, low: 0, port: 0, scope: 0, path: path)
    }

    private init(family: Family, high: UInt64, low: UInt64, port: UInt16, scope: UInt32, path: String) {
        self.family = family
        self.high = high
        self.low = low
        self.port = port
        self.scope = scope
        self.path = path
    }

    /// A numeric host; nil for a name.
    package init?(numeric host: String, port: UInt16) {
        // C would see only what is before it.
        guard !host.utf8.contains(0) else { return nil }
        var four = in_addr()
        if inet_pton(AF_INET, host, &four) == 1 {
            self.init(ipv4: UInt32(bigEndian: four.s_addr), port: port)
            return
        }
        // A zone (fe80::1%eth0) is an interface's name or number.
        let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        var six = in6_addr()
        guard inet_pton(AF_INET6, String(parts[0]), &six) == 1 else { return nil }
        var scope: UInt32 = 0
        if parts.count == 2 {
            scope = UInt32(parts[1]) ?? if_nametoindex(String(parts[1]))
            guard scope != 0 else { return nil }
        }
        let (high, low) = Self.halves(of: six)
        self.init(ipv6: high, low, port: port, scope: scope)
    }

    init?(storage: UnsafePointer<sockaddr_storage>, length: socklen_t) {
        let raw = UnsafeRawPointer(storage)
        switch Int32(storage.pointee.ss_family) {
        case AF_INET:
            let address = raw.load(as: sockaddr_in.self)
            self.init(
                ipv4: UInt32(bigEndian: address.sin_addr.s_addr), port: UInt16(bigEndian: address.sin_port))
        case AF_INET6:
            let address = raw.load(as: sockaddr_in6.self)
            let (high, low) = Self.halves(of: address.sin6_addr)
            let port = UInt16(bigEndian: address.sin6_port)
            // A dual-stack listener shows IPv4 clients as ::ffff:a.b.c.d; people know them as a.b.c.d.
            if high == 0, low >> 32 == 0xffff {
                self.init(ipv4: UInt32(truncatingIfNeeded: low), port: port)
            } else {
                self.init(ipv6: high, low, port: port, scope: address.sin6_scope_id)
            }
        case AF_UNIX:
            let start = MemoryLayout<sa_family_t>.size
            let count = max(0, min(Int(length), MemoryLayout<sockaddr_un>.size) - start)
            let bytes = UnsafeRawBufferPointer(start: raw + start, count: count)
            if let first = bytes.first, first == 0 {
                self.init(unix: "@" + String(decoding: bytes.dropFirst(), as: UTF8.self))
            } else {
                self.init(unix: String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self))
            }
        default: return nil
        }
    }

    private static func halves(of address: in6_addr) -> (UInt64, UInt64) {
        withUnsafeBytes(of: address) {
            (
                UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)),
                UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            )
        }
    }

    /// Calls `body` with the kernel's form.
    func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage = sockaddr_storage()
        let length = withUnsafeMutableBytes(of: &storage) { fill($0) }
        return withUnsafePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }

    private func fill(_ storage: UnsafeMutableRawBufferPointer) -> socklen_t {
        switch family {
        case .ipv4:
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(truncatingIfNeeded: high >> 32).bigEndian
            withUnsafeBytes(of: &address) { storage.copyMemory(from: $0) }
            return socklen_t(MemoryLayout<sockaddr_in>.size)
        case .ipv6:
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            address.sin6_scope_id = scope
            withUnsafeMutableBytes(of: &address.sin6_addr) {
                $0.storeBytes(of: high.bigEndian, as: UInt64.self)
                $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            withUnsafeBytes(of: &address) { storage.copyMemory(from: $0) }
            return socklen_t(MemoryLayout<sockaddr_in6>.size)
        case .unix:
            storage.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
            let start = MemoryLayout<sa_family_t>.size
            let isAbstract = path.hasPrefix("@")
            let name = Array(path.utf8.prefix(107))
            for (place, byte) in name.enumerated() {
                storage[start + place] = place == 0 && isAbstract ? 0 : byte
            }
            // An abstract name has no end mark; a path has one.
            return socklen_t(start + name.count + (isAbstract ? 0 : 1))
        }
    }

    var systemFamily: Int32 {
        switch family {
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    /// On this machine: 127.0.0.0/8 or ::1.
    package var isLoopback: Bool {
        switch family {
        case .ipv4: high >> 56 == 127
        case .ipv6: high == 0 && low == 1
        case .unix: false
        }
    }

    package func with(port: UInt16) -> SocketAddress {
        SocketAddress(family: family, high: high, low: low, port: port, scope: scope, path: path)
    }

    /// The address without the port.
    package var host: String {
        guard family != .unix else { return path }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) {
            _ = inet_ntop(systemFamily, $0.baseAddress, &text, socklen_t(text.count))
        }
        let host = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return scope == 0 ? host : "\(host)%\(scope)"
    }

    package var description: String {
        switch family {
        case .ipv4: "\(host):\(port)"
        case .ipv6: "[\(host)]:\(port)"
        case .unix: path.isEmpty ? "unix" : path
        }
    }
}
