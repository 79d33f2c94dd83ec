import SQLite

extension Reader {
    /// A page of the history. `cursor` is the `next` of the page before: rows that are appended meanwhile, or that go at the
    /// other end, neither repeat nor hide one.
    ///
    /// Its work is bounded by `budget`, so a filter that little matches answers short pages. Gaps stand where they were among
    /// the connections that were looked at; `present` is one that no note tells yet (``Store/presentGap(_:)``).
    package func history(
        _ filter: ConnectionFilter, order: ConnectionOrder = .newest, cursor: Int64? = nil,
        limit: Int = Limits.page, budget: PageBudget = PageBudget(), present: HistoryGap? = nil
    ) throws(RecordsError) -> HistoryPage {
        let limit = max(1, min(limit, Limits.page))
        let conditions = try conditions(filter)
        var ids = try ids(in: .opened, since: filter.since, until: filter.latestOpening)
        if let cursor {
            ids = ids.flatMap { all in
                let low = order == .newest ? all.lowerBound : max(all.lowerBound, cursor.adding(1))
                let high = order == .newest ? min(all.upperBound, cursor.adding(-1)) : all.upperBound
                return low <= high ? low...high : nil
            }
        }
        var search = ConnectionSearch(self, conditions, order, in: ids, first: limit, budget: budget)
        var found: [ConnectionRecord] = []
        var next: Int64?
        while !search.isDone {
            var isCut = false
            try search.step { (part) throws(RecordsError) in
                let room = limit - found.count
                // One more than fit tells whether the page is cut, or ends where the part does.
                let all = try self.ids(of: part, conditions, order, limit: room + 1)
                let ids = all.prefix(room)
                for id in ids {
                    guard var record = try connection(id: id), conditions.holds(record) else { continue }
                    record.setPassed(filter.open?[id])
                    found.append(record)
                }
                isCut = all.count > room
                next = isCut ? ids.last : order == .newest ? part.ids.lowerBound : part.ids.upperBound
                return ids.count
            }
            if isCut || (search.isSpent || found.count == limit) && !search.isDone { break }
            if search.isDone { next = nil }
        }
        let gaps = try gaps(filter, order, from: cursor, to: next, present)
        return HistoryPage(entries: Self.merge(found, gaps, order), next: next)
    }

    /// One connection, with its bytes so far if it is open and they are known.
    package func connection(id: Int64) throws(RecordsError) -> ConnectionRecord? {
        try records { () throws(SQLiteError) in
            // The tables that are verified, each by its key; no view, whose text is in the file.
            try database.query(
                ConnectionRecord.columns + """
                     FROM opened AS o NOT INDEXED CROSS JOIN routes AS r ON r.id = o.route
                    LEFT JOIN closed AS c ON c.connection = o.id WHERE o.id = ?
                    """, list: [id], row: ConnectionRecord.init
            ).first
        }
    }

    /// The first `limit` ids of a part that meet the conditions, in order.
    private func ids(
        of part: ConnectionScan.Part, _ conditions: ConnectionConditions, _ order: ConnectionOrder, limit: Int
    ) throws(RecordsError) -> [Int64] {
        var found: [Int64] = []
        for source in part.sources {
            let (from, condition, values) = ConnectionScan.text(source)
            let sql =
                "SELECT o.id" + from + conditions.joinClosed + conditions.joinRoute + condition
                + conditions.text
                + (order == .newest ? " ORDER BY o.id DESC LIMIT ?" : " ORDER BY o.id LIMIT ?")
            found += try records { () throws(SQLiteError) in
                try database.query(sql, list: values + conditions.values + [limit]) {
                    (row) throws(SQLiteError) in try row.integer(0)
                }
            }
        }
        if part.sources.count > 1 { found.sort { order == .newest ? $0 > $1 : $0 < $1 } }
        return Array(found.prefix(limit))
    }

    // MARK: Gaps

    /// Those noted between the connections where a page begins and where it ends. A page is told from the next by the time of
    /// the connection between them, so each gap is in one of them, however few connections there are.
    private func gaps(
        _ filter: ConnectionFilter, _ order: ConnectionOrder, from cursor: Int64?, to next: Int64?,
        _ present: HistoryGap?
    ) throws(RecordsError) -> [(at: Timestamp, gap: HistoryGap)] {
        guard filter.isOpen != true else { return [] }
        // A page newest first has the ids below `cursor`, from `next` on; oldest first those above `cursor`, up to `next`.
        let (first, last) = (try openingTime(at: cursor, order), try openingTime(at: next, order))
        let (low, high) = order == .newest ? (last, first) : (first, last)
        let (since, until) = (filter.since ?? filter.at, filter.until ?? filter.at)
        // A gap of a clock that was set back ends before it begins.
        var all = try records { () throws(SQLiteError) in
            try database.query(
                """
                SELECT at, from_at, to_at, detail FROM notes
                WHERE kind = 'gap' AND at >= ? AND at < ? AND from_at NOT NULL AND to_at NOT NULL
                    AND max(from_at, to_at) >= ? AND min(from_at, to_at) <= ?
                ORDER BY at DESC, id DESC LIMIT ?
                """, low ?? .lowest, high ?? .highest, since ?? .lowest, until ?? .highest, Self.gapsTold + 1
            ) { (row) throws(SQLiteError) in
                (
                    at: try row.time(0),
                    gap: HistoryGap(
                        from: try row.time(1), to: try row.time(2), cause: try row.textOrNil(3) ?? "unknown")
                )
            }
        }
        if all.count > Self.gapsTold, let youngest = all.popLast()?.gap {
            // A server that starts and ends for days. The older ones are one, which ends where the others begin.
            let oldest = low ?? since ?? .first
            all.append((youngest.from, HistoryGap(from: oldest, to: youngest.to, cause: Self.manyGaps)))
        }
        if high == nil, let present, present.to >= since ?? .lowest, present.from <= until ?? .highest {
            all.insert((present.to, present), at: 0)
        }
        return order == .newest ? all : all.reversed()
    }

    /// Of one page.
    private static let gapsTold = 10_000
    private static let manyGaps = "many-gaps"

    /// Of the connection with this id, or the nearest beside it.
    func openingTime(at id: Int64?, _ order: ConnectionOrder) throws(RecordsError) -> Timestamp? {
        guard let id else { return nil }
        return try records { () throws(SQLiteError) in
            // On the side on which rows do not come and go.
            switch order {
            case .newest:
                try database.first("SELECT at FROM opened WHERE id >= ? ORDER BY id LIMIT 1", id) {
                    (row) throws(SQLiteError) in try row.time(0)
                }
            case .oldest:
                try database.first("SELECT at FROM opened WHERE id <= ? ORDER BY id DESC LIMIT 1", id) {
                    (row) throws(SQLiteError) in try row.time(0)
                }
            }
        }
    }

    private static func merge(
        _ records: [ConnectionRecord], _ gaps: [(at: Timestamp, gap: HistoryGap)], _ order: ConnectionOrder
    ) -> [HistoryEntry] {
        var entries: [HistoryEntry] = []
        entries.reserveCapacity(records.count + gaps.count)
        var rest = gaps[...]
        for record in records {
            // A connection that was opened after the gap was noted stands on its younger side.
            while let gap = rest.first,
                order == .newest ? record.openedAt < gap.at : record.openedAt >= gap.at
            {
                entries.append(.gap(gap.gap))
                rest.removeFirst()
            }
            entries.append(.connection(record))
        }
        return entries + rest.map { .gap($0.gap) }
    }
}

extension Timestamp {
    /// Beyond all that may be stored.
    fileprivate static let lowest = Timestamp(microseconds: .min)
    fileprivate static let highest = Timestamp(microseconds: .max)
}

extension ConnectionFilter {
    /// Before which a connection must have been opened.
    var latestOpening: Timestamp? {
        guard let at else { return until }
        let next = Timestamp(microseconds: at.microseconds.adding(1))
        return until.map { min($0, next) } ?? next
    }
}

extension Int64 {
    /// To the end of the range at most: a cursor is what a client says, and any number may be in it.
    func adding(_ number: Int64) -> Int64 {
        let (sum, isOut) = addingReportingOverflow(number)
        return isOut ? number > 0 ? .max : .min : sum
    }
}

extension ConnectionRecord {
    /// While it is open, what has passed so far stands where the counts will be.
    package mutating func setPassed(_ passed: PassedBytes?) {
        guard isOpen, let passed else { return }
        bytesUp = passed.up
        bytesDown = passed.down
    }
}
