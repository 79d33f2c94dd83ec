import CSQLite

/// A statement that its owner keeps and runs often: values are bound one by one, without a list of them being made.
/// For a statement that answers no rows; on the database's thread, and not after its database.
///
/// A value that cannot be bound (no memory) is told by the next `run`.
package final class PreparedStatement {
    private let pointer: OpaquePointer
    private let database: Database
    private let sql: StaticString
    private var failure = SQLITE_OK

    package init(_ sql: StaticString, in database: Database) throws(SQLiteError) {
        self.sql = sql
        self.database = database
        var prepared: OpaquePointer?
        let result = sqlite3_prepare_v3(
            database.handle, UnsafeRawPointer(sql.utf8Start).assumingMemoryBound(to: CChar.self),
            Int32(sql.utf8CodeUnitCount), UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
        guard result == SQLITE_OK, let prepared else {
            throw .last(of: database.handle, sql: sql.description, isPreparing: true)
        }
        pointer = prepared
    }

    deinit {
        sqlite3_finalize(pointer)
    }

    /// Parameters count from 1.
    package func bind(_ value: Int64, at index: Int32) { keep(sqlite3_bind_int64(pointer, index, value)) }

    package func bind(_ value: Int64?, at index: Int32) {
        if let value { bind(value, at: index) } else { bindNull(at: index) }
    }

    package func bind(_ text: String, at index: Int32) { keep(text.bind(to: pointer, at: index)) }

    package func bind(_ text: String?, at index: Int32) {
        if let text { bind(text, at: index) } else { bindNull(at: index) }
    }

    package func bind(_ bytes: [UInt8], at index: Int32) { keep(bytes.bind(to: pointer, at: index)) }

    package func bind(_ bytes: UnsafeRawBufferPointer, at index: Int32) {
        keep(goproxy_sqlite3_bind_blob(pointer, index, bytes.baseAddress, UInt64(bytes.count)))
    }

    package func bindNull(at index: Int32) { keep(sqlite3_bind_null(pointer, index)) }

    /// Runs to the end. What is bound stays bound until it is bound anew, so this is not for secrets.
    package func run() throws(SQLiteError) {
        let bound = failure
        failure = SQLITE_OK
        guard bound == SQLITE_OK else { throw SQLiteError(bound, sql: sql.description) }
        let result = sqlite3_step(pointer)
        if result != SQLITE_DONE {
            let error = SQLiteError.last(of: database.handle, sql: sql.description)
            sqlite3_reset(pointer)
            throw error
        }
        sqlite3_reset(pointer)
    }

    private func keep(_ result: Int32) {
        if result != SQLITE_OK { failure = result }
    }
}
