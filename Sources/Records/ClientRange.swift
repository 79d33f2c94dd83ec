import Glibc

/// Which clients are meant: one address, a range (`203.0.113.0/24`, `2001:db8::/32`), or those on Unix sockets (`unix`).
package struct ClientRange: Hashable, Sendable {
    /// The lowest and the highest address as bytes in network order: 4, 16, or none for Unix sockets.
    package let low: [UInt8]
    package let high: [UInt8]

    /// Nil for what is no address. Bits beyond the prefix are passed over; IPv4 in IPv6's clothes is IPv4.
    package init?(_ text: String) {
        guard text != "unix" else {
            (low, high) = ([], [])
            return
        }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(
            String.init)
        guard let address = Self.bytes(parts[0]) else { return nil }
        var bits = address.bytes.count * 8
        if parts.count == 2 {
            let digits = parts[1].utf8
            let width = bits + address.clothes
            guard !digits.isEmpty, digits.count <= 3, digits.allSatisfy({ (48...57).contains($0) }),
                let prefix = Int(parts[1]), (address.clothes...width).contains(prefix)
            else { return nil }
            bits = prefix - address.clothes
        }
        var (low, high) = (address.bytes, address.bytes)
        for place in low.indices {
            let kept = min(8, max(0, bits - place * 8))
            let mask = kept == 0 ? 0 : UInt8(truncatingIfNeeded: 0xff << (8 - kept))
            low[place] &= mask
            high[place] |= ~mask
        }
        (self.low, self.high) = (low, high)
    }

    package var isOne: Bool { low == high }

    private init(low: [UInt8], high: [UInt8]) {
        (self.low, self.high) = (low, high)
    }

    /// How the records may have these addresses: rows of earlier servers have IPv4 addresses of nodes in IPv6's clothes.
    package var forms: [ClientRange] {
        low.count == 4
            ? [self, ClientRange(low: Self.clothes + low, high: Self.clothes + high)] : [self]
    }

    private static let clothes: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

    package func contains(_ client: [UInt8]) -> Bool {
        forms.contains { form in
            client.count == form.low.count && !client.lexicographicallyPrecedes(form.low)
                && !form.high.lexicographicallyPrecedes(client)
        }
    }

    /// - Returns: `clothes` is how many bits of a prefix stand for `::ffff:`.
    private static func bytes(_ text: String) -> (bytes: [UInt8], clothes: Int)? {
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 { return (withUnsafeBytes(of: &four) { [UInt8]($0) }, 0) }
        let isBracketed = text.hasPrefix("[") && text.hasSuffix("]")
        var six = in6_addr()
        guard inet_pton(AF_INET6, isBracketed ? String(text.dropFirst().dropLast()) : text, &six) == 1 else {
            return nil
        }
        let bytes = withUnsafeBytes(of: &six) { [UInt8]($0) }
        guard Array(bytes.prefix(12)) == clothes else { return (bytes, 0) }
        return ([UInt8](bytes.suffix(4)), 96)
    }

    /// `203.0.113.9`, `2001:db8::1` (RFC 5952), `unix`.
    package static func text(_ client: [UInt8]) -> String {
        let client = client.count == 16 && client.starts(with: clothes) ? Array(client.suffix(4)) : client
        guard client.count == 4 || client.count == 16 else { return "unix" }
        var text = [CChar](repeating: 0, count: 64)
        let family = client.count == 4 ? AF_INET : AF_INET6
        guard inet_ntop(family, client, &text, socklen_t(text.count)) != nil else { return "unix" }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// `203.0.113.9:51514`, `[2001:db8::1]:443`, `unix`.
    package static func text(_ client: [UInt8], port: Int64) -> String {
        let text = text(client)
        return client.isEmpty ? text : text.contains(":") ? "[\(text)]:\(port)" : "\(text):\(port)"
    }
}
