import SQLite

extension Transaction {
    /// What the listening side says of a node's mappings. With a session, only while that is the node's open one: the
    /// last words of a replaced link change nothing. Answers whether it was taken. Mappings that are gone are passed over.
    @discardableResult
    package mutating func setObserved(
        _ nodeID: String, session: Int64? = nil, _ states: [ObservedState]
    ) throws(RecordsError) -> Bool {
        if let session {
            guard try openSession(nodeID) == session else { return false }
        }
        for observed in states {
            let (word, bound, detail): (String, String?, String?) =
                switch observed.state {
                case .pending: ("pending", nil, nil)
                case .active(let bound): ("active", Limits.cut(bound, bytes: 128), nil)
                case .failed(let detail): ("failed", nil, Limits.cut(detail, bytes: Limits.detailBytes))
                }
            try run(
                """
                INSERT INTO mapping_states (mapping, state, bound_address, detail, applied_revision, at)
                SELECT id, ?3, ?4, ?5, ?6, ?7 FROM mappings WHERE id = ?1 AND node = ?2
                ON CONFLICT (mapping) DO UPDATE SET state = excluded.state, bound_address = excluded.bound_address,
                    detail = excluded.detail, applied_revision = excluded.applied_revision, at = excluded.at
                """, observed.mapping, nodeID, word, bound, detail, observed.appliedRevision, now)
        }
        return true
    }

    /// A main link stands. `session` comes from `Store.newSessionID()`; an open session of the node ends as `replaced`.
    /// A node that was removed meanwhile is passed over.
    package mutating func sessionUp(
        _ session: Int64, nodeID: String, identity: [UInt8], address: String, version: String, os: String
    ) throws(RecordsError) {
        guard let node = try reader.node(id: nodeID) else { return }
        let cut = { (text: String) in Limits.cut(text, bytes: Limits.nodeTextBytes) }
        try run(
            "UPDATE sessions SET closed_at = ?, reason = 'replaced' WHERE node = ? AND closed_at IS NULL",
            now, nodeID)
        try run(
            """
            INSERT INTO sessions (id, node, node_name, identity, address, version, os, opened_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """, session, nodeID, node.name, identity, cut(address), cut(version), cut(os), now)
        try run(
            "UPDATE nodes SET last_seen_at = ?, address = ?, version = ?, os = ? WHERE id = ?", now,
            cut(address),
            cut(version), cut(os), nodeID)
    }

    /// A session that is closed already keeps its reason.
    package mutating func sessionDown(
        _ session: Int64, reason: String, subConnections: Int = 0
    ) throws(RecordsError) {
        try run(
            """
            UPDATE nodes SET last_seen_at = ?2
            WHERE id = (SELECT node FROM sessions WHERE id = ?1 AND closed_at IS NULL)
            """, session, now)
        try run(
            "UPDATE sessions SET closed_at = ?2, reason = ?3, sub_connections = ?4 WHERE id = ?1 AND closed_at IS NULL",
            session, now, Limits.cut(reason, bytes: Limits.nodeTextBytes), subConnections)
    }

    /// These nodes were heard of just now.
    package mutating func seen(_ nodeIDs: [String]) throws(RecordsError) {
        for id in nodeIDs { try run("UPDATE nodes SET last_seen_at = ? WHERE id = ?", now, id) }
    }

    /// What was observed belongs to the server that observed it. Call it at a server's start (`server-crash` is what
    /// became of sessions still open) and at its clean stop (`server-stop`). Answers how many sessions it closed.
    @discardableResult
    package mutating func closeSessions(reason: String) throws(RecordsError) -> Int {
        try run("DELETE FROM mapping_states")
        return try run("UPDATE sessions SET closed_at = ?, reason = ? WHERE closed_at IS NULL", now, reason)
    }

    private func openSession(_ nodeID: String) throws(RecordsError) -> Int64? {
        try records { () throws(SQLiteError) in
            try database.first("SELECT id FROM sessions WHERE node = ? AND closed_at IS NULL", nodeID) {
                (row) throws(SQLiteError) in try row.integer(0)
            }
        }
    }
}
