import SQLite

// From times to ids. Ids are given in the order of opening (and of closing, in `closed`), so times ascend with them, but for a
// clock that was set back. Let B be the sum of all steps back. A row with a higher id is then never more than B older than one
// with a lower id. So once a row is found that is older than `since - B`, no row before it can be `since` or younger, and once
// one is found that is not older than `until + B`, none after it is older than `until`: whatever way the search took to find
// it, these ends are right, and the exact times are compared row by row between them.

extension Reader {
    /// For steps back that are too small for the history to note.
    private static let slackMicroseconds: Int64 = 60_000_000

    enum TimedTable {
        case opened, closed
    }

    /// The ids between which all rows lie whose times are in `since..<until`.
    func ids(
        in table: TimedTable, since: Timestamp?, until: Timestamp?
    ) throws(RecordsError) -> ClosedRange<Int64>? {
        guard let all = try span(of: table) else { return nil }
        guard since != nil || until != nil else { return all }
        let slack = try stepsBack() &+ Self.slackMicroseconds
        var (low, high) = (all.lowerBound, all.upperBound)
        if let since {
            let (time, isOut) = since.microseconds.subtractingReportingOverflow(slack)
            if !isOut { low = try firstNotBefore(time, in: table, all) }
        }
        if let until {
            let (time, isOut) = until.microseconds.addingReportingOverflow(slack)
            if !isOut { high = try firstNotBefore(time, in: table, all) - 1 }
        }
        return low <= high ? low...high : nil
    }

    private func span(of table: TimedTable) throws(RecordsError) -> ClosedRange<Int64>? {
        let read = { (row: borrowing Row) throws(SQLiteError) -> ClosedRange<Int64>? in
            guard let low = try row.integerOrNil(0), let high = try row.integerOrNil(1) else { return nil }
            // No server gives other ids: what else lies there is no part of the history.
            let (first, last) = (max(low, 1), min(high, .max - 1))
            return first <= last ? first...last : nil
        }
        return try records { () throws(SQLiteError) in
            switch table {
            case .opened:
                try database.first(
                    "SELECT (SELECT min(id) FROM opened), (SELECT max(id) FROM opened)", row: read) ?? nil
            case .closed:
                try database.first(
                    "SELECT (SELECT min(id) FROM closed), (SELECT max(id) FROM closed)", row: read) ?? nil
            }
        }
    }

    /// By halves: an id below which every row looked at was older, and from which on none was.
    private func firstNotBefore(
        _ microseconds: Int64, in table: TimedTable, _ all: ClosedRange<Int64>
    ) throws(RecordsError) -> Int64 {
        var (low, high) = (all.lowerBound, all.upperBound + 1)
        while low < high {
            let middle = low + (high - low) / 2
            guard let row = try firstRow(from: middle, below: high, table), row.at < microseconds else {
                high = middle
                continue
            }
            low = row.id + 1
        }
        return low
    }

    private func firstRow(
        from id: Int64, below end: Int64, _ table: TimedTable
    ) throws(RecordsError) -> (id: Int64, at: Int64)? {
        let read = { (row: borrowing Row) throws(SQLiteError) in
            (id: try row.integer(0), at: try row.integer(1))
        }
        return try records { () throws(SQLiteError) in
            switch table {
            case .opened:
                try database.first(
                    "SELECT id, at FROM opened WHERE id >= ? AND id < ? ORDER BY id LIMIT 1", id, end,
                    row: read)
            case .closed:
                try database.first(
                    "SELECT id, at FROM closed WHERE id >= ? AND id < ? ORDER BY id LIMIT 1", id, end,
                    row: read)
            }
        }
    }

    /// In microseconds, of all steps that the history noted: a sum of whole numbers would fail where a clock was out of its mind.
    private func stepsBack() throws(RecordsError) -> Int64 {
        try records { () throws(SQLiteError) in
            try database.first(
                """
                SELECT CAST(min(total(CAST(from_at AS REAL) - to_at), 4e18) AS INTEGER) FROM notes
                WHERE kind = 'gap' AND to_at < from_at
                """
            ) { (row) throws(SQLiteError) in try row.integer(0) } ?? 0
        }
    }
}
