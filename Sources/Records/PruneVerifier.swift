import SQLite

/// Checks openings and closings: behind the seal of the last pruning only what is carried, from there on whole chains.
struct PruneVerifier {
    private let database: Database
    /// What the last note of a pruning says; nil when nothing was ever pruned.
    private let note: PruneNote?

    init(_ database: Database) throws(SQLiteError) {
        self.database = database
        note = try PruneNote.last(in: database)
    }

    func run(_ database: Database, _ report: inout ChainReport) throws(SQLiteError) -> ChainFault? {
        if let fault = try marks(&report) { return fault }
        if let note {
            if let fault = try openings(behind: note, &report) { return fault }
            if let fault = try closings(behind: note, &report) { return fault }
        }
        if let fault = try TableVerifier.opened.run(database, from: note?.seal, &report) { return fault }
        return try TableVerifier.closed.run(database, from: note?.seal, &report)
    }

    /// The seals that say so, and the notes that say so, must be the same: the notes are in a chain, the mark at a seal is not.
    private func marks(_ report: inout ChainReport) throws(SQLiteError) -> ChainFault? {
        var noted: Set<Int64> = []
        try database.forEach("SELECT detail FROM notes WHERE kind = 'pruned'") { (row) throws(SQLiteError) in
            if let seal = PruneNote(detail: try row.textOrNil(0))?.seal { noted.insert(seal) }
        }
        let marked = try database.query("SELECT id, at FROM seals WHERE pruned_at IS NOT NULL ORDER BY id") {
            (row) throws(SQLiteError) in (id: try row.integer(0), at: try row.time(1))
        }
        if let stranger = marked.first(where: { !noted.contains($0.id) }) {
            return ChainFault("seals", stranger.id, "says that all behind it was pruned, but no note says so")
        }
        guard let note else { return nil }
        guard let seal = marked.first(where: { $0.id == note.seal }) else {
            return ChainFault(
                "seals", note.seal, "was pruned up to, as a note says, but does not say so itself")
        }
        report.prunedUntil = seal.at
        return nil
    }

    private func seal(_ id: Int64) throws(SQLiteError) -> (
        opened: TableVerifier.Place, closed: TableVerifier.Place
    )? {
        try database.first(
            "SELECT opened_id, opened_head, closed_id, closed_head FROM seals WHERE id = ?", id
        ) {
            (row) throws(SQLiteError) in
            (
                TableVerifier.Place(id: try row.integer(0), head: try row.blob(1)),
                TableVerifier.Place(id: try row.integer(2), head: try row.blob(3))
            )
        }
    }

    private func openings(behind note: PruneNote, _ report: inout ChainReport) throws(SQLiteError)
        -> ChainFault?
    {
        guard let end = try seal(note.seal)?.opened else {
            return ChainFault("seals", note.seal, "is missing: a note says that all behind it was pruned")
        }
        var hashes: [Int64: String] = [:]
        try database.forEach("SELECT connection, detail FROM notes WHERE kind = 'carried'") {
            (row) throws(SQLiteError) in
            hashes[try row.integer(0)] = try row.textOrNil(1) ?? ""
        }
        var leaving = try Leaving(
            note, from: seal(note.after)?.opened ?? .init(id: 0, head: ChainHash(table: "opened").head))
        var carried: [PrunePlan.Carried] = []
        var fault: ChainFault?
        try database.scan("SELECT * FROM opened WHERE id <= ? ORDER BY id", end.id) {
            (row) throws(SQLiteError) in
            let id = try row.integer(0)
            let isLeaving = try leaving.takes(row, id)
            if let wanted = hashes[id] {
                let hash = RowHash.digest(row)
                guard RowHash.hex(hash) == wanted else {
                    fault = ChainFault(
                        "opened", id, connection: id, "is carried, but its note tells of another row")
                    return false
                }
                if !isLeaving { carried.append(PrunePlan.Carried(id: id, hash: hash)) }
            } else if !isLeaving {
                fault = ChainFault(
                    "opened", id, connection: id,
                    "lies behind seal \(note.seal), up to which all was pruned, and no note says that it stays"
                )
                return false
            }
            return true
        }
        if let fault { return fault }
        report.carried = Int64(carried.count)
        report.leaving += leaving.count
        guard note.phase == .done else { return nil }
        guard note.carried == report.carried, note.digest == Pruner.digest(carried) else {
            return ChainFault(
                "opened", nil,
                "\(note.carried) connections were still open when all up to seal \(note.seal) was pruned; "
                    + "\(report.carried) of them are there")
        }
        return nil
    }

    private func closings(behind note: PruneNote, _ report: inout ChainReport) throws(SQLiteError)
        -> ChainFault?
    {
        guard let end = try seal(note.seal)?.closed else { return nil }
        var leaving = try Leaving(
            note, from: seal(note.after)?.closed ?? .init(id: 0, head: ChainHash(table: "closed").head))
        var fault: ChainFault?
        try database.scan("SELECT * FROM closed WHERE id <= ? ORDER BY id", end.id) {
            (row) throws(SQLiteError) in
            let id = try row.integer(0)
            guard try leaving.takes(row, id) else {
                fault = ChainFault(
                    "closed", id, connection: try row.integer(1),
                    "lies behind seal \(note.seal), up to which all was pruned")
                return false
            }
            return true
        }
        report.leaving += leaving.count
        return fault
    }

    /// Rows that a pruning under way has still to delete: it goes from the newest to the oldest, so they are a whole
    /// beginning of the stretch. After it has ended there are none.
    private struct Leaving {
        private var walk: ChainWalk
        private var isWhole: Bool
        private let after: Int64
        private(set) var count: Int64 = 0

        init(_ note: PruneNote, from place: TableVerifier.Place) throws(SQLiteError) {
            walk = ChainWalk(place)
            isWhole = note.phase == .begun
            after = place.id
        }

        mutating func takes(_ row: borrowing Row, _ id: Int64) throws(SQLiteError) -> Bool {
            guard isWhole, id > after else { return false }
            isWhole = try walk.takes(row)
            if isWhole { count += 1 }
            return isWhole
        }
    }
}
