import Glibc

/// An address taken apart as Go does it (`0.0.0.0:80`, `:80`, `[::1]:80`, `name:port`, `name:service`; a path, or `@name`,
/// for unix), to see which of them two programs cannot listen on at once.
struct ParsedAddress: Equatable {
    /// What an address takes of one family.
    enum Share: Equatable {
        case all
        case one([UInt8])
    }

    let domain: AddressDomain
    /// Without brackets; the path for unix.
    let host: String
    /// 0 for unix.
    let port: UInt16
    private let share4: Share?
    private let share6: Share?

    /// A refusal that names the field.
    static func check(_ place: Place, _ field: String) throws(RecordsError) -> ParsedAddress {
        do { return try ParsedAddress(place) } catch {
            throw RecordsError(.invalid, "\(field) address \(Quoted(place.addr)): \(error.words)")
        }
    }

    struct Fault: Error {
        let words: String
    }

    init(_ place: Place) throws(Fault) {
        guard let domain = AddressDomain(rawValue: place.domain) else {
            let known = AddressDomain.allCases.map(\.rawValue).joined(separator: ", ")
            throw Fault(words: "the domain \(Quoted(place.domain)) is none of \(known)")
        }
        self.domain = domain
        guard !place.addr.isEmpty else { throw Fault(words: "empty") }
        let isPlain = place.addr.utf8.allSatisfy { $0 > 32 && $0 != 127 }
        guard isPlain || domain == .unix && !place.addr.unicodeScalars.contains(where: Self.isControl) else {
            throw Fault(words: "a space or control character")
        }
        guard domain != .unix else {
            guard place.addr.utf8.count <= 107 else { throw Fault(words: "a path longer than 107 bytes") }
            (host, port, share4, share6) = (place.addr, 0, nil, nil)
            return
        }
        // Before any of it is looked at as text: a host, brackets, a colon, and the longest name of a service.
        guard place.addr.utf8.count <= 255 + 64 else { throw Fault(words: "a host longer than 255 bytes") }
        let (host, service) = try Self.split(place.addr)
        guard host.utf8.count <= 255 else { throw Fault(words: "a host longer than 255 bytes") }
        self.host = host
        port = try Self.port(service)
        let (four, six) = Self.shares(of: host)
        if domain == .tcp4, four == nil, six != nil {
            throw Fault(words: "an IPv6 address in the domain tcp4")
        }
        if domain == .tcp6, six == nil, four != nil {
            throw Fault(words: "an IPv4 address in the domain tcp6")
        }
        share4 = domain == .tcp6 ? nil : four
        share6 = domain == .tcp4 ? nil : six
    }

    private var isName: Bool { domain != .unix && share4 == nil && share6 == nil }

    /// Whether the kernel would refuse the second of the two. Of a name only the machine knows the addresses: it conflicts
    /// with the same name, and with what takes every address that it may have.
    func conflicts(with other: ParsedAddress) -> Bool {
        guard (domain == .unix) == (other.domain == .unix) else { return false }
        guard domain != .unix else { return host.utf8.elementsEqual(other.host.utf8) }
        guard port == other.port, port != 0 else { return false }
        switch (isName, other.isName) {
        case (true, true):
            return host.lowercased() == other.host.lowercased() && domain.mayShareFamily(with: other.domain)
        case (true, false): return other.takesAll(of: domain)
        case (false, true): return takesAll(of: other.domain)
        case (false, false): return Self.overlap(share4, other.share4) || Self.overlap(share6, other.share6)
        }
    }

    private func takesAll(of domain: AddressDomain) -> Bool {
        (domain == .tcp6 || share4 == .all) && (domain == .tcp4 || share6 == .all)
    }

    private static func overlap(_ one: Share?, _ two: Share?) -> Bool {
        guard let one, let two else { return false }
        return one == .all || two == .all || one == two
    }

    /// What a host takes in the domain `tcp`. The empty host and `::` are one socket for both families, as in Go;
    /// `0.0.0.0` is IPv4 alone. An IPv4 address in IPv6's clothes (`::ffff:1.2.3.4`) is the IPv4 address.
    private static func shares(of host: String) -> (Share?, Share?) {
        guard !host.isEmpty else { return (.all, .all) }
        var four = in_addr()
        if inet_pton(AF_INET, host, &four) == 1 {
            let bytes = withUnsafeBytes(of: &four) { [UInt8]($0) }
            return (bytes == [0, 0, 0, 0] ? .all : .one(bytes), nil)
        }
        let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        var six = in6_addr()
        guard inet_pton(AF_INET6, String(parts[0]), &six) == 1 else { return (nil, nil) }
        let bytes = withUnsafeBytes(of: &six) { [UInt8]($0) }
        if bytes.allSatisfy({ $0 == 0 }) { return (.all, .all) }
        if bytes.prefix(12) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] {
            let four = [UInt8](bytes.suffix(4))
            return (four == [0, 0, 0, 0] ? .all : .one(four), nil)
        }
        // The interface of a link-local address is part of it.
        return (nil, .one(bytes + (parts.count > 1 ? Array(parts[1].utf8) : [])))
    }

    private static func split(_ address: String) throws(Fault) -> (host: String, service: String) {
        let bytes = address.utf8
        let colon = UInt8(ascii: ":")
        let (open, shut) = (UInt8(ascii: "["), UInt8(ascii: "]"))
        if bytes.first == open {
            guard let bracket = bytes.firstIndex(of: shut) else { throw Fault(words: "missing ]") }
            let rest = bytes[bracket...].dropFirst()
            guard rest.first == colon else { throw Fault(words: "missing port") }
            let host = bytes[..<bracket].dropFirst()
            guard host.contains(colon) else { throw Fault(words: "brackets around what is not IPv6") }
            return (String(Substring(host)), String(Substring(rest.dropFirst())))
        }
        guard let last = bytes.lastIndex(of: colon) else { throw Fault(words: "missing port") }
        let host = bytes[..<last]
        guard !host.contains(colon) else { throw Fault(words: "too many colons (IPv6 goes into brackets)") }
        guard !host.contains(open), !host.contains(shut) else { throw Fault(words: "a stray bracket") }
        return (String(Substring(host)), String(Substring(bytes[last...].dropFirst())))
    }

    private static func port(_ service: String) throws(Fault) -> UInt16 {
        guard !service.isEmpty else { throw Fault(words: "missing port") }
        if service.utf8.allSatisfy({ (48...57).contains($0) }) {
            guard let port = UInt16(service) else {
                throw Fault(words: "port \(service.prefix(12)) is not in 0...65535")
            }
            return port
        }
        var entry = servent()
        var found: UnsafeMutablePointer<servent>?
        var text = [CChar](repeating: 0, count: 1_024)
        guard getservbyname_r(service, "tcp", &entry, &text, text.count, &found) == 0, let found else {
            throw Fault(words: "unknown port \(Quoted(String(service.prefix(32))))")
        }
        return UInt16(bigEndian: UInt16(truncatingIfNeeded: found.pointee.s_port))
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.generalCategory == .control
    }
}

extension AddressDomain {
    fileprivate func mayShareFamily(with other: AddressDomain) -> Bool {
        self == other || self == .tcp || other == .tcp
    }
}
