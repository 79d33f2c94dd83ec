import JSON
import Records

/// A node as the service answers it: its record, and what the running server knows beside it.
package struct NodeAnswer: Codable, Equatable, Sendable {
    package var record: NodeRecord
    /// Open now; nil while the node has no link.
    package var subConnections: Int?
    package var onlineSince: Timestamp?
    /// Those that are good, newest first.
    package var credentials: [CredentialAnswer]
    /// That take its link from each other; empty while all is well.
    package var machines: [SharingMachine]
    /// Only when it was made just now, and never again.
    package var uuid: String?
    /// By this request.
    package var subConnectionsEnded: Int?

    /// - Parameter live: nil while the node has no link. Without a running server none has one, whatever the records say.
    /// - Parameter heard: when its last byte came, where the server could say in time.
    init(
        _ record: NodeRecord, live: LiveNode?, heard: Timestamp?, credentials: [CredentialRecord],
        machines: [SharingMachine], now: Timestamp
    ) {
        self.machines = machines
        self.record = record
        self.record.online = live != nil
        self.credentials = credentials.map {
            CredentialAnswer($0, inUse: live?.credential == $0.name, heard: heard)
        }
        guard let live else { return }
        self.record.address = live.address
        self.record.version = live.version
        self.record.os = live.os
        self.record.credential = live.credential ?? record.credential
        if let heard {
            (self.record.lastSeen, self.record.lastSeenWithin) = (heard, nil)
        } else {
            let since = record.lastSeen ?? Timestamp(microseconds: live.sinceMicroseconds)
            self.record.lastSeen = since
            self.record.lastSeenWithin = max(0, now.distance(from: since) / 1_000_000)
        }
        subConnections = live.subConnections
        onlineSince = Timestamp(microseconds: live.sinceMicroseconds)
    }

    private enum CodingKeys: String, CodingKey {
        case subConnections, onlineSince, uuid, subConnectionsEnded, lastSeenWithin, credential, credentials,
            machines
    }

    package init(from decoder: any Decoder) throws {
        record = try NodeRecord(from: decoder)
        let values = try decoder.container(keyedBy: CodingKeys.self)
        subConnections = try values.decodeIfPresent(Int.self, forKey: .subConnections)
        onlineSince = try values.decodeIfPresent(Timestamp.self, forKey: .onlineSince)
        credentials = try values.decodeIfPresent([CredentialAnswer].self, forKey: .credentials) ?? []
        machines = try values.decodeIfPresent([SharingMachine].self, forKey: .machines) ?? []
        uuid = try values.decodeIfPresent(String.self, forKey: .uuid)
        subConnectionsEnded = try values.decodeIfPresent(Int.self, forKey: .subConnectionsEnded)
    }

    package func encode(to encoder: any Encoder) throws {
        try record.encode(to: encoder)
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(subConnections, forKey: .subConnections)
        try values.encode(onlineSince, forKey: .onlineSince)
        try values.encode(record.lastSeenWithin, forKey: .lastSeenWithin)
        try values.encode(record.credential, forKey: .credential)
        try values.encode(credentials, forKey: .credentials)
        try values.encode(machines, forKey: .machines)
        try values.encodeIfPresent(uuid, forKey: .uuid)
        try values.encodeIfPresent(subConnectionsEnded, forKey: .subConnectionsEnded)
    }
}

/// One uuid of a node, by the name that the history has for it. Encodes with every key.
package struct CredentialAnswer: Codable, Equatable, Sendable {
    package let id: String
    package let from: Timestamp
    /// Null: until it is ended.
    package let to: Timestamp?
    /// Null: no link ever stood on it.
    package let lastUsed: Timestamp?
    /// The link stands on it now.
    package let inUse: Bool
    package let weak: Bool
    package let origin: Origin

    init(_ record: CredentialRecord, inUse: Bool, heard: Timestamp?) {
        id = record.name
        from = record.notBefore
        to = record.notAfter
        lastUsed = inUse ? heard ?? record.lastUsed : record.lastUsed
        self.inUse = inUse
        weak = record.weak
        origin = record.origin
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(id, forKey: .id)
        try values.encode(from, forKey: .from)
        try values.encode(to, forKey: .to)
        try values.encode(lastUsed, forKey: .lastUsed)
        try values.encode(inUse, forKey: .inUse)
        try values.encode(weak, forKey: .weak)
        try values.encode(origin, forKey: .origin)
    }
}

/// A mapping after a wait: its record, and whether the time was over before the node answered.
package struct WaitAnswer: Codable, Equatable, Sendable {
    package let record: MappingRecord
    package let timedOut: Bool

    private enum CodingKeys: String, CodingKey { case timedOut }

    init(record: MappingRecord, timedOut: Bool) {
        self.record = record
        self.timedOut = timedOut
    }

    package init(from decoder: any Decoder) throws {
        record = try MappingRecord(from: decoder)
        timedOut = try decoder.container(keyedBy: CodingKeys.self).decode(Bool.self, forKey: .timedOut)
    }

    package func encode(to encoder: any Encoder) throws {
        try record.encode(to: encoder)
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(timedOut, forKey: .timedOut)
    }
}

/// The server in numbers.
package struct StatusAnswer: Codable, Equatable, Sendable {
    package struct Mappings: Codable, Equatable, Sendable {
        package let active: Int
        package let pending: Int
        package let failed: Int
        package let disabled: Int
    }

    /// False when the server is down and the records answer.
    package let running: Bool
    package let version: String
    /// Of the server; null when it is down, as is `startedAt`.
    package let pid: Int?
    package let startedAt: Timestamp?
    /// What nodes dial: `vpn.example.com:4443`, or `:925` where only the port is known. Of the last server, when none runs.
    package let nodeAddress: String?
    package let nodes: Int
    package let disabledNodes: Int
    package let online: Int
    package let subConnections: Int
    package let mappings: Mappings
    package let databaseBytes: Int
    /// What `-history-max` allows, and how much of it no pruning can free; null without a limit.
    package let historyMaximumBytes: Int64?
    package let historyKeptBytes: Int64?
    /// Since when nothing can be recorded, and why; null while all is well.
    package let failingSince: Timestamp?
    package let failure: String?
    /// The database's log of writes, beside `databaseBytes`, and who kept it from beginning anew last time it was to; null: nobody.
    package let logBytes: Int
    package let logHolder: String?
    /// Targets that the last client of their mapping did not reach.
    package let unreachable: [TargetTrouble]

    /// Nil where there is no limit.
    package var historyUse: HistoryUse? {
        guard let historyMaximumBytes, let historyKeptBytes else { return nil }
        return HistoryUse(maximumBytes: historyMaximumBytes, keptBytes: historyKeptBytes)
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(running, forKey: .running)
        try values.encode(version, forKey: .version)
        try values.encode(pid, forKey: .pid)
        try values.encode(startedAt, forKey: .startedAt)
        try values.encode(nodeAddress, forKey: .nodeAddress)
        try values.encode(nodes, forKey: .nodes)
        try values.encode(disabledNodes, forKey: .disabledNodes)
        try values.encode(online, forKey: .online)
        try values.encode(subConnections, forKey: .subConnections)
        try values.encode(mappings, forKey: .mappings)
        try values.encode(databaseBytes, forKey: .databaseBytes)
        try values.encode(historyMaximumBytes, forKey: .historyMaximumBytes)
        try values.encode(historyKeptBytes, forKey: .historyKeptBytes)
        try values.encode(failingSince, forKey: .failingSince)
        try values.encode(failure, forKey: .failure)
        try values.encode(logBytes, forKey: .logBytes)
        try values.encode(logHolder, forKey: .logHolder)
        try values.encode(unreachable, forKey: .unreachable)
    }
}

/// An audit entry whose records are JSON themselves, and not text that holds JSON.
package struct AuditAnswer: Codable, Equatable, Sendable {
    package let id: Int64
    package let at: Timestamp
    package let actor: String
    package let uid: UInt32?
    package let action: String
    package let nodeID: String?
    package let node: String?
    package let mapping: UInt32?
    package let before: JSONValue?
    package let after: JSONValue?
    package let detail: String?
    package let chain: String?

    init(_ entry: AuditEntry) {
        id = entry.id
        at = entry.at
        actor = entry.actor
        uid = entry.uid
        action = entry.action
        nodeID = entry.nodeID
        node = entry.node
        mapping = entry.mapping
        before = entry.before.map { (try? JSONValue(Array($0.utf8))) ?? .string($0) }
        after = entry.after.map { (try? JSONValue(Array($0.utf8))) ?? .string($0) }
        detail = entry.detail
        chain = entry.chain
    }

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
