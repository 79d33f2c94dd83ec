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

    /// A main link, as far as it has come: the same one may be told again, later or earlier in its life. It is known whether
    /// or not its node still is. `id` comes from `Store.newSessionID()`; an open session of the node ends as `replaced`.
    package mutating func setSession(_ session: ObservedSession) throws(RecordsError) {
        let cut = { (text: String) in Limits.cut(text, bytes: Limits.nodeTextBytes) }
        let reason = session.end.map { cut($0.reason) }
        let isKnown = try has("SELECT 1 FROM sessions WHERE id = ?", session.id)
        if isKnown {
            guard let end = session.end else { return }
            // One that is closed already keeps its reason.
            try run(
                "UPDATE sessions SET closed_at = ?, reason = ?, sub_connections = ? WHERE id = ? AND closed_at IS NULL",
                end.at, reason, end.subConnections, session.id)
        } else {
            if session.end == nil {
                try run(
                    "UPDATE sessions SET closed_at = ?, reason = 'replaced' WHERE node = ? AND closed_at IS NULL",
                    session.openedAt, session.nodeID)
            }
            try run(
                """
                INSERT INTO sessions (id, node, node_name, identity, address, version, os, opened_at, closed_at,
                    reason, sub_connections, instance)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """, session.id, session.nodeID, session.node, session.identity, cut(session.address),
                cut(session.version), cut(session.os), session.openedAt, session.end?.at, reason,
                session.end?.subConnections, session.instance)
        }
        let heard = session.end?.heardAt ?? session.openedAt
        try run(
            """
            UPDATE nodes SET last_seen_at = ?, last_seen_within = NULL, address = ?, version = ?, os = ?
            WHERE id = ?
            """, heard, cut(session.address), cut(session.version), cut(session.os), session.nodeID)
        try used(session.identity, at: heard)
    }

    /// When these nodes were last heard, and with which uuid.
    package mutating func seen(_ nodes: [SeenNode]) throws(RecordsError) {
        for node in nodes {
            try run(
                "UPDATE nodes SET last_seen_at = ?, last_seen_within = NULL WHERE id = ?", node.at, node.id)
            try used(node.identity, at: node.at)
        }
    }

    private func used(_ identity: [UInt8], at time: Timestamp) throws(RecordsError) {
        try run(
            "UPDATE credentials SET last_used_at = max(coalesce(last_used_at, ?2), ?2) WHERE identity = ?1",
            identity, time)
    }

    /// What was observed belongs to the server that observed it. Call it at a server's start (`server-crash` is what
    /// became of sessions still open, at the last server's last sign of life) and at its clean stop (`server-stop`). Answers
    /// how many sessions it closed.
    @discardableResult
    package mutating func closeSessions(
        reason: String, lastAlive: Timestamp? = nil
    ) throws(RecordsError) -> Int {
        try run("DELETE FROM mapping_states")
        let end = min(lastAlive ?? now, now)
        if lastAlive != nil {
            // Its link stood then, so it had been heard of not long before.
            try run(
                """
                UPDATE nodes SET last_seen_within = max(?1 - last_seen_at, 0)
                WHERE id IN (SELECT node FROM sessions WHERE closed_at IS NULL) AND last_seen_at IS NOT NULL
                """, end)
        }
        return try run(
            "UPDATE sessions SET closed_at = max(opened_at, ?), reason = ? WHERE closed_at IS NULL", end,
            reason)
    }

    private func has(_ sql: StaticString, _ id: Int64) throws(RecordsError) -> Bool {
        try records { () throws(SQLiteError) in
            try database.first(sql, id) { (_) throws(SQLiteError) in true } ?? false
        }
    }

    private func openSession(_ nodeID: String) throws(RecordsError) -> Int64? {
        try records { () throws(SQLiteError) in
            try database.first("SELECT id FROM sessions WHERE node = ? AND closed_at IS NULL", nodeID) {
                (row) throws(SQLiteError) in try row.integer(0)
            }
        }
    }
}
