import Glibc

/// Where a connection came from, without a heap allocation: 4, 16 or no bytes (a Unix socket) of address, and a port.
package struct ClientPlace: Hashable, Sendable {
    /// 0, 4 or 16.
    package let length: UInt8
    /// The address in the order of its bytes, from the highest; an IPv4 address in the upper 32 bits.
    package let high: UInt64
    package let low: UInt64
    package let port: UInt16

    /// An IPv4 address in IPv6's clothes (`::ffff:a.b.c.d`), as a node may have it, is the IPv4 address.
    package init(length: UInt8, high: UInt64, low: UInt64, port: UInt16) {
        precondition(length == 0 || length == 4 || length == 16, "an address of \(length) bytes")
        let isDressed = length == 16 && high == 0 && low >> 32 == 0xffff
        self.length = isDressed ? 4 : length
        self.high = isDressed ? low << 32 : high
        self.low = isDressed ? 0 : low
        self.port = port
    }

    package static let unix = ClientPlace(length: 0, high: 0, low: 0, port: 0)

    package init(ipv4: UInt32, port: UInt16) {
        self.init(length: 4, high: UInt64(ipv4) << 32, low: 0, port: port)
    }

    /// As the records keep it; nil for another number of bytes.
    package init?(bytes: [UInt8], port: UInt16) {
        guard bytes.isEmpty || bytes.count == 4 || bytes.count == 16 else { return nil }
        let number = { (part: ArraySlice<UInt8>) in part.reduce(0 as UInt64) { $0 << 8 | UInt64($1) } }
        switch bytes.count {
        case 4: self.init(length: 4, high: number(bytes[...]) << 32, low: 0, port: port)
        case 16: self.init(length: 16, high: number(bytes[..<8]), low: number(bytes[8...]), port: port)
        default: self.init(length: 0, high: 0, low: 0, port: port)
        }
    }

    package var bytes: [UInt8] { withBytes { Array($0) } }

    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) {
            body(UnsafeRawBufferPointer(rebasing: $0[..<Int(length)]))
        }
    }

    /// `203.0.113.9:51514`, `[2001:db8::1]:80`, or `unix`.
    package var text: String {
        guard length > 0 else { return "unix" }
        var words = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let family = length == 4 ? AF_INET : AF_INET6
        withBytes { _ = inet_ntop(family, $0.baseAddress, &words, socklen_t(words.count)) }
        let address = String(decoding: words.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return length == 4 ? "\(address):\(port)" : "[\(address)]:\(port)"
    }
}
