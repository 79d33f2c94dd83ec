import CSQLite

extension Database {
    /// Sets what the promises rest on, and reads each setting back: SQLite passes over an unknown one in silence.
    func configure(_ mode: Mode) throws(SQLiteError) {
        guard goproxy_sqlite3_defensive(handle) == SQLITE_OK,
            goproxy_sqlite3_no_quoted_strings(handle) == SQLITE_OK
        else { throw SQLiteError(SQLITE_MISUSE, message: "cannot be made defensive") }
        sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, Self.longestRowBytes)
        guard sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, -1) == Self.longestRowBytes else {
            throw SQLiteError(SQLITE_MISUSE, message: "the length of a row cannot be limited")
        }
        // Before anything is in the file, or it has no effect: 2 is INCREMENTAL, room of what was deleted is given back in steps.
        if mode == .create { try set("PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA auto_vacuum", to: 2) }
        if mode == .readOnly || mode == .unchanging {
            try set("PRAGMA query_only = ON", "PRAGMA query_only", to: 1)
        } else if mode != .memory {
            try setJournal()
        }
        // 2 is FULL: an answered commit outlives a power cut. NORMAL lost such commits in 371 of 400 trials.
        try set("PRAGMA synchronous = FULL", "PRAGMA synchronous", to: 2)
        try set("PRAGMA foreign_keys = ON", "PRAGMA foreign_keys", to: 1)
        // 2 is MEMORY: sorting leaves nothing on disk.
        try set("PRAGMA temp_store = MEMORY", "PRAGMA temp_store", to: 2)
        try set("PRAGMA trusted_schema = OFF", "PRAGMA trusted_schema", to: 0)
        try set("PRAGMA cell_size_check = ON", "PRAGMA cell_size_check", to: 1)
    }

    private func setJournal() throws(SQLiteError) {
        let mode = try first("PRAGMA journal_mode = WAL") { (row) throws(SQLiteError) in try row.text(0) }
        guard mode == "wal" else {
            throw SQLiteError(
                SQLITE_ERROR, message: "the journal mode cannot be WAL (a network file system?)")
        }
        // 16 MiB of pages for the one connection that writes: indexes of a long history are met at random places, and with SQLite's
        // own 2 MB each row read a page again.
        try set("PRAGMA cache_size = -16384", "PRAGMA cache_size", to: -16_384)
        // 8 MB: the same few pages are written again and again, so half as many checkpoints copy half as much.
        try set("PRAGMA wal_autocheckpoint = 2000", "PRAGMA wal_autocheckpoint", to: 2_000)
        let limit = try first("PRAGMA journal_size_limit = 16777216") { (row) throws(SQLiteError) in
            try row.integer(0)
        }
        guard limit == Self.journalLimitBytes else {
            throw SQLiteError(SQLITE_ERROR, message: "the journal's size cannot be limited")
        }
    }

    private func set(_ set: StaticString, _ get: StaticString, to value: Int64) throws(SQLiteError) {
        try execute(set)
        guard try pragma(get) == value else {
            throw SQLiteError(SQLITE_ERROR, sql: set.description, message: "the setting is not taken")
        }
    }

    /// A setting that is a number.
    package func pragma(_ get: StaticString) throws(SQLiteError) -> Int64 {
        try first(get) { (row) throws(SQLiteError) in try row.integer(0) } ?? 0
    }

    /// What `PRAGMA integrity_check` finds; empty when the file is sound. Reads the whole file.
    package func integrityFaults() throws(SQLiteError) -> [String] {
        let words = try query("PRAGMA integrity_check") { (row) throws(SQLiteError) in try row.text(0) }
        let orphans = try query("PRAGMA foreign_key_check") { (row) throws(SQLiteError) in
            "a row of \(try row.text(0)) refers to nothing"
        }
        return words.filter { $0 != "ok" } + orphans
    }
}
