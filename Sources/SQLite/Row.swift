import CSQLite

/// One row of an answer, valid only inside the closure that it is given to. Columns count from 0.
///
/// Types are exact: tables are STRICT, so another type than the one asked for means a wrong query or a damaged file,
/// and is an error.
package struct Row: ~Copyable {
    let statement: OpaquePointer

    init(_ statement: OpaquePointer) {
        self.statement = statement
    }

    package func isNull(_ column: Int32) -> Bool { sqlite3_column_type(statement, column) == SQLITE_NULL }

    package func integer(_ column: Int32) throws(SQLiteError) -> Int64 {
        try require(SQLITE_INTEGER, column)
        return sqlite3_column_int64(statement, column)
    }

    package func bool(_ column: Int32) throws(SQLiteError) -> Bool { try integer(column) != 0 }

    /// An integer of another width; one that does not fit is an error.
    package func number<Number: FixedWidthInteger>(_ column: Int32) throws(SQLiteError) -> Number {
        guard let number = Number(exactly: try integer(column)) else { throw mismatch(column) }
        return number
    }

    package func real(_ column: Int32) throws(SQLiteError) -> Double {
        try require(SQLITE_FLOAT, column)
        return sqlite3_column_double(statement, column)
    }

    /// What is not UTF-8 is repaired: a damaged name must still be shown.
    package func text(_ column: Int32) throws(SQLiteError) -> String {
        try require(SQLITE_TEXT, column)
        let bytes = sqlite3_column_text(statement, column)
        let count = Int(sqlite3_column_bytes(statement, column))
        return String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
    }

    package func blob(_ column: Int32) throws(SQLiteError) -> [UInt8] {
        try require(SQLITE_BLOB, column)
        let bytes = sqlite3_column_blob(statement, column)
        return [UInt8](
            UnsafeRawBufferPointer(start: bytes, count: Int(sqlite3_column_bytes(statement, column))))
    }

    package func integerOrNil(_ column: Int32) throws(SQLiteError) -> Int64? {
        isNull(column) ? nil : try integer(column)
    }

    package func textOrNil(_ column: Int32) throws(SQLiteError) -> String? {
        isNull(column) ? nil : try text(column)
    }

    private func require(_ type: Int32, _ column: Int32) throws(SQLiteError) {
        guard sqlite3_column_type(statement, column) == type else { throw mismatch(column) }
    }

    private func mismatch(_ column: Int32) -> SQLiteError {
        let name = sqlite3_column_name(statement, column).map { String(cString: $0) } ?? "?"
        let sql = sqlite3_sql(statement).map { String(cString: $0) } ?? ""
        return SQLiteError(
            SQLITE_MISMATCH, sql: sql, message: "column \(column) (\(name)) is of another type")
    }
}
