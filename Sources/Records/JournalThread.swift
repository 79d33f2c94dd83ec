import Logging
import Threads

/// Writes openings to the journal as they come, beside the thread that writes the database. What it cannot write, the database
/// has to; after a failure, all of it until the next start.
final class JournalThread: Sendable {
    /// A client that connects, says something and connects again is back after 100 to 250 µs, on a slow machine after twice
    /// that, and a processor that sleeps takes 20 to 50 to wake, here and in the loop that is told.
    private static let lookNanoseconds: UInt64 = 500_000

    private let log: HistoryLog
    private let ended = Semaphore()

    /// What an earlier process left in the journal must be in the database. Nil, and said in the log, where there can be no journal:
    /// then an opening waits for the database's commit.
    init?(directory: String, mark: OpeningJournal.Mark, log: HistoryLog) {
        self.log = log
        let (ended, opened) = (ended, Reply<Bool>())
        startThread("openings") {
            let journal = OpeningJournal(directory: directory, mark: mark)
            opened.keep(journal != nil)
            opened.finish(nil)
            if let journal { Self.run(journal, log) }
            ended.post()
        }
        guard (try? opened.wait()) == true else {
            Log.warn("journal-not-made", ("path", OpeningJournal.path(directory)))
            return nil
        }
    }

    private static func run(_ journal: OpeningJournal, _ log: HistoryLog) {
        var openings: [Opened] = []
        var window = PollingWindow(shortNanoseconds: lookNanoseconds)
        while let batch = log.waitForOpenings(into: &openings, looking: lookNanoseconds, &window) {
            do throws(OpeningJournal.Failure) {
                try journal.write(openings, written: batch.written)
                log.journalIsOnDisk()
                log.tell(.recorded(through: batch.through))
                log.endJournalWrite(.done)
            } catch {
                switch error {
                case .full: log.endJournalWrite(.full)
                case .records(let error):
                    Log.error(
                        "journal-failed", ("error", error.message), ("until", "the next start"))
                    log.endJournalWrite(.failed)
                }
            }
        }
    }

    /// Returns when nothing is being written any more.
    func end() {
        log.endJournal()
        ended.wait()
    }
}
