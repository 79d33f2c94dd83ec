/// One main link of a node, from its login to its end.
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

/// One thing that somebody did. `before` and `after` are the record as JSON, nil where there was none.
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
}

/// A node with all that a server needs to serve it.
package struct FleetNode: Equatable, Sendable {
    package let node: NodeRecord
    package let credentials: [CredentialRecord]
    package let mappings: [MappingRecord]
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
