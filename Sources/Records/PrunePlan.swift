import SQLite

/// What of the history may go: found on a reading connection, while the writer goes on.
struct PrunePlan: Sendable {
    struct Seal: Equatable, Sendable {
        let id: Int64
        let at: Timestamp
        let opened: Int64
        let closed: Int64

        static let none = Seal(id: 0, at: Timestamp(microseconds: 0), opened: 0, closed: 0)
    }

    /// What decides how much goes.
    enum Rule: Sendable {
        /// All that ended before.
        case before(Timestamp)
        /// A share of the openings, 0 to 1, the oldest.
        case share(Double)
    }

    /// What was pruned last ends here.
    let from: Seal
    /// All behind it goes.
    let seal: Seal

    /// Nil when nothing goes. `heldBy` is the hold that made it less.
    static func make(
        _ rule: Rule, in database: Database
    ) throws(SQLiteError) -> (plan: PrunePlan?, heldBy: Int64?) {
        let from = try lastPruned(in: database)
        let hold = try earliestHold(in: database)
        let wanted: (opened: Int64, closed: Int64)
        switch rule {
        case .before(let time): wanted = try bounds(time, from, database)
        case .share(let share):
            let high = try database.pragma("SELECT coalesce(max(id), 0) FROM opened")
            let room = Double(max(0, high - from.opened)) * min(1, max(0, share))
            // A seal at least, or a small share would never come to anything.
            let first = try database.first(
                "SELECT opened_id FROM seals WHERE id > ? AND opened_id > ? ORDER BY id LIMIT 1", from.id,
                from.opened
            ) { (row) throws(SQLiteError) in try row.integer(0) }
            wanted = (max(from.opened + Int64(room), first ?? 0) + 1, .max)
        }
        var bounds = wanted
        if let hold {
            let kept = try Self.bounds(hold.since, from, database)
            bounds = (min(kept.opened, wanted.opened), min(kept.closed, wanted.closed))
        }
        let seal = try newestSeal(behind: bounds, after: from, database)
        let unheld = bounds == wanted ? seal : try newestSeal(behind: wanted, after: from, database)
        return (seal.map { PrunePlan(from: from, seal: $0) }, unheld == seal ? nil : hold?.id)
    }

    /// The ids of the first opening and of the first closing that are not older. Ids and times go together but for steps of
    /// the clock, so the rows themselves are asked. One that is dated ahead of now was written under a clock that was wrong,
    /// and is as old as the next that is not: it would keep all that follows until its date.
    private static func bounds(
        _ time: Timestamp, _ from: Seal, _ database: Database
    ) throws(SQLiteError) -> (opened: Int64, closed: Int64) {
        let now = max(Timestamp.now, time)
        let id = { (row: borrowing Row) throws(SQLiteError) in try row.integer(0) }
        // Before the first that is not older, or before the end: the last that is older, and then what comes after it.
        let opened =
            try database.first(
                "SELECT id FROM opened WHERE id > ? AND at >= ? AND at <= ? ORDER BY id LIMIT 1",
                from.opened, time, now, row: id) ?? .max
        let lastOpened =
            try database.first(
                "SELECT id FROM opened WHERE id > ? AND id < ? AND at <= ? ORDER BY id DESC LIMIT 1",
                from.opened, opened, now, row: id) ?? from.opened
        let closed =
            try database.first(
                "SELECT id FROM closed WHERE id > ? AND at >= ? AND at <= ? ORDER BY id LIMIT 1",
                from.closed, time, now, row: id) ?? .max
        let lastClosed =
            try database.first(
                "SELECT id FROM closed WHERE id > ? AND id < ? AND at <= ? ORDER BY id DESC LIMIT 1",
                from.closed, closed, now, row: id) ?? from.closed
        let nextOpened = try database.first(
            "SELECT id FROM opened WHERE id > ? ORDER BY id LIMIT 1", lastOpened, row: id)
        let nextClosed = try database.first(
            "SELECT id FROM closed WHERE id > ? ORDER BY id LIMIT 1", lastClosed, row: id)
        return (nextOpened ?? .max, nextClosed ?? .max)
    }

    /// Found by halving: heads only grow from seal to seal. Nil when there is none that has anything behind it.
    private static func newestSeal(
        behind bounds: (opened: Int64, closed: Int64), after from: Seal, _ database: Database
    ) throws(SQLiteError) -> Seal? {
        var low = from
        var high = try database.pragma("SELECT coalesce(max(id), 0) FROM seals")
        while low.id < high {
            let middle = low.id + (high - low.id + 1) / 2
            // Ids have holes where a backup was restored.
            guard let seal = try seal(from: middle, in: database), seal.id <= high else {
                high = middle - 1
                continue
            }
            if seal.opened < bounds.opened, seal.closed < bounds.closed {
                low = seal
            } else {
                high = middle - 1
            }
        }
        return low.opened > from.opened || low.closed > from.closed ? low : nil
    }

    /// The first seal whose id is this or higher.
    static func seal(from id: Int64, in database: Database) throws(SQLiteError) -> Seal? {
        try database.first(
            "SELECT id, at, opened_id, closed_id FROM seals WHERE id >= ? ORDER BY id LIMIT 1", id
        ) { (row) throws(SQLiteError) in
            Seal(
                id: try row.integer(0), at: try row.time(1), opened: try row.integer(2),
                closed: try row.integer(3))
        }
    }

    static func lastPruned(in database: Database) throws(SQLiteError) -> Seal {
        guard let note = try PruneNote.last(in: database) else { return .none }
        guard let seal = try seal(from: note.seal, in: database), seal.id == note.seal else {
            throw .damaged("the seal of the last pruning is not there")
        }
        return seal
    }

    /// The pruning that was begun and has not ended, to be ended first.
    static func unfinished(in database: Database) throws(SQLiteError) -> PrunePlan? {
        guard let note = try PruneNote.last(in: database), note.phase == .begun else { return nil }
        let seal = try lastPruned(in: database)
        guard note.after > 0 else { return PrunePlan(from: .none, seal: seal) }
        return try Self.seal(from: note.after, in: database).map { PrunePlan(from: $0, seal: seal) }
    }

    // MARK: Holds

    private static func earliestHold(
        in database: Database
    ) throws(SQLiteError) -> (id: Int64, since: Timestamp)? {
        try database.first(
            "SELECT id, since FROM holds WHERE released_at IS NULL ORDER BY since, id LIMIT 1"
        ) { (row) throws(SQLiteError) in (id: try row.integer(0), since: try row.time(1)) }
    }

    /// The newest hold, and the one that reaches behind the seal: of the rows that are still there one is not older than it.
    func holds(in database: Database) throws(SQLiteError) -> (newest: Int64, reaching: Int64?) {
        // What is dated ahead of now tells nothing. A hold that is made between the two is newer than what this answers, and looked for again.
        let newest = try database.pragma("SELECT coalesce(max(id), 0) FROM holds")
        guard let hold = try Self.earliestHold(in: database) else { return (newest, nil) }
        let isHeld = try database.first(
            """
            SELECT EXISTS (SELECT 1 FROM opened WHERE id > ?1 AND id <= ?2 AND at >= ?5 AND at <= ?6)
                OR EXISTS (SELECT 1 FROM closed WHERE id > ?3 AND id <= ?4 AND at >= ?5 AND at <= ?6)
            """, from.opened, seal.opened, from.closed, seal.closed, hold.since,
            max(Timestamp.now, hold.since)
        ) { (row) throws(SQLiteError) in try row.integer(0) != 0 }
        return (newest, isHeld == true ? hold.id : nil)
    }

    // MARK: What it comes to

    func count(in database: Database) throws(SQLiteError) -> (opened: Int64, closed: Int64) {
        let opened = try database.first(
            """
            SELECT count(*) FROM opened AS o
            WHERE o.id <= ? AND EXISTS (SELECT 1 FROM closed AS c WHERE c.connection = o.id AND c.id <= ?)
            """, seal.opened, seal.closed
        ) { (row) throws(SQLiteError) in try row.integer(0) }
        let closed = try database.first("SELECT count(*) FROM closed WHERE id <= ?", seal.closed) {
            (row) throws(SQLiteError) in try row.integer(0)
        }
        return (opened ?? 0, closed ?? 0)
    }

    struct Carried: Sendable {
        let id: Int64
        /// SHA-256 over the row.
        let hash: [UInt8]
    }

    /// Openings behind the seal whose closings are not, in the order of their ids. Which they are was settled when the seal
    /// was made.
    func carried(in database: Database) throws(SQLiteError) -> [Carried] {
        try database.query(
            """
            SELECT * FROM opened AS o
            WHERE o.id <= ?
                AND NOT EXISTS (SELECT 1 FROM closed AS c WHERE c.connection = o.id AND c.id <= ?)
            ORDER BY o.id
            """, seal.opened, seal.closed
        ) { (row) throws(SQLiteError) in
            Carried(id: try row.integer(0), hash: RowHash.digest(row))
        }
    }

    /// Connections that a note says are carried.
    static func noted(in database: Database) throws(SQLiteError) -> Set<Int64> {
        Set(
            try database.query("SELECT connection FROM notes WHERE kind = 'carried'") {
                (row) throws(SQLiteError) in try row.integer(0)
            })
    }
}
