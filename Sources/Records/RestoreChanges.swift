import SQLite

/// What a backup that takes the place of the database brings back of what had ended since, and what it loses.
package struct RestoreChanges: Codable, Equatable, Sendable {
    package struct Uuid: Codable, Equatable, Sendable {
        /// As the history names it.
        package let credential: String
        package let nodeID: String
        package let node: String
        /// When the replaced database had it end; nil: it had ended.
        package let to: Timestamp?

        package func encode(to encoder: any Encoder) throws {
            var values = encoder.container(keyedBy: CodingKeys.self)
            try values.encode(credential, forKey: .credential)
            try values.encode(nodeID, forKey: .nodeID)
            try values.encode(node, forKey: .node)
            try values.encode(to, forKey: .to)
        }
    }

    package struct Node: Codable, Equatable, Sendable {
        package let id: String
        package let name: String
    }

    /// False where there is no database that went on from this backup: nobody can tell what has happened since.
    package private(set) var isKnown = false
    /// Good again, or without the end that they had been given.
    package private(set) var goodAgain: [Uuid] = []
    /// Handed out since: who uses one of these is locked out.
    package private(set) var lostUuids: [Uuid] = []
    /// Removed since, and back.
    package private(set) var removedNodes: [Node] = []
    /// Disabled since, and enabled again.
    package private(set) var disabledNodes: [Node] = []
    /// Added since, and gone.
    package private(set) var lostNodes: [Node] = []
    /// Entries of the audit that the backup does not have.
    package private(set) var changes: Int64 = 0

    /// Nil for the database that is replaced: there is none, or it cannot be read.
    init(backup: Database, replaced: Database?, now: Timestamp) throws(SQLiteError) {
        guard let replaced, try Self.follows(replaced, backup) else { return }
        isKnown = true
        let last = try backup.pragma("SELECT coalesce(max(id), 0) FROM audit")
        changes =
            try replaced.first(
                "SELECT count(*) FROM audit WHERE id > ? AND (before NOT NULL OR after NOT NULL)", last
            ) { (row) throws(SQLiteError) in try row.integer(0) } ?? 0
        let (old, new) = (try Side(backup), try Side(replaced))
        for (id, node) in old.nodes.sorted(by: { $0.value.name < $1.value.name }) {
            guard let now = new.nodes[id] else {
                removedNodes.append(Node(id: id, name: node.name))
                continue
            }
            if now.state == .disabled, node.state == .enabled {
                disabledNodes.append(Node(id: id, name: node.name))
            }
        }
        for (id, node) in new.nodes.sorted(by: { $0.value.name < $1.value.name }) where old.nodes[id] == nil {
            lostNodes.append(Node(id: id, name: node.name))
        }
        for (identity, was) in old.credentials where was.isGood(now) {
            guard let node = old.nodes[was.node], new.nodes[was.node] != nil else { continue }
            let isNow = new.credentials[identity]
            let end = isNow?.end ?? (isNow == nil ? now : nil)
            guard let end, was.end.map({ end < $0 }) ?? true else { continue }
            goodAgain.append(
                Uuid(
                    credential: hex(identity), nodeID: was.node, node: node.name,
                    to: isNow?.isGood(now) == true ? end : nil))
        }
        for (identity, isNow) in new.credentials where isNow.isGood(now) && old.credentials[identity] == nil {
            guard let node = old.nodes[isNow.node] else { continue }
            lostUuids.append(
                Uuid(credential: hex(identity), nodeID: isNow.node, node: node.name, to: isNow.end))
        }
        goodAgain.sort { ($0.node, $0.credential) < ($1.node, $1.credential) }
        lostUuids.sort { ($0.node, $0.credential) < ($1.node, $1.credential) }
    }

    /// Whether it has the backup's last entry of the audit, and so all before.
    private static func follows(_ database: Database, _ backup: Database) throws(SQLiteError) -> Bool {
        let last = try backup.first("SELECT id, at, actor, action FROM audit ORDER BY id DESC LIMIT 1") {
            (row) throws(SQLiteError) in
            (id: try row.integer(0), at: try row.integer(1), actor: try row.text(2), action: try row.text(3))
        }
        guard let last else { return true }
        return try database.first(
            "SELECT 1 FROM audit WHERE id = ? AND at = ? AND actor = ? AND action = ?", last.id, last.at,
            last.actor, last.action
        ) { (_) throws(SQLiteError) in true } ?? false
    }

    /// What matters of one of both, in the columns that all schemas have.
    private struct Side {
        struct Credential {
            let node: String
            let end: Timestamp?

            func isGood(_ now: Timestamp) -> Bool { end.map { now < $0 } ?? true }
        }

        var nodes: [String: (name: String, state: NodeState)] = [:]
        var credentials: [[UInt8]: Credential] = [:]

        init(_ database: Database) throws(SQLiteError) {
            let rows = try database.query("SELECT id, name, state FROM nodes") { (row) throws(SQLiteError) in
                (id: try row.text(0), name: try row.text(1), state: try row.word(2) as NodeState)
            }
            for row in rows { nodes[row.id] = (row.name, row.state) }
            let keys = try database.query("SELECT identity, node, not_after FROM credentials") {
                (row) throws(SQLiteError) in
                (try row.blob(0), Credential(node: try row.text(1), end: try row.timeOrNil(2)))
            }
            for (identity, credential) in keys { credentials[identity] = credential }
        }
    }
}

extension Transaction {
    /// Ends again what had ended in the database that a backup has replaced.
    mutating func revokeAgain(_ changes: RestoreChanges) throws(RecordsError) {
        for node in changes.removedNodes {
            let isOfFlags = try reader.credentials(nodeID: node.id).contains { $0.origin == .flags }
            // The server declares it anew at its start, or not at all.
            if !isOfFlags { _ = try removeNode(node.id) }
        }
        for node in changes.disabledNodes { _ = try setNodeState(node.id, .disabled) }
        for uuid in changes.goodAgain {
            let known = try reader.credentials(nodeID: uuid.nodeID).first { $0.name == uuid.credential }
            guard let known else { continue }
            if let time = uuid.to {
                try run("UPDATE credentials SET not_after = ? WHERE identity = ?", time, known.identity)
            } else {
                try end(known, .restored)
            }
            try audit(
                "uuid-ended", node: try reader.node(id: uuid.nodeID),
                detail: "credential \(uuid.credential), as before the restore"
                    + (uuid.to.map { ": good until \($0)" } ?? ""))
        }
    }

    /// Ends the uuids that no key here opens.
    mutating func endUnusable(_ isUsable: (CredentialRecord) -> Bool) throws(RecordsError) {
        for (id, credentials) in try reader.credentials().sorted(by: { $0.key < $1.key }) {
            let unusable = credentials.filter { !isUsable($0) }
            for credential in unusable { try end(credential, .sealedElsewhere) }
            guard !unusable.isEmpty else { continue }
            try audit(
                "node-end-credentials", node: try reader.node(id: id),
                detail: "\(unusable.count) ended: restored without the keys that open them")
        }
    }
}
