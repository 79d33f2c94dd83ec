import Logging
import Threads

/// Writes openings to the journal as they come, beside the thread that writes the database. What it cannot write, the database
/// has to.
final class JournalThread: Sendable {
    /// A client that connects, says something and connects again is back after 100 to 250 µs, on a slow machine after twice
    /// that, and a processor that sleeps takes 20 to 50 to wake, here and in the loop that is told.
    private static let lookNanoseconds: UInt64 = 500_000

    private let log: HistoryLog
    private let ended = Semaphore()

    /// What an earlier process left in the journal must be in the database. Nil, and said in the log, where there can be no journal:
    /// then an opening waits for the database's commit.
    init?(directory: String, log: HistoryLog) {
        self.log = log
        let (ended, opened) = (ended, Reply<Bool>())
        startThread("openings") {
            let journal = OpeningJournal(directory: directory)
            opened.keep(journal != nil)
            opened.finish(nil)
            if let journal { Self.run(journal, log) }
            ended.post()
        }
        guard (try? opened.wait()) == true else {
            Log.warn("journal-not-made", ("path", "\(directory)/\(OpeningJournal.name)"))
            return nil
        }
    }

    private static func run(_ journal: OpeningJournal, _ log: HistoryLog) {
        var openings: [Opened] = []
        var window = PollingWindow(shortNanoseconds: lookNanoseconds)
        while let batch = log.waitForOpenings(into: &openings, looking: lookNanoseconds, &window) {
            var isDone = false
            do throws(OpeningJournal.Failure) {
                try journal.write(openings, written: batch.written)
                isDone = true
                log.tell(.recorded(through: batch.through))
            } catch {
                if case .records(let error) = error {
                    Log.limited(.error, "journal-failed", key: "", ("error", error.message))
                }
            }
            log.endJournalWrite(isDone: isDone)
        }
    }

    /// Returns when nothing is being written any more.
    func end() {
        log.endJournal()
        ended.wait()
    }
}
