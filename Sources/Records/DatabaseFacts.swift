import SQLite

/// What there is to know of a database file without the program that serves it. Opened for reading, as the readers of a server
/// open it; nothing is made or changed.
package struct DatabaseFacts: Sendable {
    package struct Seal: Sendable {
        package let id: Int64
        package let at: Timestamp
    }

    package var schema = 0
    package var knownSchema = Store.migrations.count
    package var journalMode = ""
    /// `PRAGMA synchronous` of our connections: 2 is FULL.
    package var synchronous: Int64 = 0
    /// `PRAGMA auto_vacuum`: 2 lets free pages be given back in steps.
    package var autoVacuum: Int64 = 0
    package var bytes: Int64 = 0
    /// Of pages that hold nothing.
    package var freeBytes: Int64 = 0
    /// What `PRAGMA quick_check` finds: the whole file is read, indexes are not compared with their tables.
    package var faults: [String] = []
    /// How the schema differs from what the migrations make.
    package var schemaFaults: [String] = []
    package var lastSeal: Seal?
    /// Rows of the chained tables that no seal covers yet.
    package var unsealedRows: Int64 = 0
    /// Of the newest row, whoever wrote it.
    package var newest: Timestamp?
    package var lastBackup: Timestamp?
    /// Not released.
    package var holds: Int64 = 0
    /// The seal of a pruning that was begun and has not ended.
    package var unfinishedPruning: Int64?

    /// In `openings.journal` and not in the database yet; and such as are of another database.
    package var waitingOpenings = 0
    package var strangeOpenings = 0

    package static var sqliteVersion: String { Database.sqliteVersion }

    package init(path: String) throws(RecordsError) {
        let (database, schema) = try Backup.opened(path)
        self.schema = schema
        do throws(SQLiteError) {
            schemaFaults = try Store.migrator(path).differences(in: database, version: schema).map(
                \.description)
            guard schemaFaults.isEmpty else { return }
            try read(database)
        } catch {
            throw RecordsError(RecordsError(error).code, "\(path): \(error)")
        }
        guard schema > 1, faults.isEmpty else { return }
        let journal = try OpeningJournal.read(OpeningJournal.path(Backup.folder(of: path)))
        (waitingOpenings, strangeOpenings) = try OpeningJournal.waiting(journal, in: database)
    }

    private mutating func read(_ database: Database) throws(SQLiteError) {
        journalMode = try database.journalMode()
        synchronous = try database.pragma("PRAGMA synchronous")
        autoVacuum = try database.pragma("PRAGMA auto_vacuum")
        let page = try database.pragma("PRAGMA page_size")
        bytes = try database.pragma("PRAGMA page_count") * page
        freeBytes = try database.pragma("PRAGMA freelist_count") * page
        faults = try database.query("PRAGMA quick_check(20)") { (row) throws(SQLiteError) in try row.text(0) }
            .filter { $0 != "ok" }
        guard faults.isEmpty else { return }
        newest = Timestamp(microseconds: try database.pragma("SELECT coalesce(max(at), 0) FROM audit"))
        lastBackup = try database.first(
            "SELECT at FROM audit WHERE action = 'backup' ORDER BY id DESC LIMIT 1"
        ) {
            (row) throws(SQLiteError) in try row.time(0)
        }
        guard schema > 1 else { return }
        lastSeal = try database.first("SELECT id, at FROM seals ORDER BY id DESC LIMIT 1") {
            (row) throws(SQLiteError) in Seal(id: try row.integer(0), at: try row.time(1))
        }
        unsealedRows = try database.pragma(
            """
            SELECT coalesce(sum(max(0, h.id - CASE h.name
                WHEN 'routes' THEN s.routes_id WHEN 'opened' THEN s.opened_id WHEN 'closed' THEN s.closed_id
                WHEN 'notes' THEN s.notes_id ELSE s.audit_id END)), 0)
            FROM chain_heads AS h, (SELECT * FROM seals ORDER BY id DESC LIMIT 1) AS s
            """)
        holds = try database.pragma("SELECT count(*) FROM holds WHERE released_at IS NULL")
        let history = try database.pragma(
            """
            SELECT max(
                coalesce((SELECT at FROM opened ORDER BY id DESC LIMIT 1), 0),
                coalesce((SELECT at FROM closed ORDER BY id DESC LIMIT 1), 0),
                coalesce((SELECT at FROM notes ORDER BY id DESC LIMIT 1), 0))
            """)
        newest = max(newest ?? Timestamp(microseconds: 0), Timestamp(microseconds: history))
        unfinishedPruning = try PruneNote.last(in: database).flatMap { $0.phase == .begun ? $0.seal : nil }
    }
}
