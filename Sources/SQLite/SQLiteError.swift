import CSQLite

/// What SQLite refused, and at which statement. Never holds a bound value: it may be logged and shown as it is.
package struct SQLiteError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Primary result code (`SQLITE_BUSY`…).
    package let code: Int32
    /// With the details in its upper bytes (sqlite.org/rescode.html).
    package let extendedCode: Int32
    /// Empty when no statement was at fault.
    package let sql: String
    package let message: String

    package init(_ extendedCode: Int32, sql: String = "", message: String? = nil) {
        code = extendedCode & 0xff
        self.extendedCode = extendedCode
        self.sql = sql
        self.message = message ?? String(cString: sqlite3_errstr(extendedCode))
    }

    /// The words of SQLite itself only where they speak of the schema (which column, which check); while a statement
    /// runs other messages may quote values, such as the path that a JSON function could not follow.
    static func last(of handle: OpaquePointer?, sql: String, isPreparing: Bool = false) -> SQLiteError {
        let extended = sqlite3_extended_errcode(handle)
        let isAboutSchema = isPreparing || extended & 0xff == SQLITE_CONSTRAINT
        var words = isAboutSchema ? sqlite3_errmsg(handle).map { String(cString: $0) } : nil
        if extended == SQLITE_TOOBIG {
            words = "a row has more than \(Database.longestRowBytes) bytes: none of ours has"
        }
        return SQLiteError(extended, sql: sql, message: words)
    }

    /// What is stored cannot be what was stored.
    package static func damaged(_ message: String) -> SQLiteError {
        SQLiteError(SQLITE_CORRUPT, message: message)
    }

    package var isBusy: Bool { code == SQLITE_BUSY || code == SQLITE_LOCKED }
    package var isConstraint: Bool { code == SQLITE_CONSTRAINT }
    /// Also where the memory that connections share cannot grow, which SQLite calls an I/O error.
    package var isFull: Bool { code == SQLITE_FULL || extendedCode == SQLITE_IOERR | (19 << 8) }
    /// Also a row that is longer than any that was written.
    package var isCorrupt: Bool { code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_TOOBIG }
    package var isReadOnly: Bool { code == SQLITE_READONLY }

    package var description: String {
        let place = sql.isEmpty ? "" : " (in: \(Self.oneLine(sql)))"
        return "\(message), SQLite code \(extendedCode)\(place)"
    }

    private static func oneLine(_ sql: String) -> String {
        let words = sql.split { $0.isWhitespace }.joined(separator: " ")
        return words.count > 200 ? words.prefix(200) + "…" : words
    }
}
