import Glibc
import Logging
import SQLite
import Synchronization
import Threads

/// The thread that owns the connection that writes. It takes all that is queued, writes the history's events, runs each job in a
/// savepoint of the same transaction, commits once, and answers everyone: under load batches form by themselves, and one
/// write alone does not wait for others.
final class Writer: Sendable {
    /// One job of a batch: `run` inside the transaction, then `finish` once, when the commit is on disk or has failed.
    struct Job: Sendable {
        let actor: Actor
        let isAwaited: Bool
        let run: @Sendable (inout Transaction) throws(RecordsError) -> Void
        let finish: @Sendable (RecordsError?) -> Void
    }

    /// How the records are opened.
    struct Opening: Sendable {
        let directory: String
        /// Nil in programs that only change records.
        let lifecycle: Lifecycle?
        let sealsEverySeconds: Int
        let gate: ReaderGate

        var path: String { "\(directory)/\(Store.fileName)" }
    }

    private struct Queue {
        var jobs: [Job] = []
        var submitted = 0
        var isClosed = false
    }

    /// More would let the first of them wait too long for the last.
    private static let batch = 1_000

    /// How long closings wait for an opening to share its commit with.
    private static let companyMilliseconds = 20

    let log: HistoryLog
    let signals = StoreSignals()
    private let queue = Mutex(Queue())
    private let bell: Semaphore
    private let ended = Semaphore()
    private let isEnded = Mutex(false)
    private let lock: Mutex<LockFile?>

    /// Answers when what the last process left unfinished is on disk.
    init(_ opening: Opening, lock: LockFile) throws(RecordsError) {
        let bell = Semaphore()
        self.bell = bell
        log = HistoryLog(bell: bell)
        self.lock = Mutex(lock)
        let opened = Reply<Void>()
        startThread("records") { [self] in
            do throws(RecordsError) {
                let committer = try Committer(opening, log: log, signals: signals)
                opened.keep(())
                opened.finish(nil)
                run(committer)
                committer.end()
            } catch {
                opened.finish(error)
            }
            ended.post()
        }
        do { try opened.wait() } catch {
            close()
            throw error
        }
    }

    private func run(_ committer: Committer) {
        // It has just written: more will come, and closings alone need not wake it.
        var isAttentive = false
        while true {
            // Posts for what was taken in passing would cut the next rest short.
            bell.clear()
            let waiting = log.look(isAttended: isAttentive)
            if waiting == .canWait || isAttentive && waiting == .nothing, !hasJobs {
                bell.wait(milliseconds: Self.companyMilliseconds)
            }
            let (jobs, isClosed) = takeJobs()
            if committer.turn(jobs) {
                isAttentive = true
            } else if isClosed {
                return
            } else if isAttentive {
                isAttentive = false
            } else {
                bell.wait(milliseconds: committer.restMilliseconds)
            }
        }
    }

    func write<Result: Sendable>(
        actor: Actor, _ body: @escaping @Sendable (inout Transaction) throws(RecordsError) -> Result
    ) throws(RecordsError) -> Result {
        let reply = Reply<Result>()
        let job = Job(
            actor: actor, isAwaited: true,
            run: { (transaction) throws(RecordsError) in reply.keep(try body(&transaction)) },
            finish: { reply.finish($0) })
        guard enqueue(job) else { throw .closed }
        return try reply.wait()
    }

    func submit(
        actor: Actor, _ body: @escaping @Sendable (inout Transaction) throws(RecordsError) -> Void,
        failed: @escaping @Sendable (RecordsError) -> Void
    ) -> Bool {
        let isQueued = enqueue(
            Job(actor: actor, isAwaited: false, run: body) { error in
                guard let error else { return }
                Log.limited(.error, "record-failed", key: error.code.rawValue, ("error", error.message))
                failed(error)
            })
        if !isQueued {
            Log.limited(.error, "record-dropped", key: "", ("waiting", Limits.waitingSubmissions))
        }
        return isQueued
    }

    private func enqueue(_ job: Job) -> Bool {
        let place: Int? = queue.withLock { queue in
            guard !queue.isClosed else { return nil }
            if !job.isAwaited {
                guard queue.submitted < Limits.waitingSubmissions else { return nil }
                queue.submitted += 1
            }
            queue.jobs.append(job)
            return queue.jobs.count
        }
        // The thread rests only on an empty queue.
        if place == 1 { bell.post() }
        return place != nil
    }

    private var hasJobs: Bool { queue.withLock { !$0.jobs.isEmpty || $0.isClosed } }

    private func takeJobs() -> ([Job], isClosed: Bool) {
        queue.withLock { queue in
            let jobs = Array(queue.jobs.prefix(Self.batch))
            queue.jobs.removeFirst(jobs.count)
            queue.submitted -= jobs.count { !$0.isAwaited }
            return (jobs, queue.isClosed)
        }
    }

    func close() {
        log.close()
        queue.withLock { $0.isClosed = true }
        bell.post()
        isEnded.withLock { isEnded in
            if !isEnded { ended.wait() }
            isEnded = true
        }
        lock.withLock { $0 = nil }
    }
}
