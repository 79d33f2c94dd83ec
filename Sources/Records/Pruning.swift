import Digests
import Glibc
import Logging
import SQLite

extension Store {
    /// Deletes the history of connections that ended before a time: whole sealed stretches, so that what is left can still be
    /// verified, and nothing since the earliest hold. Returns when it is done and given back to the file system; one at a
    /// time. Live writes go on: each step is a short transaction of its own, with a pause after it.
    ///
    /// Stopped half-way, by `close` or a failure, it leaves a history that can be verified; the next pruning ends it first.
    ///
    /// - Parameter pauses: asked between two steps: whether to answer now, with `more` in the report. The same call again goes on.
    package func prune(
        before: Timestamp, dryRun: Bool = false, actor: Actor, pauses: () -> Bool = { false }
    ) throws(RecordsError) -> PruneReport {
        var report = PruneReport(before: before, dryRun: dryRun)
        try keeping.alone { () throws(RecordsError) in
            // The closure goes no further than this call.
            try withoutActuallyEscaping(pauses) { (pauses) throws(RecordsError) in
                try Pruner(store: self, actor: actor, pauses: pauses).run(.before(before), &report)
            }
        }
        return report
    }

    /// Deletes the oldest history until what the database holds is no more than `maximumBytes`, or no more may go. What is never
    /// pruned counts too, but half of the room is the connections' however much that is: a limit that cannot be kept empties
    /// no history.
    package func prune(downTo maximumBytes: Int64, actor: Actor) throws(RecordsError) -> PruneReport {
        var report = PruneReport(before: .now)
        try keeping.alone { () throws(RecordsError) in
            let pruner = Pruner(store: self, actor: actor, pauses: { false })
            // Openings differ in size, and what is kept changes with notes and seals: a second and a third look find the rest.
            for _ in 0..<8 {
                let kept = try pruner.keptBytes()
                let use = HistoryUse(maximumBytes: maximumBytes, keptBytes: kept)
                keeping.use.withLock { $0 = use }
                let used = try pruner.usedBytes() - kept
                guard used > use.roomBytes else { return }
                let share = 1 - 0.95 * Double(use.roomBytes) / Double(used)
                let before = report.opened
                try pruner.run(.share(share), &report)
                guard report.opened > before else { return }
            }
        }
        return report
    }

    /// What a limit of the history's size has found last; nil before, and without one.
    package var historyUse: HistoryUse? { keeping.use.withLock { $0 } }
}

/// A limit of the database's size, and what of that is not the connections'.
package struct HistoryUse: Equatable, Sendable {
    package let maximumBytes: Int64
    /// Of what is never pruned: the audit, notes, sessions, routes, seals.
    package let keptBytes: Int64

    package init(maximumBytes: Int64, keptBytes: Int64) {
        self.maximumBytes = maximumBytes
        self.keptBytes = keptBytes
    }

    /// The connections' share.
    package var roomBytes: Int64 { max(maximumBytes - keptBytes, maximumBytes / 2) }

    /// Long before anything gives way.
    package var isTight: Bool { keptBytes > maximumBytes / 4 }
    package var isExceeded: Bool { keptBytes > maximumBytes / 2 }
}

/// One pruning, on the thread of whoever asked for it, by steps on the writer's.
struct Pruner {
    /// For the deletions of one step; its commit comes on top.
    static let stepMicroseconds: Int64 = 6_000
    /// More rows would dirty so many pages that the commit takes longer than the deletions.
    private static let stepRows = 512
    /// A pause is as long as the step, so that others have at least half of the writer; and not so short that a step which
    /// found nothing to wait for begins the next at once.
    private static let pauseMicroseconds: ClosedRange<Int64> = 1_000...20_000

    let store: Store
    let actor: Actor
    /// Whether whoever asked wants an answer now.
    let pauses: () -> Bool

    func run(_ rule: PrunePlan.Rule, _ report: inout PruneReport) throws(RecordsError) {
        if !report.dryRun, let plan = try look({ (d) throws(SQLiteError) in try PrunePlan.unfinished(in: d) })
        {
            guard try carryOut(plan, &report) else { return }
        }
        let (plan, heldBy) = try look { (database) throws(SQLiteError) in
            try PrunePlan.make(rule, in: database)
        }
        report.heldBy = heldBy
        guard let plan else {
            // One that was paused may have left free pages, and seals.
            if !report.dryRun { try end(&report) }
            return
        }
        guard !report.dryRun else {
            let (counts, carried) = try look { (database) throws(SQLiteError) in
                (try plan.count(in: database), try plan.carried(in: database).count)
            }
            report.seal = plan.seal.id
            report.until = plan.seal.at
            (report.opened, report.closed, report.carried) = (counts.opened, counts.closed, Int64(carried))
            return
        }
        guard !pauses() else {
            report.more = true
            return
        }
        try begin(plan, &report)
        _ = try carryOut(plan, &report)
    }

    func usedBytes() throws(RecordsError) -> Int64 {
        try look { (database) throws(SQLiteError) in
            let pages = try database.pragma("PRAGMA page_count") - database.pragma("PRAGMA freelist_count")
            return try pages * database.pragma("PRAGMA page_size")
        }
    }

    /// Of tables and indexes that no pruning makes smaller. Reads their pages, and not those of openings and closings.
    func keptBytes() throws(RecordsError) -> Int64 {
        try look { (database) throws(SQLiteError) in
            let names = try database.query(
                "SELECT name FROM sqlite_schema WHERE rootpage > 0 AND tbl_name NOT IN ('opened', 'closed')"
            ) { (row) throws(SQLiteError) in try row.text(0) }
            var bytes: Int64 = 0
            do throws(SQLiteError) {
                for name in names + ["sqlite_schema"] {
                    bytes +=
                        try database.first(
                            "SELECT sum(pgsize) FROM dbstat WHERE name = ? AND aggregate = TRUE", name
                        ) {
                            (row) throws(SQLiteError) in try row.integerOrNil(0)
                        }.flatMap { $0 } ?? 0
                }
                return bytes
            } catch {
                // A library that was built without it. 10 million connections take 1.5 GB.
                guard !error.isCorrupt, !error.isBusy else { throw error }
                let page = try database.pragma("PRAGMA page_size")
                let used =
                    try (database.pragma("PRAGMA page_count") - database.pragma("PRAGMA freelist_count"))
                    * page
                return max(0, used - 150 * (try database.pragma("SELECT count(*) FROM opened")))
            }
        }
    }

    // MARK: The four parts

    /// Says first what stays and what goes; from then on the chains begin at the seal.
    private func begin(_ plan: PrunePlan, _ report: inout PruneReport) throws(RecordsError) {
        let (carried, noted) = try look { (database) throws(SQLiteError) in
            (try plan.carried(in: database), try PrunePlan.noted(in: database))
        }
        var rest = carried.filter { !noted.contains($0.id) }[...]
        while !rest.isEmpty {
            let some = Array(rest.prefix(Self.stepRows))
            rest = rest.dropFirst(some.count)
            try step(&report) { (transaction) throws(RecordsError) in
                for row in some {
                    try transaction.note(
                        Note(
                            at: transaction.now, kind: .carried, connection: row.id,
                            detail: RowHash.hex(row.hash)))
                }
            }
        }
        try step(&report) { (transaction) throws(RecordsError) in
            try transaction.beginPruning(plan, carried)
        }
    }

    /// False when a hold or a pause stopped it: what is left behind the seal is a whole beginning.
    private func carryOut(_ plan: PrunePlan, _ report: inout PruneReport) throws(RecordsError) -> Bool {
        let before = report
        // Openings first: one whose closing is gone would be taken for open. The newest first: what is left behind the seal
        // meanwhile is a whole beginning, whose chain still holds.
        var isWhole = try delete(plan, \.opened, &report) { (transaction, below) throws(RecordsError) in
            try transaction.deleteOpenings(plan, below: below, rows: Self.stepRows)
        }
        if isWhole {
            isWhole = try delete(plan, \.closed, &report) { (transaction, below) throws(RecordsError) in
                try transaction.deleteClosings(plan, below: below, rows: Self.stepRows)
            }
        }
        let (opened, closed) = (report.opened - before.opened, report.closed - before.closed)
        guard isWhole else {
            if opened + closed > 0 {
                try step(&report) { (transaction) throws(RecordsError) in
                    try transaction.notePart(of: plan, opened: opened, closed: closed)
                }
            }
            return false
        }
        let carried = try look { (database) throws(SQLiteError) in try plan.carried(in: database) }
        var note = PruneNote(phase: .done, seal: plan.seal.id, after: plan.from.id)
        (note.opened, note.closed, note.carried) = (opened, closed, Int64(carried.count))
        note.digest = Self.digest(carried)
        try step(&report) { [note] (transaction) throws(RecordsError) in try transaction.endPruning(note) }
        report.seal = plan.seal.id
        report.until = plan.seal.at
        report.carried = Int64(carried.count)
        try end(&report)
        Log.info(
            "history-pruned", ("until", plan.seal.at), ("opened", opened), ("closed", closed),
            ("carried", carried.count), ("steps", report.steps))
        return true
    }

    /// Calls for step after step; each answers how many rows went and the id below which the next goes on, nil at the end.
    /// False at a pause, and when a hold reaches behind the plan's seal. Each step asks in its own transaction whether there is a new one: once
    /// a hold is answered, nothing that it keeps goes any more.
    private func delete(
        _ plan: PrunePlan, _ count: WritableKeyPath<PruneReport, Int64>, _ report: inout PruneReport,
        _ body: @escaping @Sendable (inout Transaction, Int64) throws(RecordsError) -> (Int, Int64?)
    ) throws(RecordsError) -> Bool {
        var below: Int64? = .max
        // The newest hold when they were looked at last: that may read much, and is no work for the writer.
        var known: Int64?
        while let place = below {
            guard !pauses() else {
                report.more = true
                return false
            }
            guard let newest = known else {
                let (newest, holder) = try look { (database) throws(SQLiteError) in
                    try plan.holds(in: database)
                }
                if let holder {
                    report.heldBy = holder
                    return false
                }
                known = newest
                continue
            }
            let done = try step(&report) { (transaction) throws(RecordsError) -> (Int, Int64?)? in
                guard try transaction.reader.newestHold() == newest else { return nil }
                return try body(&transaction, place)
            }
            guard let (rows, next) = done else {
                known = nil
                continue
            }
            report[keyPath: count] += Int64(rows)
            below = next
        }
        return true
    }

    private func end(_ report: inout PruneReport) throws(RecordsError) {
        try thin(&report)
        try giveBack(&report)
    }

    /// The seal of the last pruning holds all that is before it: others behind it prove nothing that it does not. Its own and the
    /// one before are where chains begin.
    private func thin(_ report: inout PruneReport) throws(RecordsError) {
        let note = try look { (database) throws(SQLiteError) in try PruneNote.last(in: database) }
        guard let note, note.phase == .done else { return }
        while true {
            guard !pauses() else {
                report.more = true
                return
            }
            let count = try step(&report) { (transaction) throws(RecordsError) in
                try transaction.thinSeals(note, rows: Self.stepRows)
            }
            guard count > 0 else { return }
        }
    }

    /// What lies free at the file's end goes back to the file system, a few pages at a time.
    private func giveBack(_ report: inout PruneReport) throws(RecordsError) {
        let before = try fileBytes()
        var last = Int64.max
        while true {
            guard !pauses() else {
                report.more = true
                break
            }
            let left = try step(&report) { (transaction) throws(RecordsError) in
                try transaction.shrink(pages: 64)
            }
            guard left > 0, left < last else { break }
            last = left
        }
        report.freedBytes += max(0, before - (try fileBytes()))
    }

    private func fileBytes() throws(RecordsError) -> Int64 {
        try look { (database) throws(SQLiteError) in
            try database.pragma("PRAGMA page_count") * database.pragma("PRAGMA page_size")
        }
    }

    /// Over ids and hashes of what is carried.
    static func digest(_ carried: [PrunePlan.Carried]) -> String {
        var bytes: [UInt8] = []
        for row in carried {
            withUnsafeBytes(of: row.id.bigEndian) { bytes.append(contentsOf: $0) }
            bytes += row.hash
        }
        return RowHash.hex(SHA256.digest(bytes))
    }

    // MARK: Steps

    private func step<Result: Sendable>(
        _ report: inout PruneReport,
        _ body: @escaping @Sendable (inout Transaction) throws(RecordsError) -> Result
    ) throws(RecordsError) -> Result {
        guard !store.keeping.isClosed else { throw .closed }
        let start = Monotonic.nanoseconds
        let result = try store.write(actor: actor, body)
        let took = Int64(Monotonic.nanoseconds - start) / 1_000
        report.steps += 1
        report.longestStepMicroseconds = max(report.longestStepMicroseconds, took)
        let pause = min(max(took, Self.pauseMicroseconds.lowerBound), Self.pauseMicroseconds.upperBound)
        store.keeping.pause(microseconds: pause)
        return result
    }

    private func look<Result: Sendable>(
        _ body: @Sendable (Database) throws(SQLiteError) -> Result
    ) throws(RecordsError) -> Result {
        try store.read { (reader) throws(RecordsError) in
            try records { () throws(SQLiteError) in try body(reader.database) }
        }
    }
}
