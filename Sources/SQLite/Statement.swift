import CSQLite

/// A prepared statement.
final class Statement {
    private let pointer: OpaquePointer
    private let database: OpaquePointer
    private let sql: String
    var isRunning = false

    init(_ sql: String, in database: OpaquePointer) throws(SQLiteError) {
        self.sql = sql
        self.database = database
        var prepared: OpaquePointer?
        var rest = true
        let result = sql.withCString { text in
            var tail: UnsafePointer<CChar>?
            let result = sqlite3_prepare_v3(
                database, text, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, &tail)
            rest = tail.map { String(cString: $0).contains { !$0.isWhitespace && $0 != ";" } } ?? false
            return result
        }
        guard result == SQLITE_OK else { throw .last(of: database, sql: sql, isPreparing: true) }
        guard let prepared, !rest else {
            sqlite3_finalize(prepared)
            throw SQLiteError(SQLITE_MISUSE, sql: sql, message: "not one statement")
        }
        pointer = prepared
    }

    deinit {
        sqlite3_finalize(pointer)
    }

    /// Runs to the end. Afterwards no value stays bound: a statement that is kept holds nobody's secret.
    func run(
        _ values: [any Bindable], _ row: (borrowing Row) throws(SQLiteError) -> Void
    ) throws(SQLiteError) {
        defer {
            sqlite3_reset(pointer)
            sqlite3_clear_bindings(pointer)
        }
        guard values.count == Int(sqlite3_bind_parameter_count(pointer)) else {
            throw SQLiteError(SQLITE_RANGE, sql: sql, message: "\(values.count) values given")
        }
        for (place, value) in values.enumerated() {
            let result = value.bind(to: pointer, at: Int32(place + 1))
            guard result == SQLITE_OK else { throw SQLiteError(result, sql: sql) }
        }
        while true {
            switch sqlite3_step(pointer) {
            case SQLITE_ROW: try row(Row(pointer))
            case SQLITE_DONE: return
            default: throw .last(of: database, sql: sql)
            }
        }
    }
}
