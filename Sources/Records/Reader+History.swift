import SQLite

/// Which entries of the audit are meant; nil asks for all.
package struct AuditFilter: Equatable, Sendable {
    package var since: Timestamp?
    package var until: Timestamp?
    /// As in `ConnectionFilter`.
    package var node: String?
    /// The whole name.
    package var actor: String?
    /// The whole word.
    package var action: String?
    package var mapping: Int64?

    package init(
        since: Timestamp? = nil, until: Timestamp? = nil, node: String? = nil, actor: String? = nil,
        action: String? = nil, mapping: Int64? = nil
    ) {
        self.since = since
        self.until = until
        self.node = node
        self.actor = actor
        self.action = action
        self.mapping = mapping
    }
}

extension Reader {
    /// The audit in the order of events. The last id of a page is the cursor of the next.
    package func audit(
        _ filter: AuditFilter = AuditFilter(), cursor: Int64 = 0, limit: Int = Limits.page
    ) throws(RecordsError) -> [AuditEntry] {
        try audit(filter, " AND id > ?", cursor, " ORDER BY id LIMIT ?", limit)
    }

    /// The newest entries, newest first; `before` is the last id of the page before.
    package func newestAudit(
        _ filter: AuditFilter = AuditFilter(), before: Int64 = .max, limit: Int = Limits.page
    ) throws(RecordsError) -> [AuditEntry] {
        try audit(filter, " AND id < ?", before, " ORDER BY id DESC LIMIT ?", limit)
    }

    private func audit(
        _ filter: AuditFilter, _ side: ComposedSQL, _ cursor: Int64, _ order: ComposedSQL, _ limit: Int
    ) throws(RecordsError) -> [AuditEntry] {
        var sql: ComposedSQL = "SELECT * FROM audit WHERE 1"
        var values: [any Bindable] = []
        if let since = filter.since {
            // Times ascend with the ids but for clocks set back: no row before the first of them is meant.
            sql += " AND at >= ? AND id >= (SELECT min(id) FROM audit WHERE at >= ?)"
            values += [since, since]
        }
        if let until = filter.until {
            sql += " AND at < ?"
            values.append(until)
        }
        if let node = filter.node {
            let match = try historyNode(node)
            sql += " AND (node = ? OR node_name = ?)"
            values += [match.id, match.name] as [any Bindable]
        }
        if let actor = filter.actor {
            // alice is also `alice (as root)`.
            sql += " AND (actor = ? OR substr(actor, 1, length(?)) = ?)"
            values += [actor, actor + " (as ", actor + " (as "] as [any Bindable]
        }
        if let action = filter.action {
            sql += " AND action = ?"
            values.append(action)
        }
        if let mapping = filter.mapping {
            sql += " AND mapping = ?"
            values.append(mapping)
        }
        return try records { () throws(SQLiteError) in
            try database.query(
                sql + side + order,
                list: values + [cursor, max(1, min(limit, Limits.page))] as [any Bindable],
                row: AuditEntry.init)
        }
    }

    /// The id of the newest entry.
    package func auditEnd() throws(RecordsError) -> Int64 {
        try records { () throws(SQLiteError) in try database.pragma("SELECT coalesce(max(id), 0) FROM audit")
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

    /// The last sign of life of a server that ended without saying so, if the one before this start did.
    package func lastCrash() throws(RecordsError) -> Timestamp? {
        try records { () throws(SQLiteError) in
            try database.first(
                "SELECT from_at FROM notes WHERE kind = 'gap' AND detail = ? ORDER BY id DESC LIMIT 1",
                Note.Gap.serverCrash.rawValue
            ) { (row) throws(SQLiteError) in try row.timeOrNil(0) } ?? nil
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
