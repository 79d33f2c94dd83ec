import Digests
import Glibc
import SQLite
import Threads

/// Checks that the history and the audit are what was written: the file's schema, each row's chain and what the row says, where
/// the chains end, each seal, what was pruned, the indexes that readers use, and whatever was kept elsewhere (verification
/// keys, anchors). Proof.md says what that proves, and the format.
///
/// On reading connections of its own, beside a running server or on a copy; in one snapshot, during which the log of writes
/// cannot begin anew. Reads every row once. A thread beside it checks the form of the file.
package struct ChainVerifier {
    /// Of the data folder's server, each in its time; the oldest first. Empty: macs are not checked.
    package var keys: [[UInt8]] = []
    package var anchors: [Anchor] = []
    /// The number in `seal-now.key`, read before this: seals below it were made. Nil: not known.
    package var nextSeal: Int64?

    /// Numbers of seals that an operator knows to be missing, with those after them, since a backup was put in place: anchors
    /// that tell of them are passed over.
    package var restored: Set<Int64> = []

    private let path: String

    package init(path: String) {
        self.path = path
    }

    /// What was found; a fault is in the report. Throws when the file is none of ours, or cannot be read.
    package func run() throws(RecordsError) -> ChainReport {
        let (database, schema) = try Backup.opened(path)
        guard schema > 1 else {
            throw RecordsError(
                .invalid, "\(path): is older than the chain (schema \(schema)): there is nothing to verify",
                hint: "start goproxy-server once, which migrates it")
        }
        var report = ChainReport()
        do throws(SQLiteError) {
            try database.execute("BEGIN")
            defer { database.rollBack() }
            let form = FormCheck(path)
            report.fault = try fault(in: database, schema, &report)
            report.sortTables()
            if report.fault == nil { report.fault = form.fault() }
        } catch {
            throw RecordsError(
                RecordsError(error).code, "\(path): cannot be read: \(error)",
                hint: error.isCorrupt ? "goproxy-admin doctor" : nil)
        }
        return report
    }

    /// The first fault. Notes and the audit come first: what was pruned and restored is said there, and all the rest leans on
    /// it.
    private func fault(
        in database: Database, _ schema: Int, _ report: inout ChainReport
    ) throws(SQLiteError) -> ChainFault? {
        if let fault = journal() { return fault }
        if let fault = try altered(database, schema) { return fault }
        let notes = NoteReader()
        let audit = AuditReader()
        var seals = SealVerifier(keys: keys, anchors: anchors, nextSeal: nextSeal, restored: restored)
        if let fault = try TableVerifier.notes.run(database, notes, &report) { return fault }
        if let fault = try TableVerifier.audit.run(database, audit, &report) { return fault }
        if let fault = try seals.run(database, notes, &report) { return fault }
        if let fault = try ThinnedAnchors(seals.thinned).fault(in: database) { return fault }
        let routes = RouteReader()
        if let fault = try TableVerifier.routes.run(database, routes, &report) { return fault }
        let pruning = try PruneVerifier(notes, audit, seals, database)
        if let fault = try pruning.run(database, routes, &report) { return fault }
        return try RecordVerifier(notes, audit, seals).run(database, &report)
    }

    /// A database of ours has its writes in a log. A journal of the older kind would be rolled back into it by whoever opens it
    /// for writing, and show something else than was verified.
    private func journal() -> ChainFault? {
        var status = stat()
        guard lstat("\(path)-journal", &status) == 0, status.st_size > 0 else { return nil }
        return ChainFault("file", nil, "\(path)-journal lies beside it, and would change what was verified")
    }

    private func altered(_ database: Database, _ schema: Int) throws(SQLiteError) -> ChainFault? {
        let differences = try Store.migrator(path).differences(in: database, version: schema)
        return differences.first.map { ChainFault("schema", nil, "\($0)") }
    }
}

/// Whether the file's pages, and the rows of all tables, are as SQLite makes them: a row that one way shows and another does
/// not would be verified and never seen. On a thread of its own, with a snapshot of the same moment.
private struct FormCheck {
    private let reply = Reply<[String]>()

    init(_ path: String) {
        startThread("verify-form") { [reply] in
            do throws(RecordsError) {
                let database = try Backup.opened(path).database
                reply.keep(
                    try records { () throws(SQLiteError) in
                        // The audit's indexes repeat the row's id: one that leaves it out reads the same, but for SQLite.
                        let form = try database.query("PRAGMA quick_check(1)", row: Self.words)
                        return try form + database.query("PRAGMA integrity_check(audit)", row: Self.words)
                    })
                reply.finish(nil)
            } catch {
                reply.finish(error)
            }
        }
    }

    private static func words(_ row: borrowing Row) throws(SQLiteError) -> String { try row.text(0) }

    func fault() -> ChainFault? {
        do throws(RecordsError) {
            let fault = try reply.wait().first { $0 != "ok" }
            return fault.map { ChainFault("file", nil, "is damaged: \($0)") }
        } catch {
            return ChainFault("file", nil, error.message)
        }
    }
}
