import Reactor

/// What the other end may make this one dial or bind: `-allow host:port,cidr:ports`. Checked on the resolved address at the
/// moment of use, so a name cannot be moved behind its back.
package struct AllowList: Equatable, Sendable {
    private enum Place: Equatable, Sendable {
        case any
        /// An address and the number of its leading bits that count.
        case network(family: SocketAddress.Family, high: UInt64, low: UInt64, prefix: Int)
        case name(String)
        /// A path, or with a trailing /* everything in its folder.
        case path(String)
    }

    private struct Rule: Equatable, Sendable {
        let place: Place
        let ports: ClosedRange<UInt16>
    }

    private let rules: [Rule]

    /// Entries separated by commas: `10.0.0.5:5432`, `10.0.0.0/8:80-90`, `[2001:db8::]/32:443`, `db.local:5432`, `*:22`,
    /// `10.0.0.5:*`, `unix:/run/app.sock`, `unix:/run/app/*`.
    package init(_ text: String) throws(EndpointError) {
        var rules: [Rule] = []
        for entry in text.split(separator: ",", omittingEmptySubsequences: false) {
            rules.append(try Self.rule(String(entry)))
        }
        self.rules = rules
    }

    /// Whether this very name may be dialled at `port`, so whatever it stands for when it is. Looked up once more, its addresses might be
    /// others: many names have a few of many, in turn.
    func permits(name: String, port: UInt16) -> Bool {
        names(for: port).contains { $0.lowercased() == name.lowercased() }
    }

    /// Names whose addresses `permits` wants to know for `port`.
    func names(for port: UInt16) -> [String] {
        rules.compactMap { rule in
            if case .name(let name) = rule.place, rule.ports.contains(port) { name } else { nil }
        }
    }

    /// `resolved` holds the addresses of the names that `names` asked for.
    func permits(_ address: SocketAddress, resolved: [SocketAddress] = []) -> Bool {
        if address.family != .unix,
            resolved.contains(where: { $0.high == address.high && $0.low == address.low })
        {
            return true
        }
        return rules.contains { rule in
            switch rule.place {
            case .any: address.family != .unix && rule.ports.contains(address.port)
            case .network(let family, let high, let low, let prefix):
                address.family == family && rule.ports.contains(address.port)
                    && (address.high ^ high) & Self.mask(prefix) == 0
                    && (address.low ^ low) & Self.mask(prefix - 64) == 0
            case .name: false
            case .path(let path): address.family == .unix && Self.matches(address.path, path)
            }
        }
    }

    private static func mask(_ bits: Int) -> UInt64 {
        bits <= 0 ? 0 : bits >= 64 ? .max : ~(UInt64.max >> UInt64(bits))
    }

    private static func matches(_ path: String, _ pattern: String) -> Bool {
        guard pattern.hasSuffix("/*") else { return path == pattern }
        let folder = pattern.dropLast(1)
        return path.hasPrefix(folder) && !path.dropFirst(folder.count).contains("/") && !path.hasSuffix("/..")
    }

    private static func rule(_ entry: String) throws(EndpointError) -> Rule {
        let shown = entry.prefix(80)
        if entry.hasPrefix("unix:") {
            guard entry.count > 5 else { throw EndpointError("\(shown): missing path") }
            return Rule(place: .path(String(entry.dropFirst(5))), ports: 0...0)
        }
        guard let colon = entry.lastIndex(of: ":") else { throw EndpointError("\(shown): missing port") }
        let ports = try Self.ports(String(entry[entry.index(after: colon)...]), shown)
        var host = String(entry[..<colon])
        guard !host.isEmpty else { throw EndpointError("\(shown): missing host (* for any)") }
        if host == "*" { return Rule(place: .any, ports: ports) }
        var prefix: Int?
        if let slash = host.lastIndex(of: "/") {
            prefix = Int(host[host.index(after: slash)...])
            guard prefix != nil else { throw EndpointError("\(shown): a bad prefix length") }
            host = String(host[..<slash])
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard let address = SocketAddress(numeric: host, port: 0) else {
            guard prefix == nil, !host.contains(where: { "[]:*/ ".contains($0) }) else {
                throw EndpointError("\(shown): not an address")
            }
            return Rule(place: .name(host), ports: ports)
        }
        let bits = address.family == .ipv4 ? 32 : 128
        guard (0...bits).contains(prefix ?? bits) else {
            throw EndpointError("\(shown): a bad prefix length")
        }
        return Rule(
            place: .network(
                family: address.family, high: address.high, low: address.low, prefix: prefix ?? bits),
            ports: ports)
    }

    private static func ports(_ text: String, _ shown: Substring) throws(EndpointError) -> ClosedRange<UInt16>
    {
        if text == "*" { return 0...65_535 }
        let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map {
            UInt16($0)
        }
        guard let first = ends[0], let last = ends[ends.count - 1], first <= last else {
            throw EndpointError("\(shown): bad ports")
        }
        return first...last
    }
}
