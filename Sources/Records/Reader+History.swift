import SQLite

extension Reader {
    /// The audit in the order of events, from `since` on. The last id of a page is the cursor of the next.
    package func audit(
        since: Timestamp? = nil, nodeID: String? = nil, cursor: Int64 = 0, limit: Int = Limits.page
    ) throws(RecordsError) -> [AuditEntry] {
        let count = max(1, min(limit, Limits.page))
        return try records { () throws(SQLiteError) in
            guard let nodeID else {
                return try database.query(
                    """
                    SELECT * FROM audit WHERE id > ?1 AND at >= ?2 AND id >= (SELECT min(id) FROM audit WHERE at >= ?2)
                    ORDER BY id LIMIT ?3
                    """, cursor,
                    since ?? Timestamp(microseconds: .min), count, row: AuditEntry.init)
            }
            return try database.query(
                "SELECT * FROM audit WHERE node = ? AND id > ? AND at >= ? ORDER BY id LIMIT ?", nodeID,
                cursor,
                since ?? Timestamp(microseconds: .min), count, row: AuditEntry.init)
        }
    }

    /// The newest entries, newest first.
    package func newestAudit(limit: Int) throws(RecordsError) -> [AuditEntry] {
        try records { () throws(SQLiteError) in
            try database.query(
                "SELECT * FROM audit ORDER BY id DESC LIMIT ?", max(1, min(limit, Limits.page)),
                row: AuditEntry.init)
        }
    }

    /// A node's main links, newest first; `before` is the last id of the page before.
    package func sessions(
        nodeID: String, before: Int64 = .max, limit: Int = Limits.page
    ) throws(RecordsError) -> [Session] {
        try records { () throws(SQLiteError) in
            try database.query(
                """
                SELECT id, node, node_name, address, version, os, opened_at, closed_at, reason, sub_connections
                FROM sessions WHERE node = ? AND id < ? ORDER BY id DESC LIMIT ?
                """, nodeID, before, max(1, min(limit, Limits.page)), row: Session.init)
        }
    }

    func highestSession() throws(RecordsError) -> Int64 {
        try records { () throws(SQLiteError) in
            try database.first("SELECT coalesce(max(id), 0) FROM sessions") { (row) throws(SQLiteError) in
                try row.integer(0)
            } ?? 0
        }
    }
}
