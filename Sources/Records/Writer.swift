import Glibc
import Logging
import SQLite
import Synchronization

/// The thread that owns the connection that writes. It takes all that is queued, runs each job in a savepoint of one
/// transaction, commits once, and answers everyone: under load batches form by themselves, and one write alone does
/// not wait for others.
final class Writer: Sendable {
    /// One job of a batch: `run` inside the transaction, then `finish` once, when the commit is on disk or has failed.
    struct Job: Sendable {
        let actor: Actor
        let isAwaited: Bool
        let run: @Sendable (inout Transaction) throws(RecordsError) -> Void
        let finish: @Sendable (RecordsError?) -> Void
    }

    private struct Queue {
        var jobs: [Job] = []
        var submitted = 0
        var isClosed = false
    }

    /// More would let the first of them wait too long for the last.
    private static let batch = 1_000

    private let queue = Mutex(Queue())
    private let bell = Semaphore()
    private let ended = Semaphore()
    private let isEnded = Mutex(false)
    private let lock: Mutex<LockFile?>

    init(path: String, lock: LockFile) throws(RecordsError) {
        self.lock = Mutex(lock)
        let opened = Reply<Void>()
        startWriterThread { [self] in
            do throws(RecordsError) {
                let connection = try WritingConnection(path: path)
                opened.keep(())
                opened.finish(nil)
                while let jobs = next() { connection.commit(jobs) }
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
        actor: Actor, _ body: @escaping @Sendable (inout Transaction) throws(RecordsError) -> Void
    ) -> Bool {
        let isQueued = enqueue(
            Job(actor: actor, isAwaited: false, run: body) { error in
                guard let error else { return }
                Log.limited(.error, "record-failed", key: error.code.rawValue, ("error", error.message))
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
        // The thread sleeps only on an empty queue.
        if place == 1 { bell.post() }
        return place != nil
    }

    /// The next batch; nil at the end.
    private func next() -> [Job]? {
        while true {
            let (jobs, isClosed) = queue.withLock { queue in
                let jobs = Array(queue.jobs.prefix(Self.batch))
                queue.jobs.removeFirst(jobs.count)
                queue.submitted -= jobs.count { !$0.isAwaited }
                return (jobs, queue.isClosed)
            }
            if !jobs.isEmpty { return jobs }
            if isClosed { return nil }
            bell.wait()
        }
    }

    func close() {
        queue.withLock { $0.isClosed = true }
        bell.post()
        isEnded.withLock { isEnded in
            if !isEnded { ended.wait() }
            isEnded = true
        }
        lock.withLock { $0 = nil }
    }
}
