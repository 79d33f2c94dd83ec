import CSQLite

/// One column's value as it is stored, whatever the query expects; the bytes are valid inside the closure that gets them.
package enum StoredValue {
    case null
    case integer(Int64)
    /// Not repaired: what is hashed is what lies in the file.
    case text(UnsafeRawBufferPointer)
    case blob(UnsafeRawBufferPointer)
    /// No table of ours holds one.
    case real(Double)
}

extension Row {
    package var columnCount: Int32 { sqlite3_column_count(statement) }

    package func columnName(_ column: Int32) -> String {
        sqlite3_column_name(statement, column).map { String(cString: $0) } ?? ""
    }

    package func withValue<Result, Failure: Error>(
        _ column: Int32, _ body: (StoredValue) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        switch sqlite3_column_type(statement, column) {
        case SQLITE_NULL: return try body(.null)
        case SQLITE_INTEGER: return try body(.integer(sqlite3_column_int64(statement, column)))
        case SQLITE_FLOAT: return try body(.real(sqlite3_column_double(statement, column)))
        case SQLITE_TEXT:
            let start = UnsafeRawPointer(sqlite3_column_text(statement, column))
            return try body(.text(bytes(start, column)))
        default: return try body(.blob(bytes(sqlite3_column_blob(statement, column), column)))
        }
    }

    private func bytes(_ start: UnsafeRawPointer?, _ column: Int32) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, column)))
    }
}

extension Database {
    /// Calls `row` for each row until it answers false.
    package func scan(
        _ sql: StaticString, _ values: any Bindable...,
        row: (borrowing Row) throws(SQLiteError) -> Bool
    ) throws(SQLiteError) {
        var isStopped = false
        do throws(SQLiteError) {
            try forEach(sql, list: values) { (found: borrowing Row) throws(SQLiteError) in
                guard try !row(found) else { return }
                isStopped = true
                throw SQLiteError(SQLITE_INTERRUPT)
            }
        } catch {
            guard isStopped else { throw error }
        }
    }
}
