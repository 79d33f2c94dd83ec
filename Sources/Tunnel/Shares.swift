import Mux

/// Why a client got no sub-connection. The words are the records'.
package enum RefusalCause: String, CaseIterable, Sendable {
    case limit
    case nodeAway = "node-away"
    case notRecorded = "not-recorded"
    case mappingRemoved = "mapping-removed"
    /// One client's address, one mapping, one node has as much as may be of what is left for all.
    case clientShare = "client-share"
    case mappingShare = "mapping-share"
    case nodeShare = "node-share"
    /// Of this program.
    case descriptors
    /// A mapping that leads to itself.
    case loop

    var closeReason: CloseReason {
        switch self {
        case .limit, .clientShare, .mappingShare, .nodeShare, .descriptors: .limit
        case .nodeAway: .nodeAway
        case .notRecorded: .notRecorded
        case .mappingRemoved: .mappingRemoved
        case .loop: .loop
        }
    }
}

/// How many sub-connections each mapping and each client of a node has. Each may have so many times what is still free: alone a client gets two
/// thirds, a mapping eight ninths; the more there are the less each gets, and as long as anything is free nobody's first is refused.
struct Shares {
    /// Streams of both openers have tables of their own.
    struct Client: Hashable {
        private let isOurs: Bool
        private let family: UInt8
        private let network: UInt64

        /// IPv6: its /64, which is what one customer has. Unix sockets: all of them together.
        init(_ client: ClientAddress, isOurs: Bool) {
            self.isOurs = isOurs
            family = client.family.rawValue
            network = client.high
        }
    }

    static let ofClient = 2
    static let ofMapping = 8
    /// Of a server's nodes, by descriptors.
    static let ofNode = 2

    private var clients: [Client: Int] = [:]
    private var mappings: [UInt32: Int] = [:]
    private(set) var all = 0

    func count(ofMapping mapping: UInt32) -> Int { mappings[mapping] ?? 0 }

    /// `room`: how many more the node may have, now.
    func objection(to client: Client, mapping: UInt32, room: Int) -> RefusalCause? {
        if room <= 0 { return .limit }
        if clients[client] ?? 0 >= Self.ofClient * room { return .clientShare }
        return count(ofMapping: mapping) >= Self.ofMapping * room ? .mappingShare : nil
    }

    mutating func take(_ client: Client, mapping: UInt32) {
        clients[client, default: 0] += 1
        mappings[mapping, default: 0] += 1
        all += 1
    }

    mutating func giveBack(_ client: Client, mapping: UInt32) {
        Self.decrease(&clients, client)
        Self.decrease(&mappings, mapping)
        all -= 1
    }

    private static func decrease<Key>(_ counts: inout [Key: Int], _ key: Key) {
        guard let count = counts[key] else { preconditionFailure("given back twice") }
        counts[key] = count == 1 ? nil : count - 1
    }
}
