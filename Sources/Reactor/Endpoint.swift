import CLinux
import Glibc

/// The kinds of address that a mapping may name, in Go's words.
package enum Domain: String, CaseIterable, Sendable {
    case tcp
    case tcp4
    case tcp6
    case unix
}

/// Where to listen or dial: what Go's `net.Listen` and `net.Dial` take (`0.0.0.0:1080`, `:1080`, `[::]:80`,
/// `name:port`, `name:service`; a path, or `@name`, for unix).
package struct Endpoint: Equatable, Hashable, Sendable, CustomStringConvertible {
    package let domain: Domain
    package let address: String
    /// Empty: every address (listening), this machine (dialling). Without the brackets of IPv6.
    package let host: String
    package let port: UInt16
    /// The one address that this is, if it takes no look-up to know. (The number of a zone, `%eth0`, may change.)
    package let numeric: SocketAddress?

    /// Longest name of the DNS, and more than any literal.
    private static let maximumHostBytes = 255
    /// With brackets, a colon, and the longest name of a service.
    private static let maximumBytes = maximumHostBytes + 64

    /// The reason it is refused is a phrase that follows the address: `missing port`.
    package init(domain: Domain, address: String) throws(EndpointError) {
        self.domain = domain
        self.address = address
        guard !address.isEmpty else { throw EndpointError("an empty address") }
        // Control characters in a name can only be a mistake or an attempt on a log.
        guard
            address.utf8.allSatisfy({ $0 > 32 && $0 != 127 }) || domain == .unix && !address.utf8.contains(0)
        else {
            throw EndpointError("a space or control character")
        }
        guard domain != .unix else {
            (host, port, numeric) = ("", 0, nil)
            // sun_path holds 108 bytes, the last of them 0.
            guard address.utf8.count <= 107 else { throw EndpointError("a path longer than 107 bytes") }
            return
        }
        // Before any of it is looked at as text.
        guard address.utf8.count <= Self.maximumBytes else {
            throw EndpointError("a host longer than 255 bytes")
        }
        let (host, service) = try Self.split(address)
        guard host.utf8.count <= Self.maximumHostBytes else {
            throw EndpointError("a host longer than 255 bytes")
        }
        self.host = host
        port = try Self.port(service)
        let found = SocketAddress(numeric: host, port: port)
        numeric = found?.scope == 0 ? found : nil
        let family = found?.family
        if domain == .tcp4, family == .ipv6 { throw EndpointError("an IPv6 address in the domain tcp4") }
        if domain == .tcp6, family == .ipv4 { throw EndpointError("an IPv4 address in the domain tcp6") }
    }

    package var description: String { "\(domain.rawValue) \(address)" }

    /// Byte by byte, as the kernel and the DNS do: two paths that look alike are two files.
    package static func == (one: Endpoint, two: Endpoint) -> Bool {
        one.domain == two.domain && one.address.utf8.elementsEqual(two.address.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(domain)
        for byte in address.utf8 { hasher.combine(byte) }
    }

    private static func split(_ address: String) throws(EndpointError) -> (String, String) {
        let bytes = address.utf8
        let colon = UInt8(ascii: ":")
        let (open, shut) = (UInt8(ascii: "["), UInt8(ascii: "]"))
        if bytes.first == open {
            guard let bracket = bytes.firstIndex(of: shut) else { throw EndpointError("missing ]") }
            let rest = bytes[bracket...].dropFirst()
            guard rest.first == colon else { throw EndpointError("missing port") }
            let host = bytes[..<bracket].dropFirst()
            guard host.contains(colon) else { throw EndpointError("brackets around what is not IPv6") }
            return (String(Substring(host)), String(Substring(rest.dropFirst())))
        }
        guard let last = bytes.lastIndex(of: colon) else { throw EndpointError("missing port") }
        let host = bytes[..<last]
        guard !host.contains(colon) else { throw EndpointError("too many colons (IPv6 goes into brackets)") }
        guard !host.contains(shut) && !host.contains(open) else { throw EndpointError("a stray bracket") }
        return (String(Substring(host)), String(Substring(bytes[last...].dropFirst())))
    }

    private static func port(_ service: String) throws(EndpointError) -> UInt16 {
        guard !service.isEmpty else { throw EndpointError("missing port") }
        if service.utf8.allSatisfy({ (48...57).contains($0) }) {
            guard let port = UInt16(service) else {
                throw EndpointError("port \(service.prefix(12)) is not in 0...65535")
            }
            return port
        }
        // Hashed only if it can be a name at all: text of any other kind may take long to compare.
        let isName = service.utf8.count <= 32 && service.utf8.allSatisfy { $0 < 128 }
        guard isName, let port = ServiceNames.tcp[service] else {
            throw EndpointError("unknown port \(service.prefix(32))")
        }
        return port
    }
}

/// What is wrong with an address, as a phrase.
package struct EndpointError: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
