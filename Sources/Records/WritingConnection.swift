import Logging
import SQLite
import migrations

/// The one connection that writes, on the writer's thread.
final class WritingConnection {
    let database: Database
    let rows: HistoryRows
    /// Once there is one: a transaction that holds a seal tells it how it ended.
    var sealer: Sealer?
    private var files: WatchedFiles

    init(path: String) throws(RecordsError) {
        files = WatchedFiles([path, "\(path)-wal"])
        do { database = try Store.migrator(path).open() } catch { throw RecordsError(error, path: path) }
        do { rows = try HistoryRows(database) } catch { throw RecordsError(error) }
        try checkFiles()
    }

    /// One transaction, with the heads of the chains it moved: all of `body`, or nothing when this throws.
    func transaction(_ body: (Timestamp) throws(RecordsError) -> Void) throws(RecordsError) {
        let before = rows.chains.heads
        do throws(RecordsError) {
            try checkFiles()
            try records { () throws(SQLiteError) in try database.execute("BEGIN IMMEDIATE") }
            try body(.now)
            try records { () throws(SQLiteError) in
                try rows.chains.save()
                try database.execute("COMMIT")
            }
        } catch {
            database.rollBack()
            rows.chains.restore(before)
            sealer?.inserted = nil
            throw error
        }
        sealer?.committed()
        try checkFiles()
    }

    /// Events first, then jobs, of which one that fails is undone alone. Answers the jobs' own failures; throws when nothing
    /// was written. Closings of `dropped` openings are passed over.
    func commit(
        _ events: [HistoryEvent], _ range: Range<Int>, dropped: Set<Int64>, _ jobs: [Writer.Job]
    ) throws(RecordsError) -> [RecordsError?] {
        var failures = [RecordsError?](repeating: nil, count: jobs.count)
        try transaction { (now) throws(RecordsError) in
            for place in range {
                if !dropped.isEmpty, case .closed(let closing) = events[place],
                    dropped.contains(closing.connection)
                {
                    continue
                }
                try insert(events[place])
            }
            for (place, job) in jobs.enumerated() { failures[place] = try run(job, now) }
        }
        return failures
    }

    /// What the tables refuse is a fault of ours, or of a damaged file. An opening takes its whole batch with it, since nothing
    /// may pass without one; anything else is left out, loudly, or it would be tried again for ever.
    private func insert(_ event: HistoryEvent) throws(RecordsError) {
        do { try rows.insert(event) } catch {
            guard error.isConstraint, !event.isOpening else { throw RecordsError(error) }
            Log.limited(.error, "history-row-refused", key: "", ("error", error))
        }
    }

    /// Answers the job's own failure; throws when the whole transaction is lost.
    private func run(_ job: Writer.Job, _ now: Timestamp) throws(RecordsError) -> RecordsError? {
        let before = rows.chains.heads
        let seal = sealer?.inserted
        do {
            try database.savepoint { () throws(RecordsError) in
                var transaction = Transaction(
                    database, rows: rows, actor: job.actor, now: now, sealer: sealer)
                try job.run(&transaction)
            }
            return nil
        } catch {
            rows.chains.heads = before
            sealer?.inserted = seal
            let failure: RecordsError
            switch error {
            case .body(let error): failure = error
            case .database(let error): failure = RecordsError(error)
            }
            // A full disk or an I/O error ends the whole transaction, whichever job met it.
            guard database.isInTransaction else { throw failure }
            return failure
        }
    }

    /// Takes the log's content into the database and gives its room back to the disk; with a reader in the way, or no room for
    /// it, the next time. Outside of transactions.
    func emptyLog() { _ = try? database.checkpoint() }

    func checkFiles() throws(RecordsError) { try files.check() }
}

extension HistoryEvent {
    var isOpening: Bool {
        if case .opened = self { true } else { false }
    }
}

extension Store {
    /// All that this program knows.
    static let migrations: [Migration] = {
        let all = EmbeddedMigrations.files.compactMap { Migration(file: $0.name, content: $0.content) }
        precondition(all.count == EmbeddedMigrations.files.count, "a migration's file has a strange name")
        return all
    }()

    static func migrator(_ path: String) -> Migrator {
        Migrator(path: path, migrations: migrations, applicationID: applicationID)
    }
}

extension RecordsError {
    init(_ error: MigrationError, path: String) {
        let message = "\(path): \(error)"
        switch error {
        case .newer: self.init(.newer, message)
        case .empty, .orphanedLog, .foreign, .changed, .inconsistent: self.init(.corrupt, message)
        case .altered:
            self.init(
                .corrupt, message,
                hint: "goproxy-admin audit verify; goproxy-admin restore FILE; keep this one")
        case .failed(_, _, let error), .backup(let error), .database(let error):
            let reason = RecordsError(error)
            self.init(reason.code, message, hint: reason.hint, isFull: reason.isFull)
        case .system: self.init(.io, message)
        }
    }
}
