/// One main link of a node, from its login to its end. Encodes with every key.
package struct Session: Codable, Equatable, Sendable, Identifiable {
    package let id: Int64
    package let nodeID: String
    /// The node's name at that time.
    package let node: String
    package let address: String
    package let version: String
    package let os: String
    package let openedAt: Timestamp
    package let closedAt: Timestamp?
    package let reason: String?
    package let subConnections: Int64?
}

/// A main link as the server sees it: all that is to be written of it, whenever that can be.
package struct ObservedSession: Sendable, Equatable {
    package struct End: Sendable, Equatable {
        package let at: Timestamp
        package let reason: String
        /// That ended with it; nil: nobody counted.
        package let subConnections: Int?
        /// When the node's last byte came: a silent link is given up long after.
        package let heardAt: Timestamp

        package init(
            at: Timestamp = .now, reason: String, subConnections: Int? = nil, heardAt: Timestamp? = nil
        ) {
            self.at = at
            self.heardAt = heardAt ?? at
            self.reason = reason
            self.subConnections = subConnections
        }
    }

    package let id: Int64
    package let nodeID: String
    /// The node's name when it began.
    package let node: String
    package let identity: [UInt8]
    package let address: String
    package let version: String
    package let os: String
    package let openedAt: Timestamp
    /// Of the node's process; nil for one that does not say.
    package let instance: [UInt8]?
    /// Nil while it stands.
    package var end: End?

    package init(
        id: Int64, nodeID: String, node: String, identity: [UInt8], address: String, version: String,
        os: String, instance: [UInt8]? = nil, openedAt: Timestamp = .now
    ) {
        self.instance = instance
        self.id = id
        self.nodeID = nodeID
        self.node = node
        self.identity = identity
        self.address = address
        self.version = version
        self.os = os
        self.openedAt = openedAt
    }
}

/// A node that has a link, and when its last byte came.
package struct SeenNode: Sendable {
    package let id: String
    package let identity: [UInt8]
    package let at: Timestamp

    package init(id: String, identity: [UInt8], at: Timestamp) {
        self.id = id
        self.identity = identity
        self.at = at
    }
}

/// One thing that somebody did. `before` and `after` are the record as JSON, nil where there was none.
/// Encodes with every key.
package struct AuditEntry: Codable, Equatable, Sendable, Identifiable {
    package let id: Int64
    package let at: Timestamp
    package let actor: String
    package let uid: UInt32?
    /// `node-add`, `mapping-set`…
    package let action: String
    package let nodeID: String?
    /// The node's name at that time.
    package let node: String?
    package let mapping: UInt32?
    package let before: String?
    package let after: String?
    package let detail: String?
    /// Of the row, in hexadecimal; nil for one that is older than the chain.
    package let chain: String?
}

extension Session {
    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(id, forKey: .id)
        try values.encode(nodeID, forKey: .nodeID)
        try values.encode(node, forKey: .node)
        try values.encode(address, forKey: .address)
        try values.encode(version, forKey: .version)
        try values.encode(os, forKey: .os)
        try values.encode(openedAt, forKey: .openedAt)
        try values.encode(closedAt, forKey: .closedAt)
        try values.encode(reason, forKey: .reason)
        try values.encode(subConnections, forKey: .subConnections)
    }
}

extension AuditEntry {
    /// What is written now. A database may hold others, of other versions.
    package static let actions: Set<String> = [
        "audit-before-chain", "backup", "connection-kill", "entries-left-out", "found-unsealed",
        "history-prune",
        "history-prune-begin", "history-read", "hold-add", "hold-release", "left-out", "mapping-add",
        "mapping-disable", "mapping-enable", "mapping-remove", "mapping-set", "node-add", "node-disable",
        "node-enable", "node-end-credentials", "node-remove", "node-rename", "node-rotate", "node-tag",
        "restore",
        "seal-key-export", "takeovers", "violation",
    ]

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(id, forKey: .id)
        try values.encode(at, forKey: .at)
        try values.encode(actor, forKey: .actor)
        try values.encode(uid, forKey: .uid)
        try values.encode(action, forKey: .action)
        try values.encode(nodeID, forKey: .nodeID)
        try values.encode(node, forKey: .node)
        try values.encode(mapping, forKey: .mapping)
        try values.encode(before, forKey: .before)
        try values.encode(after, forKey: .after)
        try values.encode(detail, forKey: .detail)
        try values.encode(chain, forKey: .chain)
    }
}

/// A node with all that a server needs to serve it.
package struct FleetNode: Equatable, Sendable {
    package let node: NodeRecord
    package var credentials: [CredentialRecord]
    package var mappings: [MappingRecord]
    package let ended: [EndedCredential]
}

/// Numbers for a status page.
package struct FleetCounts: Codable, Equatable, Sendable {
    package var nodes = 0
    package var disabledNodes = 0
    package var online = 0
    package var active = 0
    package var pending = 0
    package var failed = 0
    package var disabled = 0
}
