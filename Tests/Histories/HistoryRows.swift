import Foundation
import Records
import SQLite

/// The same numbers for the same seed (SplitMix64).
package struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    package init(_ seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}

/// A history that a test makes up and writes by its own SQL, so that it knows every row.
package struct HistoryRows {
    package struct Route {
        package let id: Int64
        package let nodeID: String
        package let node: String
        package let mapping: UInt32
        package let kind: MappingKind
        package let name: String?
        package let target: String
    }

    package struct Connection {
        package let id: Int64
        package let route: Route
        package let at: Int64
        package let client: [UInt8]
        package let port: Int64
        package var end: End?

        package struct End {
            package let at: Int64
            package let up: Int64
            package let down: Int64
            package let reason: EndReason
            package let flags: Int64
        }
    }

    package var routes: [Route] = []
    package var connections: [Connection] = []
    /// Where the clock was set back: from, to.
    package var steps: [(Int64, Int64)] = []
    /// Where the server did not run: from, to.
    package var stops: [(Int64, Int64)] = []
    private let hasHoles: Bool
    private var writtenRoutes = 0
    private var writtenOpenings = 0
    private var writtenClosings = Set<Int64>()
    private var writtenNotes = 0
    private var random: Seeded
    private var time: Int64 = 1_787_390_000_000_000

    package init(seed: UInt64, routes count: Int, connections: Int, hasHoles: Bool = true) {
        random = Seeded(seed)
        self.hasHoles = hasHoles
        let names = ["edge-01", "edge-02", "edge-02b", "lab", "shop"]
        for number in 0..<count {
            // Half of them are one node's; one node was renamed; one name was two nodes'.
            let place = number % 2 == 0 ? 0 : number / 2 % names.count
            let node = place == 2 ? 1 : place == 4 && number % 3 == 0 ? 5 : place
            self.routes.append(
                Route(
                    id: Int64(number + 1), nodeID: Self.nodeID(node), node: names[place],
                    mapping: UInt32(1 + number % 17), kind: number % 3 == 0 ? .peerListener : .listener,
                    name: number % 4 == 0 ? nil : ["rdp", "web", "ssh"][number % 3],
                    target: [
                        "127.0.0.1:3389", "10.0.0.5:80", "10.0.0.5:8080", "[2001:db8::5]:22", "/run/x.sock",
                    ][
                        number % 5]))
        }
        append(connections)
    }

    package static func nodeID(_ number: Int) -> String { "00000000-0000-4000-8000-00000000000\(number)" }

    /// More of it, later than all that is there.
    package mutating func append(_ count: Int, ending: Bool = true) {
        for _ in 0..<count {
            time += Int64.random(in: 1...2_000_000, using: &random)
            switch Int.random(in: 0..<1_000, using: &random) {
            case 0:
                let back = Int64.random(in: 1...300_000_000, using: &random)
                steps.append((time, time - back))
                time -= back
            case 1, 2:
                stops.append((time, time + 90_000_000))
                time += 90_000_001
            default: break
            }
            let id = (connections.last?.id ?? 0) + Int64.random(in: 1...(hasHoles ? 3 : 1), using: &random)
            let client: [UInt8] =
                switch Int.random(in: 0..<20, using: &random) {
                case 0: []
                case 1...3:
                    [0x20, 1, 0xd, 0xb8] + [UInt8](repeating: 0, count: 11) + [
                        UInt8.random(in: 0...40, using: &random)
                    ]
                case 4: [198, 51, 100, UInt8.random(in: 0...255, using: &random)]
                default:
                    [
                        203, 0, UInt8.random(in: 110...115, using: &random),
                        UInt8.random(in: 0...255, using: &random),
                    ]
                }
            // Few of the routes have most.
            let pick = min(
                Int.random(in: 0..<routes.count, using: &random),
                Int.random(in: 0..<routes.count, using: &random))
            var connection = Connection(
                id: id, route: routes[pick], at: time, client: client,
                port: client.isEmpty ? 0 : Int64.random(in: 1_024...65_535, using: &random))
            if Int.random(in: 0..<100, using: &random) > 0, ending { connection.end = someEnd() }
            connections.append(connection)
        }
    }

    private mutating func someEnd() -> Connection.End {
        Connection.End(
            at: time + Int64.random(in: 1...200_000_000, using: &random),
            up: Int64.random(in: 0...2_000, using: &random),
            down: Int64.random(in: 0...1_000_000, using: &random),
            reason: Int.random(in: 0..<10, using: &random) < 7
                ? .clientEOF : EndReason.allCases.randomElement(using: &random)!,
            flags: Int64.random(in: 0..<8, using: &random))
    }

    /// Ends one that is open.
    package mutating func end(_ place: Int) { connections[place].end = someEnd() }

    package var gapCount: Int { steps.count + stops.count }

    /// Writes what is not written yet. The store may be open: this is another connection, which leaves checkpoints to it.
    package mutating func write(to path: String) throws {
        let database = try Database(path: path, mode: .readWrite)
        _ = try database.pragma("PRAGMA wal_autocheckpoint = 0")
        try database.execute("BEGIN IMMEDIATE")
        for route in routes[writtenRoutes...] {
            try database.execute(
                "INSERT INTO routes VALUES (?, ?, ?, x'0102030405060708090a0b0c0d0e0f10', ?, ?, ?, 'tcp 0.0.0.0:1', ?, 0)",
                route.id, route.nodeID, route.node, route.mapping, route.kind.rawValue, route.name,
                route.target)
        }
        for connection in connections[writtenOpenings...] {
            try database.execute(
                "INSERT INTO opened VALUES (?, ?, ?, 0, ?, ?, 0)", connection.id, connection.route.id,
                connection.at,
                connection.client, connection.port)
        }
        let ended = connections.filter { $0.end != nil && !writtenClosings.contains($0.id) }
        for connection in ended.sorted(by: { $0.end!.at < $1.end!.at }) {
            let end = connection.end!
            try database.execute(
                "INSERT INTO closed VALUES (NULL, ?, ?, ?, ?, ?, NULL, NULL, ?, ?, 0)", connection.id, end.at,
                end.at - connection.at, end.up, end.down, end.reason.rawValue, end.flags)
            writtenClosings.insert(connection.id)
        }
        let gaps = steps.map { ($0.0, $0.1, "clock-step") } + stops.map { ($0.0, $0.1, "server-stop") }
        for (from, to, cause) in gaps.sorted(by: { $0.1 < $1.1 }).dropFirst(writtenNotes) {
            try database.execute(
                "INSERT INTO notes VALUES (NULL, ?, 'gap', ?, ?, NULL, NULL, ?, 0)", to, from, to, cause)
        }
        try database.execute("COMMIT")
        writtenRoutes = routes.count
        writtenOpenings = connections.count
        writtenNotes = gaps.count
    }

    // MARK: What is right

    /// The ids that a filter means, by looking at each.
    package func ids(_ filter: ConnectionFilter) -> [Int64] {
        connections.filter { matches($0, filter) }.map(\.id)
    }

    package func matches(_ connection: Connection, _ filter: ConnectionFilter) -> Bool {
        let (route, end) = (connection.route, connection.end)
        if let since = filter.since, connection.at < since.microseconds { return false }
        if let until = filter.until, connection.at >= until.microseconds { return false }
        if let at = filter.at?.microseconds, connection.at > at || end.map({ $0.at <= at }) ?? false {
            return false
        }
        if let node = filter.node, route.node != node, route.nodeID != node { return false }
        if let listener = filter.listener {
            let names = ["\(route.mapping)"] + (route.name.map { [$0, "\(route.node)/\($0)"] } ?? [])
            if !names.contains(listener) { return false }
        }
        if let client = filter.client {
            let bytes = connection.client
            guard bytes.count == client.low.count else { return false }
            let number = { (bytes: [UInt8]) in bytes.map { String(format: "%02x", $0) }.joined() }
            guard number(bytes) >= number(client.low), number(bytes) <= number(client.high) else {
                return false
            }
        }
        if let target = filter.target {
            let host = route.target.lastIndex(of: ":").map { String(route.target[..<$0]) } ?? ""
            guard [route.target, host, host.trimmingCharacters(in: ["[", "]"])].contains(target) else {
                return false
            }
        }
        if !filter.results.isEmpty, !(end.map { filter.results.contains($0.reason) } ?? false) {
            return false
        }
        if let isOpen = filter.isOpen, isOpen != (end == nil) { return false }
        if let least = filter.minBytes {
            let passed = end.map { $0.up + $0.down } ?? filter.open?[connection.id].map { $0.up + $0.down }
            guard let passed, passed >= least else { return false }
        }
        return true
    }

    /// What a living server would say of the open ones.
    package var open: [Int64: PassedBytes] {
        Dictionary(
            uniqueKeysWithValues: connections.filter { $0.end == nil }.map {
                ($0.id, PassedBytes(up: $0.id % 5_000, down: 7))
            })
    }
}
