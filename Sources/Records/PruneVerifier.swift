import SQLite

/// Checks openings and closings: behind the seal of the last pruning only what is carried, from there on whole chains.
///
/// A pruning counts when its first note is sealed, which servers do in the transaction of the note: whoever can write the file
/// alone has no key to say that something was pruned.
struct PruneVerifier {
    private let notes: NoteReader
    private let audit: AuditReader
    private let seals: SealVerifier
    /// The last pruning; nil when nothing was ever pruned.
    private let pruning: PruneNote?
    /// What the first note of the last pruning says that stays; nil when it is of a server that did not say.
    private let staying: (carried: Int64, digest: String)?
    private let behind: (opened: TableVerifier.Place, closed: TableVerifier.Place, at: Timestamp)?
    private let lacksBefore: Bool
    private let before: (opened: TableVerifier.Place, closed: TableVerifier.Place)

    init(
        _ notes: NoteReader, _ audit: AuditReader, _ seals: SealVerifier, _ database: Database
    ) throws(SQLiteError) {
        (self.notes, self.audit, self.seals) = (notes, audit, seals)
        pruning = notes.prunings.last?.note
        let first = notes.prunings.last { $0.note.phase == .begun }?.note
        let words = pruning?.phase == .done ? pruning : first
        staying = words.flatMap { $0.digest.isEmpty ? nil : ($0.carried, $0.digest) }
        behind = try pruning.flatMap { (note) throws(SQLiteError) in try Self.seal(note.seal, database) }
        let before = try pruning.flatMap { (note) throws(SQLiteError) in try Self.seal(note.after, database) }
        lacksBefore = before == nil && pruning?.after ?? 0 > 0
        self.before = (
            before?.opened ?? .init(id: 0, head: ChainHash(table: "opened").head),
            before?.closed ?? .init(id: 0, head: ChainHash(table: "closed").head)
        )
    }

    func run(
        _ database: Database, _ routes: RouteReader, _ report: inout ChainReport
    ) throws(SQLiteError) -> ChainFault? {
        if let fault = words() { return fault }
        if let fault = try marks(database, &report) { return fault }
        let isWhole = pruning?.phase == .begun
        let opened = OpeningReader(
            routes, notes.carried, Leaving(isWhole, from: before.opened), pruning?.seal ?? 0)
        if let fault = try TableVerifier.opened.run(database, from: pruning?.seal, opened, &report) {
            return fault
        }
        let closed = ClosingReader(
            opened, Leaving(isWhole, from: before.closed), pruning?.seal ?? 0, behind?.opened.id ?? 0)
        if let fault = try TableVerifier.closed.run(database, from: pruning?.seal, closed, &report) {
            return fault
        }
        let carried = opened.carried.filter { !closed.leaving.contains($0.id) }
        report.carried = Int64(carried.count)
        report.leaving = opened.leavingCount + Int64(closed.leaving.count)
        guard let pruning, let staying else { return nil }
        guard staying.carried == report.carried, staying.digest == Pruner.digest(carried) else {
            return ChainFault(
                "opened", nil,
                "\(staying.carried) connections were still open when all up to seal \(pruning.seal) was pruned; "
                    + "\(report.carried) of them are there")
        }
        return nil
    }

    /// Each pruning's two notes, their seal and their rows in the audit.
    private func words() -> ChainFault? {
        var begun: NoteReader.Pruning?
        for one in notes.prunings {
            let isNew = one.id > notes.firstSealingStart
            switch one.note.phase {
            case .begun:
                guard one.note.seal > one.note.after, one.note.after >= 0 else {
                    return ChainFault("notes", one.id, "prunes up to a seal that is not after the last")
                }
                let isSealing = isNew || !one.note.digest.isEmpty
                // Its own seal may be gone when a later pruning's holds it.
                let isHeld = seals.notesEnds.contains(one.id) || one.id <= seals.thinnedNotes
                guard isSealing ? isHeld : one.id <= seals.last?.notes ?? 0 else {
                    return ChainFault(
                        "notes", one.id,
                        "of a pruning is held by no seal of its own: what it excuses was taken away by somebody else"
                    )
                }
                let row = "up to seal \(one.note.seal): \(one.note.carried) openings stay"
                if isSealing, let fault = untold(one, "history-prune-begin", row) { return fault }
                begun = one
            case .done:
                guard let begun, begun.note.seal == one.note.seal, begun.note.after == one.note.after,
                    begun.note.digest.isEmpty
                        || (begun.note.carried, begun.note.digest) == (one.note.carried, one.note.digest)
                else { return ChainFault("notes", one.id, "ends a pruning that did not begin so") }
                if isNew || !begun.note.digest.isEmpty,
                    let fault = untold(one, "history-prune", one.note.auditWords)
                {
                    return fault
                }
            }
        }
        return nil
    }

    private func untold(_ one: NoteReader.Pruning, _ action: String, _ detail: String) -> ChainFault? {
        guard !audit.told.contains(.init(one.at, action, detail)) else { return nil }
        return ChainFault("notes", one.id, "of a pruning has no row in the audit that says so")
    }

    /// The seals that say so, and the notes that say so, must be the same: the notes are in a chain, the mark at a seal is not.
    private func marks(_ database: Database, _ report: inout ChainReport) throws(SQLiteError) -> ChainFault? {
        let noted = Set(notes.prunings.map(\.note.seal))
        let marked = try database.query("SELECT id FROM seals WHERE pruned_at IS NOT NULL ORDER BY id") {
            (row) throws(SQLiteError) in try row.integer(0)
        }
        if let stranger = marked.first(where: { !noted.contains($0) }) {
            return ChainFault("seals", stranger, "says that all behind it was pruned, but no note says so")
        }
        guard let pruning else { return nil }
        guard let behind else {
            return ChainFault("seals", pruning.seal, "is missing: a note says that all behind it was pruned")
        }
        guard !lacksBefore else {
            return ChainFault("seals", pruning.after, "is missing: a pruning began behind it")
        }
        guard marked.contains(pruning.seal) else {
            return ChainFault(
                "seals", pruning.seal, "was pruned up to, as a note says, but does not say so itself")
        }
        report.prunedUntil = behind.at
        return nil
    }

    private static func seal(_ id: Int64, _ database: Database) throws(SQLiteError) -> (
        opened: TableVerifier.Place, closed: TableVerifier.Place, at: Timestamp
    )? {
        try database.first(
            "SELECT opened_id, opened_head, closed_id, closed_head, at FROM seals WHERE id = ?", id
        ) {
            (row) throws(SQLiteError) in
            (
                TableVerifier.Place(id: try row.integer(0), head: try row.blob(1)),
                TableVerifier.Place(id: try row.integer(2), head: try row.blob(3)), try row.time(4)
            )
        }
    }
}

/// Rows that a pruning under way has still to delete: it goes from the newest to the oldest, so they are a whole beginning of
/// the stretch. After it has ended there are none.
final class Leaving {
    private let walk: ChainWalk
    private var isWhole: Bool
    private let after: Int64

    init(_ isWhole: Bool, from place: TableVerifier.Place) {
        walk = ChainWalk(place)
        self.isWhole = isWhole
        after = place.id
    }

    func takes(_ row: borrowing Row, _ id: Int64) throws(SQLiteError) -> Bool {
        guard isWhole, id > after else { return false }
        isWhole = try walk.takes(row)
        return isWhole
    }
}

/// Openings: which there are, and of those behind the seal why.
final class OpeningReader: RowReader {
    private let routes: RouteReader
    private let noted: [Int64: NoteReader.Carried]
    private let leaving: Leaving
    private let seal: Int64
    private var route: Int64 = 0
    /// Runs of ids without a hole between.
    private var starts: [Int64] = []
    private var ends: [Int64] = []
    /// Behind the seal, with a note.
    private(set) var carried: [PrunePlan.Carried] = []
    private(set) var leavingCount: Int64 = 0

    init(_ routes: RouteReader, _ noted: [Int64: NoteReader.Carried], _ leaving: Leaving, _ seal: Int64) {
        (self.routes, self.noted, self.leaving, self.seal) = (routes, noted, leaving, seal)
    }

    func stands(_ row: borrowing Row, _ id: Int64) throws(SQLiteError) -> ChainFault? {
        let isLeaving = try leaving.takes(row, id)
        if let note = noted[id] {
            let hash = RowHash.digest(row)
            guard RowHash.hex(hash) == note.hash else {
                return ChainFault(
                    "opened", id, connection: id, "is carried, but its note tells of another row")
            }
            carried.append(PrunePlan.Carried(id: id, hash: hash))
        } else if isLeaving {
            leavingCount += 1
        } else {
            return ChainFault(
                "opened", id, connection: id,
                "lies behind seal \(seal), up to which all was pruned, and no note says that it stays")
        }
        return try follows(row, id)
    }

    func follows(_ row: borrowing Row, _ id: Int64) throws(SQLiteError) -> ChainFault? {
        if let end = ends.last, end + 1 == id {
            ends[ends.count - 1] = id
        } else {
            starts.append(id)
            ends.append(id)
        }
        let route = try row.integer(1)
        guard route == self.route || routes.ids.contains(route) else {
            return ChainFault("opened", id, connection: id, "came by route \(route), which there is not")
        }
        self.route = route
        guard try row.integer(3) >= 0, (0...65_535).contains(try row.integer(5)) else {
            return ChainFault("opened", id, connection: id, "has a number that no server writes")
        }
        return nil
    }

    func contains(_ id: Int64) -> Bool {
        var (low, high) = (0, starts.count)
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] <= id { low = middle + 1 } else { high = middle }
        }
        return low > 0 && id <= ends[low - 1]
    }
}

/// Closings: of connections that there are, with numbers that can be.
final class ClosingReader: RowReader {
    private let openings: OpeningReader
    private let rest: Leaving
    private let seal: Int64
    private let pruned: Int64
    /// Connections of closings behind the seal.
    private(set) var leaving: Set<Int64> = []

    init(_ openings: OpeningReader, _ rest: Leaving, _ seal: Int64, _ pruned: Int64) {
        (self.openings, self.rest, self.seal, self.pruned) = (openings, rest, seal, pruned)
    }

    func stands(_ row: borrowing Row, _ id: Int64) throws(SQLiteError) -> ChainFault? {
        guard try rest.takes(row, id) else {
            return ChainFault(
                "closed", id, connection: try row.integer(1),
                "lies behind seal \(seal), up to which all was pruned")
        }
        leaving.insert(try row.integer(1))
        return nil
    }

    func follows(_ row: borrowing Row, _ id: Int64) throws(SQLiteError) -> ChainFault? {
        let connection = try row.integer(1)
        guard openings.contains(connection) else {
            return ChainFault(
                "closed", id, connection: connection, "ends a connection that was never opened")
        }
        for column in 3...5 as ClosedRange<Int32> where try row.integer(column) < 0 {
            return ChainFault("closed", id, connection: connection, "counts less than nothing")
        }
        for column in 6...7 as ClosedRange<Int32> where try row.integerOrNil(column) ?? 0 < 0 {
            return ChainFault("closed", id, connection: connection, "counts less than nothing")
        }
        return nil
    }
}
