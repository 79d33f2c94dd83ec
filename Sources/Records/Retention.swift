import Glibc
import Logging
import SQLite
import Synchronization
import Threads

/// How long, and up to which size, the history is kept.
package struct Retention: Equatable, Sendable {
    /// Nil: for ever.
    package var keepSeconds: Int64?
    /// Of what the database holds; its file may be larger by what is not given back yet. Nil: without a limit.
    package var maximumBytes: Int64?

    package init(keepSeconds: Int64? = nil, maximumBytes: Int64? = nil) {
        self.keepSeconds = keepSeconds
        self.maximumBytes = maximumBytes
    }
}

extension Store {
    /// Prunes at once and then every hour, on a thread of its own, until the store is closed. Once.
    package func startRetention(_ retention: Retention) {
        guard retention.keepSeconds != nil || retention.maximumBytes != nil else { return }
        keeping.start { [weak self] in
            ReaderGate.$name.withValue("the retention") { self?.apply(retention) }
        }
    }

    private static let daySeconds: Int64 = 86_400

    /// Until when the history may go, and whether that is earlier than the clock says. A machine that starts with a wrong clock
    /// must not delete everything: no more time is taken to have passed than a day since the last sign of life before this
    /// server's start, and what the monotonic clock counted since.
    package func retained(keepSeconds: Int64) throws(RecordsError) -> (before: Timestamp, isLate: Bool) {
        let lastLife = try read { (reader) throws(RecordsError) in try reader.lifeBeforeStart() }
        let now = Timestamp.now
        let run = Int64(clamping: (Monotonic.nanoseconds - openedMonotonic) / 1_000_000_000)
        let latest = lastLife?.adding(seconds: run + Self.daySeconds) ?? now
        return (min(now, latest).adding(seconds: -keepSeconds), latest < now)
    }

    /// Rows that a clock dated too late, but not ahead of now, keep what is before them.
    private func warnOfOldest(_ before: Timestamp) throws(RecordsError) {
        let oldest = try read { (reader) throws(RecordsError) in try reader.oldestNotPruned() }
        guard let oldest, oldest < before.adding(seconds: -Self.daySeconds) else { return }
        Log.limited(
            .warn, "history-not-pruned", key: "", ("oldest", oldest), ("before", before),
            ("hint", "something newer lies before what is older: the clock was wrong for a while"))
    }

    private func warn(of use: HistoryUse) {
        guard use.isTight else { return }
        Log.limited(
            use.isExceeded ? .error : .warn, "history-maximum", key: "", ("maximum", use.maximumBytes),
            ("never-pruned", use.keptBytes),
            (
                "hint",
                use.isExceeded
                    ? "the database grows beyond its maximum: the audit, notes, sessions and seals alone take more than half of it"
                    : "the audit, notes, sessions and seals take more than a quarter of it: raise it before they take half"
            ))
    }

    /// What stands in the way is logged and tried again an hour later.
    private func apply(_ retention: Retention) {
        do throws(RecordsError) {
            if let keep = retention.keepSeconds {
                let (before, isLate) = try retained(keepSeconds: keep)
                if isLate {
                    Log.limited(
                        .warn, "retention-clock", key: "", ("now", Timestamp.now), ("kept-since", before),
                        ("hint", "the clock went ahead, or nothing ran for long; right after the next start"))
                }
                let report = try prune(before: before, actor: .server)
                if report.seal == nil, report.heldBy == nil { try warnOfOldest(before) }
            }
            if let maximum = retention.maximumBytes {
                let report = try prune(downTo: maximum, actor: .server)
                if let use = historyUse { warn(of: use) }
                if let hold = report.heldBy {
                    Log.limited(.warn, "history-held", key: "", ("hold", hold), ("maximum", maximum))
                }
            }
        } catch {
            guard !keeping.isClosed else { return }
            Log.limited(.error, "prune-failed", key: error.code.rawValue, ("error", error.message))
        }
    }
}

extension Reader {
    /// The end of what was known when the last server started: where its gap begins. Nil when it was the first.
    fileprivate func lifeBeforeStart() throws(RecordsError) -> Timestamp? {
        try records { () throws(SQLiteError) in
            try database.first(
                """
                SELECT from_at FROM notes WHERE kind = 'gap' AND from_at IS NOT NULL
                    AND id = (SELECT max(id) FROM notes WHERE kind = 'start') - 1
                """
            ) { (row) throws(SQLiteError) in try row.time(0) }
        }
    }

    /// When the oldest connection opened that no pruning has taken or carried.
    fileprivate func oldestNotPruned() throws(RecordsError) -> Timestamp? {
        try records { () throws(SQLiteError) in
            try database.first(
                "SELECT at FROM opened WHERE id > ? ORDER BY id LIMIT 1",
                PrunePlan.lastPruned(in: database).opened
            ) { (row) throws(SQLiteError) in try row.time(0) }
        }
    }
}

/// What is beside the writer: one pruning at a time, and the thread that asks for it.
final class Keeping: Sendable {
    private static let hourMilliseconds = 3_600_000

    private let pruning = Mutex(false)
    let use = Mutex<HistoryUse?>(nil)
    private let closed = Atomic<Bool>(false)
    private let bell = Semaphore()
    private let ended = Semaphore()
    /// Of the retention, once it has begun.
    private let thread = Mutex<pthread_t?>(nil)

    var isClosed: Bool { closed.load(ordering: .sequentiallyConsistent) }

    /// Refuses when another is under way: that takes minutes, and does what this one wants.
    func alone(_ body: () throws(RecordsError) -> Void) throws(RecordsError) {
        let isMine = pruning.withLock { isTaken in
            defer { isTaken = true }
            return !isTaken
        }
        guard isMine else {
            throw RecordsError(.busy, "the history is being pruned already", hint: "try again in a minute")
        }
        defer { pruning.withLock { $0 = false } }
        try body()
    }

    func start(_ body: @escaping @Sendable () -> Void) {
        startThread("retention") { [self] in
            thread.withLock { thread in
                precondition(thread == nil, "the retention is started once")
                thread = pthread_self()
            }
            repeat {
                body()
            } while !isClosed && !bell.wait(milliseconds: Self.hourMilliseconds)
            ended.post()
        }
    }

    /// Between two steps; ends early when the store closes.
    func pause(microseconds: Int64) {
        guard !isClosed else { return }
        usleep(UInt32(microseconds))
    }

    /// A step that waits for the writer is let end; the next one is refused.
    func close() {
        guard !closed.exchange(true, ordering: .sequentiallyConsistent) else { return }
        bell.post()
        // The thread itself may be the last that knows the store.
        guard let thread = thread.withLock({ $0 }), pthread_equal(thread, pthread_self()) == 0 else { return }
        ended.wait()
    }
}
