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

    /// Until when the history may go, and whether that is earlier than the clock says (``Reader/knownTime(now:runMicroseconds:)``).
    package func retained(keepSeconds: Int64) throws(RecordsError) -> (before: Timestamp, isLate: Bool) {
        let now = Timestamp.now
        let run = Int64(clamping: (Monotonic.nanoseconds - openedMonotonic) / 1_000)
        let known = try read { (reader) throws(RecordsError) in
            try reader.knownTime(now: now, runMicroseconds: run)
        }
        return (known.adding(seconds: -keepSeconds), known < now)
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
                        (
                            "hint",
                            "the clock jumped, or nothing ran for long: right after a day; or goproxy-admin history prune"
                        ))
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
    /// The time that has passed for certain. A machine whose clock is wrong must not delete anything, however often it starts:
    /// a clock that jumped, or that went on while nothing ran for more than a day, is believed when servers have lived for a
    /// day under it. Until then no more time has passed since the last that was believed than they have lived.
    package func knownTime(now: Timestamp, runMicroseconds: Int64) throws(RecordsError) -> Timestamp {
        var stretches: [(begin: Timestamp, end: Timestamp)] = []
        var begin: Timestamp?
        let notes = try records { () throws(SQLiteError) in
            try database.query(
                "SELECT kind, at, from_at, to_at, detail FROM notes WHERE kind IN ('start', 'gap') ORDER BY id"
            ) { (row) throws(SQLiteError) in
                (
                    isStart: try row.text(0) == Note.Kind.start.rawValue, at: try row.time(1),
                    from: try row.timeOrNil(2), to: try row.timeOrNil(3),
                    cause: try row.textOrNil(4).flatMap { Note.Gap(rawValue: $0) }
                )
            }
        }
        for note in notes {
            if note.isStart {
                begin = note.at
            } else if let from = note.from, let to = note.to {
                guard [.clockStep, .serverStop, .serverCrash].contains(note.cause) else { continue }
                stretches.append((begin ?? from, from))
                begin = note.cause == .clockStep ? to : nil
            }
        }
        // No server's start is known.
        guard let begin else { return now }
        let run = Timestamp(microseconds: now.microseconds.adding(-runMicroseconds))
        stretches.append((max(begin, run), now))
        // From the newest back, to the first that is believed.
        var (known, lived, livedSince): (Timestamp, Int64, Int64) = (now, 0, 0)
        for (place, stretch) in stretches.enumerated().reversed() {
            lived += max(0, stretch.end.distance(from: stretch.begin))
            if lived >= Self.dayMicroseconds { break }
            guard place > 0 else { break }
            let before = stretches[place - 1]
            let rest = stretch.begin.distance(from: before.end)
            guard rest > Self.dayMicroseconds || rest < -Self.backMicroseconds else { continue }
            livedSince += lived
            lived = 0
            known = min(known, Timestamp(microseconds: before.end.microseconds.adding(livedSince)))
        }
        return known
    }

    private static let dayMicroseconds: Int64 = 86_400_000_000
    /// A clock that is set by so little is as right as before.
    private static let backMicroseconds: Int64 = 3_600_000_000

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
