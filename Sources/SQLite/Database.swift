import CSQLite
import Glibc

/// One connection, on one thread at a time. SQL is a `StaticString`, or made of such (`ComposedSQL`): a value can only be bound.
///
/// Statements are kept by the literal's address, for the life of the connection.
package final class Database {
    package enum Mode: Sendable {
        case readOnly
        /// On a medium that nobody writes to: no locks, and no log beside it. Were the file to change, answers would be wrong.
        case unchanging
        /// The file must exist: only `create` makes one, so that a lost database is not replaced by an empty one.
        case readWrite
        /// Makes the file, 0600; an existing one is an error.
        case create
        /// No file at all: gone with the connection.
        case memory
    }

    /// How long a statement waits for another process's lock.
    package static let busyMilliseconds: Int32 = 5_000
    /// Four times what the largest row needs (the audit of a node with all its tags, before and after). Whoever writes into the file
    /// can make one larger; it is refused by its length, before any of it is read.
    package static let longestRowBytes: Int32 = 1 << 20
    /// The log of writes shrinks to this after a checkpoint that found it larger.
    static let journalLimitBytes: Int64 = 16 * 1_024 * 1_024

    let handle: OpaquePointer
    private var statements: [UnsafePointer<UInt8>: Statement] = [:]
    /// Of `ComposedSQL`, by their text.
    var composed: [ComposedSQL: Statement] = [:]

    package init(path: String, mode: Mode, busyMilliseconds: Int32 = busyMilliseconds) throws(SQLiteError) {
        // Each connection is one thread's, so SQLite's own locks are left out. A path that is a link is refused.
        var flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW
        switch mode {
        case .readOnly: flags |= SQLITE_OPEN_READONLY
        case .unchanging: flags |= SQLITE_OPEN_READONLY | SQLITE_OPEN_URI
        case .readWrite: flags |= SQLITE_OPEN_READWRITE
        case .memory: flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY
        case .create:
            flags |= SQLITE_OPEN_READWRITE
            let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
            guard descriptor >= 0 else {
                let reason = String(cString: strerror(errno))
                throw SQLiteError(SQLITE_CANTOPEN, message: "cannot make the file: \(reason)")
            }
            close(descriptor)
        }
        var opened: OpaquePointer?
        let name = mode == .unchanging ? Self.unchangingName(path) : path
        let result = sqlite3_open_v2(name, &opened, flags, nil)
        guard result == SQLITE_OK, let opened else {
            let system = sqlite3_system_errno(opened)
            sqlite3_close_v2(opened)
            let reason = system == 0 ? nil : "cannot open the file: \(String(cString: strerror(system)))"
            throw SQLiteError(result, message: reason)
        }
        handle = opened
        sqlite3_busy_timeout(handle, busyMilliseconds)
        try configure(mode)
    }

    /// sqlite.org/uri.html
    private static func unchangingName(_ path: String) -> String {
        var name = "file:"
        for scalar in path.unicodeScalars {
            switch scalar {
            case "%": name += "%25"
            case "?": name += "%3f"
            case "#": name += "%23"
            default: name.unicodeScalars.append(scalar)
            }
        }
        return name + "?immutable=1"
    }

    deinit {
        statements.removeAll()
        composed.removeAll()
        sqlite3_close_v2(handle)
    }

    /// Runs a statement that answers no rows. Answers how many rows it changed.
    @discardableResult
    package func execute(_ sql: StaticString, _ values: any Bindable...) throws(SQLiteError) -> Int {
        try execute(sql, list: values)
    }

    @discardableResult
    package func execute(_ sql: StaticString, list values: [any Bindable]) throws(SQLiteError) -> Int {
        try rows(sql, values) { (_: borrowing Row) throws(SQLiteError) in }
        return Int(sqlite3_changes64(handle))
    }

    package func query<Element>(
        _ sql: StaticString, _ values: any Bindable...,
        row: (borrowing Row) throws(SQLiteError) -> Element
    ) throws(SQLiteError) -> [Element] {
        var all: [Element] = []
        try rows(sql, values) { (found: borrowing Row) throws(SQLiteError) in all.append(try row(found)) }
        return all
    }

    /// The first row, or nil.
    package func first<Element>(
        _ sql: StaticString, _ values: any Bindable...,
        row: (borrowing Row) throws(SQLiteError) -> Element
    ) throws(SQLiteError) -> Element? {
        var found: Element?
        try rows(sql, values) { (next: borrowing Row) throws(SQLiteError) in
            if found == nil { found = try row(next) }
        }
        return found
    }

    /// Calls `row` for each row, without keeping any.
    package func forEach(
        _ sql: StaticString, _ values: any Bindable..., row: (borrowing Row) throws(SQLiteError) -> Void
    ) throws(SQLiteError) {
        try rows(sql, values, row)
    }

    package func forEach(
        _ sql: StaticString, list values: [any Bindable],
        row: (borrowing Row) throws(SQLiteError) -> Void
    ) throws(SQLiteError) {
        try rows(sql, values, row)
    }

    /// Lets go of cached pages; those that are needed again are read again.
    package func giveBackMemory() { sqlite3_db_release_memory(handle) }

    package var lastInsertedID: Int64 { sqlite3_last_insert_rowid(handle) }

    /// Whether a transaction is open. SQLite itself ends one on some failures (full disk, I/O error).
    package var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

    private func rows(
        _ sql: StaticString, _ values: [any Bindable], _ row: (borrowing Row) throws(SQLiteError) -> Void
    ) throws(SQLiteError) {
        let statement = try statement(sql)
        defer { statement.isRunning = false }
        try statement.run(values, row)
    }

    private func statement(_ sql: StaticString) throws(SQLiteError) -> Statement {
        precondition(sql.hasPointerRepresentation, "SQL of one character")
        if let known = statements[sql.utf8Start], !known.isRunning {
            known.isRunning = true
            return known
        }
        // Unknown, or asked again inside its own rows: the second one is not kept.
        let new = try Statement(sql.description, in: handle)
        new.isRunning = true
        if statements[sql.utf8Start] == nil { statements[sql.utf8Start] = new }
        return new
    }
}
