import CLinux
import Logging
import SQLite

/// Turns what waits into commits, on the writer's thread, and keeps what must not be lost while the store cannot write.
///
/// Failing: openings are dropped and told so; routes, closings and notes wait in memory (the caller has no more connections
/// than slots) and are tried every 200 ms. With the first success after that a `gap` is noted and all goes on.
final class Committer {
    /// Events of one commit: more would let the first of them wait too long for the last.
    private static let batch = 4_096
    private static let retryNanoseconds: UInt64 = 200_000_000
    private static let watchNanoseconds: UInt64 = 1_000_000_000

    private struct Failure {
        let since: Timestamp
        var error: RecordsError
        var nextTry: UInt64
    }

    private let connection: WritingConnection
    private let log: HistoryLog
    private let signals: StoreSignals
    private let lifecycle: Lifecycle?
    private let ballast: Ballast?
    private let directory: String
    private let sealer: Sealer
    /// Taken from the log, written up to `position`; `ticket` is that of the last one.
    private var events: [HistoryEvent] = []
    private var position = 0
    private var ticket: UInt64 = 0
    /// Told as durable or failed.
    private var told: UInt64 = 0
    /// Nil in programs that only change records, and where there is no room for one.
    private let journal: JournalThread?

    private var failure: Failure?
    private var kept: [HistoryEvent] = []
    /// Connections whose opening was dropped and whose closing has not come yet.
    private var dropped: Set<Int64> = []
    /// When it began to fail, openings up to this ticket were in the journal: they have passed bytes, and are kept.
    private var recorded: UInt64 = 0
    private var nextWatch: UInt64 = 0
    private var logWatch: LogWatch
    /// The log of writes is about to begin anew, when its readers have ended.
    private var isEmptyingLog = false

    /// Opens the database and writes what the last process could not, so that nothing else comes before it.
    init(_ opening: Writer.Opening, log: HistoryLog, signals: StoreSignals) throws(RecordsError) {
        self.log = log
        self.signals = signals
        lifecycle = opening.lifecycle
        let (connection, sealer, recovery) = try Self.open(opening)
        self.connection = connection
        self.sealer = sealer
        logWatch = LogWatch(path: opening.path, database: connection.database, gate: opening.gate)
        ballast = opening.lifecycle == nil ? nil : Ballast(directory: opening.directory)
        if opening.lifecycle != nil { LogRoom.make(for: opening.path) }
        // Beyond this the next ids could leave the range of numbers. A server that opens a million a second is there in 146,000 years.
        guard max(recovery.lastConnection, recovery.lastRoute) < Int64.max / 2 else {
            throw RecordsError(
                .corrupt, "\(SlotFile.name) or the database holds an id that no server gave",
                hint: "goproxy-admin audit verify; move \(SlotFile.name) aside if the database is right")
        }
        log.begin(lastConnection: recovery.lastConnection, lastRoute: recovery.lastRoute)
        signals.down = recovery.down
        if opening.lifecycle == nil { SlotFile.clear(opening.directory) }
        directory = opening.directory
        journal = recovery.started.flatMap {
            JournalThread(directory: opening.directory, mark: $0, log: log)
        }
        let heads = connection.rows.chains.heads
        if journal != nil { log.beginJournal(lastRoute: heads.routes.id, lastOpening: heads.opened.id) }
    }

    private static func open(
        _ opening: Writer.Opening
    ) throws(RecordsError) -> (WritingConnection, Sealer, Recovery) {
        do throws(RecordsError) {
            return try openOnce(opening)
        } catch {
            // A start on a full disk: the ballast is for this too.
            guard Ballast.remove(from: opening.directory, for: error) else { throw error }
            return try openOnce(opening)
        }
    }

    private static func openOnce(
        _ opening: Writer.Opening
    ) throws(RecordsError) -> (WritingConnection, Sealer, Recovery) {
        let connection = try WritingConnection(path: opening.path)
        let recovery = try Recovery(
            connection, directory: opening.directory, lifecycle: opening.lifecycle)
        let sealer = try Sealer(
            connection, directory: opening.directory, everySeconds: opening.sealsEverySeconds,
            writesHeads: opening.lifecycle != nil)
        return (connection, sealer, recovery)
    }

    /// Writes the jobs and a batch of what was appended. Answers whether there was anything; if not, and nothing comes, it wants
    /// to be called again after `restMilliseconds`.
    func turn(_ jobs: [Writer.Job]) -> Bool {
        if position == events.count { refill() }
        let hasWork = position < events.count || !jobs.isEmpty
        if failure == nil {
            if hasWork { commit(jobs) }
        } else {
            refuseArrivals()
            if !jobs.isEmpty || Monotonic.nanoseconds >= failure?.nextTry ?? 0 { retry(jobs) }
        }
        if failure == nil { sealIfDue() }
        watch()
        isEmptyingLog = failure == nil && logWatch.look()
        if !hasWork, log.takeMemoryWish() {
            events = []
            position = 0
            connection.database.giveBackMemory()
            // The allocator would keep it.
            _ = malloc_trim(0)
        }
        return hasWork || position < events.count
    }

    var restMilliseconds: Int {
        if isEmptyingLog { return 2 }
        return failure == nil || signals.health.isLost ? 1_000 : 200
    }

    private func refill() {
        // A burst's memory is given back.
        if events.count > 4 * Self.batch { events = [] } else { events.removeAll(keepingCapacity: true) }
        position = 0
        ticket = log.take(into: &events)
    }

    private func commit(_ jobs: [Writer.Job]) {
        let range = position..<min(position + Self.batch, events.count)
        let through = ticket - UInt64(events.count - range.upperBound)
        do throws(RecordsError) {
            let failures = try connection.commit(events, range, dropped: dropped, jobs)
            position = range.upperBound
            if !dropped.isEmpty { for event in events[range] { forget(event) } }
            log.countCommit()
            if !range.isEmpty { tell(durable: through) }
            wrote(through: through)
            for (job, failure) in zip(jobs, failures) { job.finish(failure) }
        } catch {
            position = range.upperBound
            fail(error)
            keep(range)
            told = through
            log.tell(.failed(through: through, error))
            for job in jobs { job.finish(error) }
        }
    }

    private func wrote(through ticket: UInt64) {
        let heads = connection.rows.chains.heads
        log.wrote(through: ticket, lastRoute: heads.routes.id, lastOpening: heads.opened.id)
    }

    private func tell(durable through: UInt64) {
        told = through
        log.tell(.durable(through: through))
    }

    // MARK: Failing

    private func fail(_ error: RecordsError) {
        let since = failure?.since ?? .now
        if failure == nil {
            Log.error("records-failing", ("error", error.message))
        }
        recorded = log.holdJournal()
        failure = Failure(since: since, error: error, nextTry: Monotonic.nanoseconds + Self.retryNanoseconds)
        signals.health = StoreHealth(
            failingSince: since, reason: error.message, isLost: signals.health.isLost)
        if error.isLoss { signals.lose(error) }
        ballast?.giveBack(for: error)
    }

    /// Of events that cannot be written now. Nobody is told of their openings as durable afterwards.
    private func keep(_ range: Range<Int>) {
        let before = ticket - UInt64(events.count) + 1
        for place in range { keep(events[place], ticket: before + UInt64(place)) }
        log.dropFromJournal(through: ticket - UInt64(events.count - range.upperBound))
    }

    private func keep(_ event: HistoryEvent, ticket: UInt64) {
        switch event {
        case .opened(let opening) where ticket > recorded: dropped.insert(opening.id)
        case .closed(let closing) where dropped.contains(closing.connection):
            dropped.remove(closing.connection)
        case .route, .opened, .closed, .note: kept.append(event)
        }
    }

    /// The closing of a dropped opening has come, and is passed over.
    private func forget(_ event: HistoryEvent) {
        if case .closed(let closing) = event { dropped.remove(closing.connection) }
    }

    private func refuseArrivals() {
        guard let failure, position < events.count else { return }
        keep(position..<events.count)
        position = events.count
        told = ticket
        log.tell(.failed(through: ticket, failure.error))
    }

    private func retry(_ jobs: [Writer.Job]) {
        guard let failing = failure, !signals.health.isLost else {
            for job in jobs { job.finish(failure?.error ?? .closed) }
            return
        }
        failure?.nextTry = Monotonic.nanoseconds + Self.retryNanoseconds
        // It may be the log of writes that has filled the disk.
        if failing.error.isFull || ballast?.isGivenBack == true { connection.emptyLog() }
        var batch = Array(kept.prefix(Self.batch))
        let count = batch.count
        // While the disk is full the ballast's room is for what is kept, not for new connections.
        let heals = count == kept.count && ballast?.isBack() != false
        if heals { batch.append(.note(.gap(.auditFailure, from: failing.since, to: .now))) }
        guard !batch.isEmpty || !jobs.isEmpty else { return }
        do throws(RecordsError) {
            let failures = try connection.commit(batch, batch.indices, dropped: [], jobs)
            kept.removeFirst(count)
            log.countCommit()
            if count > 0, kept.isEmpty { log.tell(.durable(through: told)) }
            if heals { heal(failing) }
            for (job, failure) in zip(jobs, failures) { job.finish(failure) }
            if !heals, !kept.isEmpty { failure?.nextTry = 0 }
        } catch {
            fail(error)
            for job in jobs { job.finish(error) }
        }
    }

    private func heal(_ failing: Failure) {
        failure = nil
        kept = []
        signals.health = StoreHealth()
        Log.info("records-healed", ("failing-since", failing.since))
        wrote(through: told)
        log.tell(.healed)
    }

    // MARK: By the clock

    private func sealIfDue() {
        do throws(RecordsError) { try sealer.sealIfDue() } catch { fail(error) }
    }

    /// The database's files, also while nothing is written.
    private func watch() {
        let now = Monotonic.nanoseconds
        guard now >= nextWatch, !signals.health.isLost else { return }
        nextWatch = now + Self.watchNanoseconds
        do throws(RecordsError) { try connection.checkFiles() } catch { fail(error) }
    }

    /// After the last turn: the note of a clean stop, and the last seal.
    func end() {
        journal?.end()
        // Batch by batch, as long as it gets less.
        while failure != nil {
            let count = kept.count
            retry([])
            if kept.count == count { break }
        }
        guard failure == nil else {
            Log.error("records-closed-failing", ("not-written", kept.count))
            return
        }
        do throws(RecordsError) {
            if let lifecycle {
                try connection.transaction { (now) throws(RecordsError) in
                    try records { () throws(SQLiteError) in
                        try connection.rows.insert(lifecycle.stop(at: now))
                    }
                }
            }
            try sealer.seal()
            if journal != nil { OpeningJournal.clear(in: directory) }
        } catch {
            Log.error("records-stop-failed", ("error", error.message))
        }
    }
}
