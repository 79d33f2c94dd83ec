import CSQLite
import Glibc

extension Database {
    /// A whole copy as it is at this moment, with its log in it, at a path where nothing is yet: 0600, synced, its free pages
    /// left out. Takes what is written meanwhile neither in nor up: other connections go on, but their log cannot begin anew
    /// until this ends. On a failure nothing stays.
    package func copy(into path: String) throws(SQLiteError) {
        // SQLite would make the file readable for all; it takes an empty one as it is.
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .system(SQLITE_CANTOPEN, "cannot make the copy") }
        close(descriptor)
        do throws(SQLiteError) {
            // A reader writes nothing but this; the file that it reads is open for reading alone.
            let isReader = try pragma("PRAGMA query_only") != 0
            if isReader { try execute("PRAGMA query_only = OFF") }
            defer { if isReader { _ = try? execute("PRAGMA query_only = ON") } }
            // Of the copy; where it is so already, SQLite would write it again.
            if try pragma("PRAGMA auto_vacuum") != 2 { try execute("PRAGMA auto_vacuum = INCREMENTAL") }
            try execute("VACUUM INTO ?", path)
            try Self.sync(path)
        } catch {
            for suffix in ["", "-journal", "-wal", "-shm"] { unlink(path + suffix) }
            throw error
        }
    }

    /// What is there of a file or a folder goes to the disk now.
    package static func sync(_ path: String) throws(SQLiteError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system(SQLITE_IOERR, "cannot sync \(path)") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .system(SQLITE_IOERR, "cannot sync \(path)") }
    }

    /// Takes the log into the file and empties it. False when another connection still reads from it.
    package func checkpoint() throws(SQLiteError) -> Bool {
        try first("PRAGMA wal_checkpoint(TRUNCATE)") { (row) throws(SQLiteError) in try row.integer(0) } == 0
    }

    /// Takes the log into the file, so that the next write begins at its start; the file keeps its size. False at once, when somebody reads.
    package func restartLog() throws(SQLiteError) -> Bool {
        sqlite3_busy_timeout(handle, 0)
        defer { sqlite3_busy_timeout(handle, Self.busyMilliseconds) }
        return try first("PRAGMA wal_checkpoint(RESTART)") { (row) throws(SQLiteError) in try row.integer(0) }
            == 0
    }

    /// `wal`, `delete`…
    package func journalMode() throws(SQLiteError) -> String {
        try first("PRAGMA journal_mode") { (row) throws(SQLiteError) in try row.text(0) } ?? ""
    }

    /// Of the library that is linked.
    package static var sqliteVersion: String { String(cString: sqlite3_libversion()) }
}

extension SQLiteError {
    /// With the system's reason of just now.
    static func system(_ code: Int32, _ what: String) -> SQLiteError {
        SQLiteError(code, message: "\(what): \(String(cString: strerror(errno)))")
    }
}
