import SQLite

/// Where a follower is: the last opening, closing and note that it has seen. As text `12.9.3`.
package struct FollowCursor: Equatable, Sendable, CustomStringConvertible {
    package let opened: Int64
    package let closed: Int64
    package let note: Int64

    package init(opened: Int64, closed: Int64, note: Int64) {
        self.opened = opened
        self.closed = closed
        self.note = note
    }

    package init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { part in
            part.utf8.allSatisfy { (48...57).contains($0) } ? Int64(part) : nil
        }
        guard parts.count == 3, let opened = parts[0], let closed = parts[1], let note = parts[2] else {
            return nil
        }
        self.init(opened: opened, closed: closed, note: note)
    }

    package var description: String { "\(opened).\(closed).\(note)" }
}

extension Reader {
    /// Rows of each table that one answer to a follower goes through.
    private static let rowsFollowed: Int64 = 2_000

    /// The end of the history: whoever follows from here hears what comes.
    package func historyEnd() throws(RecordsError) -> FollowCursor {
        try records { () throws(SQLiteError) in
            try database.first(
                """
                SELECT coalesce((SELECT max(id) FROM opened), 0), coalesce((SELECT max(id) FROM closed), 0),
                    coalesce((SELECT max(id) FROM notes), 0)
                """
            ) { (row) throws(SQLiteError) in
                FollowCursor(opened: try row.integer(0), closed: try row.integer(1), note: try row.integer(2))
            } ?? FollowCursor(opened: 0, closed: 0, note: 0)
        }
    }

    /// Where a follower goes on that has seen all up to the opening of a connection: nothing that it may have missed is left
    /// out, so ends since that opening come again.
    package func followCursor(from connection: Int64) throws(RecordsError) -> FollowCursor {
        let end = try historyEnd()
        guard let opening = try openingTime(at: connection, .oldest) else {
            return FollowCursor(opened: 0, closed: 0, note: 0)
        }
        var closed = end.closed
        if let ids = try ids(in: .closed, since: opening, until: nil) {
            let first = try records { () throws(SQLiteError) in
                try database.first(
                    "SELECT min(id) FROM closed NOT INDEXED WHERE id BETWEEN ? AND ? AND at >= ?",
                    ids.lowerBound, ids.upperBound, opening
                ) { (row) throws(SQLiteError) in try row.integerOrNil(0) } ?? nil
            }
            if let first { closed = first - 1 }
        }
        let note = try records { () throws(SQLiteError) in
            try database.first("SELECT min(id) FROM notes WHERE kind = 'gap' AND at >= ?", opening) {
                (row) throws(SQLiteError) in try row.integerOrNil(0)
            } ?? nil
        }
        return FollowCursor(
            opened: min(connection, end.opened), closed: closed, note: note.map { $0 - 1 } ?? end.note)
    }

    /// What happened after `cursor`, in the order of the events: each connection when it is opened and again when it has
    /// ended, once if both were meanwhile. Answers where it got to, which is short of the end when there is much.
    package func following(
        _ filter: ConnectionFilter, after cursor: FollowCursor
    ) throws(RecordsError) -> (entries: [HistoryEntry], next: FollowCursor) {
        let conditions = try conditions(filter)
        let end = try historyEnd()
        let first = try records { () throws(SQLiteError) in
            try database.first("SELECT min(id) - 1 FROM opened WHERE id > ?", cursor.opened) {
                (row) throws(SQLiteError) in try row.integerOrNil(0)
            } ?? nil
        }
        let next = FollowCursor(
            // A hole in the ids, however large, is passed over at once.
            opened: min(end.opened, (first ?? cursor.opened).adding(Self.rowsFollowed)),
            closed: min(end.closed, cursor.closed.adding(Self.rowsFollowed)),
            note: min(end.note, cursor.note.adding(Self.rowsFollowed)))
        var events: [(at: Timestamp, entry: HistoryEntry)] = []
        let found =
            try openings(conditions, after: cursor, to: next) + closings(conditions, after: cursor, to: next)
        for var record in found where conditions.holds(record) {
            record.setPassed(filter.open?[record.id])
            events.append((record.closedAt ?? record.openedAt, .connection(record)))
        }
        for (at, gap) in try gaps(after: cursor.note, through: next.note) { events.append((at, .gap(gap))) }
        return (events.sorted { $0.at < $1.at }.map(\.entry), next)
    }

    /// A closing that this answer does not reach is left to a later one: until then the connection is open.
    private func openings(
        _ conditions: ConnectionConditions, after cursor: FollowCursor, to next: FollowCursor
    ) throws(RecordsError) -> [ConnectionRecord] {
        let sql =
            ConnectionRecord.columns + " FROM opened AS o NOT INDEXED "
            + (conditions.closing == .required ? "CROSS" : "LEFT")
                + """
                 JOIN closed AS c ON c.connection = o.id AND c.id <= ? CROSS JOIN routes AS r ON r.id = o.route
                WHERE o.id > ? AND o.id <= ?
                """ + conditions.text
        return try records { () throws(SQLiteError) in
            try database.query(
                sql, list: [next.closed, cursor.opened, next.opened] as [any Bindable] + conditions.values,
                row: ConnectionRecord.init)
        }
    }

    /// Of connections whose opening came before: the others come with it.
    private func closings(
        _ conditions: ConnectionConditions, after cursor: FollowCursor, to next: FollowCursor
    ) throws(RecordsError) -> [ConnectionRecord] {
        let sql =
            ConnectionRecord.columns + """
                 FROM closed AS c NOT INDEXED CROSS JOIN opened AS o ON o.id = c.connection
                CROSS JOIN routes AS r ON r.id = o.route WHERE c.id > ? AND c.id <= ? AND o.id <= ?
                """ + conditions.text
        return try records { () throws(SQLiteError) in
            try database.query(
                sql, list: [cursor.closed, next.closed, cursor.opened] as [any Bindable] + conditions.values,
                row: ConnectionRecord.init)
        }
    }

    private func gaps(after id: Int64, through last: Int64) throws(RecordsError) -> [(Timestamp, HistoryGap)]
    {
        try records { () throws(SQLiteError) in
            try database.query(
                """
                SELECT at, from_at, to_at, detail FROM notes WHERE id > ? AND id <= ? AND kind = 'gap'
                AND from_at NOT NULL AND to_at NOT NULL ORDER BY id
                """, id, last
            ) { (row) throws(SQLiteError) in
                (
                    try row.time(0),
                    HistoryGap(
                        from: try row.time(1), to: try row.time(2), cause: try row.textOrNil(3) ?? "unknown")
                )
            }
        }
    }
}
