import Glibc
import SQLite
import migrations

/// The one connection that writes, on the writer's thread.
final class WritingConnection {
    private let database: Database
    private let path: String
    /// The files that are open: what lies under their names must stay the same.
    private var files: [String: FileIdentity] = [:]

    init(path: String) throws(RecordsError) {
        self.path = path
        let migrations = EmbeddedMigrations.files.compactMap { Migration(file: $0.name, content: $0.content) }
        precondition(
            migrations.count == EmbeddedMigrations.files.count, "a migration's file has a strange name")
        let migrator = Migrator(path: path, migrations: migrations, applicationID: Store.applicationID)
        do { database = try migrator.open() } catch { throw RecordsError(error, path: path) }
        try checkFiles()
    }

    /// One transaction for all of them; a job that fails is undone alone.
    func commit(_ jobs: [Writer.Job]) {
        var failures = [RecordsError?](repeating: nil, count: jobs.count)
        do throws(RecordsError) {
            try checkFiles()
            let now = Timestamp.now
            try records { () throws(SQLiteError) in try database.execute("BEGIN IMMEDIATE") }
            for (place, job) in jobs.enumerated() { failures[place] = try run(job, now) }
            try records { () throws(SQLiteError) in try database.execute("COMMIT") }
            try checkFiles()
        } catch {
            database.rollBack()
            failures = failures.map { $0 ?? error }
        }
        for (job, failure) in zip(jobs, failures) { job.finish(failure) }
    }

    /// Answers the job's own failure; throws when the whole transaction is lost.
    private func run(_ job: Writer.Job, _ now: Timestamp) throws(RecordsError) -> RecordsError? {
        do {
            try database.savepoint { () throws(RecordsError) in
                var transaction = Transaction(database, actor: job.actor, now: now)
                try job.run(&transaction)
            }
            return nil
        } catch {
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

    /// A database that was moved or deleted under a running program would go on taking writes that nobody ever finds.
    private func checkFiles() throws(RecordsError) {
        for name in [path, "\(path)-wal"] {
            let found = FileIdentity(name)
            // The log is made with the first write.
            guard let known = files[name] else {
                files[name] = found
                continue
            }
            guard found == known else {
                throw RecordsError(
                    .io, "\(name): was moved, replaced or deleted while it was open: nothing more is written",
                    hint: "put the file back, or stop the server and restore a backup")
            }
        }
    }
}

private struct FileIdentity: Equatable {
    let device: UInt
    let number: UInt

    init?(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        device = UInt(status.st_dev)
        number = UInt(status.st_ino)
    }
}

extension RecordsError {
    init(_ error: MigrationError, path: String) {
        let code: Code
        switch error {
        case .newer: code = .newer
        case .empty, .orphanedLog, .foreign, .changed, .inconsistent: code = .corrupt
        case .failed(_, _, let error), .backup(let error), .database(let error):
            code = RecordsError(error).code
        case .system: code = .io
        }
        self.init(code, "\(path): \(error)")
    }
}

/// A detached thread without signals: they belong to the main thread's loop.
func startWriterThread(_ body: @escaping @Sendable () -> Void) {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(body))
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, &before)
    let result = pthread_create(
        &thread, nil,
        { box in
            Unmanaged<Box>.fromOpaque(box!).takeRetainedValue().body()
            return nil
        }, box.toOpaque())
    pthread_sigmask(SIG_SETMASK, &before, nil)
    precondition(result == 0, "cannot start the records' thread: \(String(cString: strerror(result)))")
    pthread_detach(thread)
}
