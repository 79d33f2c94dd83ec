import Digests
import SQLite

/// Checks that the history and the audit are what was written: each row's chain, where the chains end, each seal, and whatever
/// was kept elsewhere (verification keys, anchors).
///
/// On a reading connection of its own, beside a running server or on a copy; all of it in one snapshot, during which the log
/// of writes cannot begin anew. Reads every row once. One thread.
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
            report.fault = try fault(in: database, &report)
        } catch {
            throw RecordsError(
                RecordsError(error).code, "\(path): cannot be read: \(error)",
                hint: error.isCorrupt ? "goproxy-admin doctor" : nil)
        }
        return report
    }

    /// The first fault. Notes come early: what was pruned and restored is said there, and everything after leans on it.
    private func fault(in database: Database, _ report: inout ChainReport) throws(SQLiteError) -> ChainFault?
    {
        var seals = SealVerifier(keys: keys, anchors: anchors, nextSeal: nextSeal, restored: restored)
        if let fault = try seals.run(database, &report) { return fault }
        if let fault = try TableVerifier.notes.run(database, &report) { return fault }
        if let fault = try TableVerifier.routes.run(database, &report) { return fault }
        if let fault = try PruneVerifier(database).run(database, &report) { return fault }
        return try TableVerifier.audit.run(database, &report)
    }
}
