/// Whether a node may log in.
package enum NodeState: String, Codable, Sendable, CaseIterable {
    case enabled
    case disabled
}

/// Who declared it: an operator, or the flags that the server was started with.
package enum Origin: String, Codable, Sendable, CaseIterable {
    case `operator`
    case flags
}

/// A node as lists show it. Encodes with every key, `null` where there is no value.
package struct NodeRecord: Codable, Equatable, Sendable, Identifiable {
    package let id: String
    package let name: String
    package let tags: [String: String]
    package let state: NodeState
    /// By the records: whether a session is open. A living server knows better and sets it.
    package var online: Bool
    package var lastSeen: Timestamp?
    package var address: String?
    package var version: String?
    package var os: String?
    /// How many mappings it has.
    package let mappings: Int
    package let origin: Origin
    package let createdAt: Timestamp
    /// Raised with every change of what the node is to run.
    package let revision: Int64
    /// How much later than `lastSeen` it may have been heard of, in seconds; nil: no later.
    package var lastSeenWithin: Int64?
    /// Which uuid the last link stood on, as the history names it. Not encoded: no part of what is desired.
    package var credential: String?
}

extension NodeRecord {
    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(id, forKey: .id)
        try values.encode(name, forKey: .name)
        try values.encode(tags, forKey: .tags)
        try values.encode(state, forKey: .state)
        try values.encode(online, forKey: .online)
        try values.encode(lastSeen, forKey: .lastSeen)
        try values.encode(address, forKey: .address)
        try values.encode(version, forKey: .version)
        try values.encode(os, forKey: .os)
        try values.encode(mappings, forKey: .mappings)
        try values.encode(origin, forKey: .origin)
        try values.encode(createdAt, forKey: .createdAt)
        try values.encode(revision, forKey: .revision)
    }
}
