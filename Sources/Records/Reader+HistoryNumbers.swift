import SQLite

extension Reader {
    /// Counts of whole tables go through the smallest index, and what has passed is summed up from the closings in parts by
    /// `closedTotals`: both take time with the history's length, some 2 s for 10 million connections.
    package func historyNumbers() throws(RecordsError) -> HistoryNumbers {
        var numbers = HistoryNumbers()
        numbers.rows = try historyRows()
        numbers.connections = numbers.rows["opened"] ?? 0
        numbers.closed = numbers.rows["closed"] ?? 0
        (numbers.oldest, numbers.newest) = try historyEnds()
        try records { () throws(SQLiteError) in
            try database.forEach(
                """
                SELECT coalesce(detail, 'unknown'), CAST(min(total(count), 9e18) AS INTEGER) FROM notes WHERE kind = 'refusals'
                GROUP BY 1
                """
            ) { (row) throws(SQLiteError) in numbers.refusals[try row.text(0)] = try row.integer(1) }
            numbers.gaps =
                try database.first("SELECT count(*) FROM notes WHERE kind = 'gap'") {
                    (row) throws(SQLiteError) in try row.integer(0)
                } ?? 0
            numbers.heads = try database.query("SELECT name, id, head FROM chain_heads ORDER BY name") {
                (row) throws(SQLiteError) in
                HistoryNumbers.Head(
                    table: try row.text(0), id: try row.integer(1), hash: hex(try row.blob(2)))
            }
        }
        return numbers
    }

    /// What passed through the connections whose closings are the next `rows` after `closing`; `next` is nil at the end.
    package func closedTotals(
        after closing: Int64, rows: Int = 400_000
    ) throws(RecordsError) -> (totals: ConnectionTotals, next: Int64?) {
        var totals = ConnectionTotals()
        let last = try records { () throws(SQLiteError) in
            try database.first(
                """
                SELECT count(*), CAST(min(total(up), 9e18) AS INTEGER), CAST(min(total(down), 9e18) AS INTEGER), max(id)
                FROM closed NOT INDEXED WHERE id > ?1 AND id <= ?1 + ?2
                """, closing, rows
            ) { (row) throws(SQLiteError) -> Int64? in
                totals.connections = try row.integer(0)
                totals.up = try row.integer(1)
                totals.down = try row.integer(2)
                return try row.integerOrNil(3)
            } ?? nil
        }
        if let last { return (totals, last) }
        // Nothing in this stretch of ids, but maybe after it.
        let next = try records { () throws(SQLiteError) in
            try database.first("SELECT id - 1 FROM closed WHERE id > ? ORDER BY id LIMIT 1", closing) {
                (row) throws(SQLiteError) in try row.integer(0)
            }
        }
        return (totals, next)
    }

    private func historyRows() throws(RecordsError) -> [String: Int64] {
        try records { () throws(SQLiteError) in
            try database.first(
                """
                SELECT (SELECT count(*) FROM opened), (SELECT count(*) FROM closed), (SELECT count(*) FROM routes),
                    (SELECT count(*) FROM notes), (SELECT count(*) FROM audit), (SELECT count(*) FROM seals)
                """
            ) { (row) throws(SQLiteError) in
                [
                    "opened": try row.integer(0), "closed": try row.integer(1), "routes": try row.integer(2),
                    "notes": try row.integer(3), "audit": try row.integer(4), "seals": try row.integer(5),
                ]
            } ?? [:]
        }
    }

    private func historyEnds() throws(RecordsError) -> (oldest: Timestamp?, newest: Timestamp?) {
        try records { () throws(SQLiteError) in
            try database.first(
                """
                SELECT (SELECT at FROM opened ORDER BY id LIMIT 1), (SELECT at FROM opened ORDER BY id DESC LIMIT 1)
                """
            ) { (row) throws(SQLiteError) in (oldest: try row.timeOrNil(0), newest: try row.timeOrNil(1)) }
                ?? (nil, nil)
        }
    }
}
