import Foundation
import SQLite
import Testing

struct DatabaseTests {
    let scratch = Scratch()

    private func table() throws -> Database {
        let database = try Database(path: scratch.path(), mode: .create)
        try database.execute(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, r REAL, s TEXT UNIQUE, b BLOB) STRICT")
        return database
    }

    @Test func `values come back as they went in`() throws {
        let database = try table()
        let integers: [Int64] = [0, 1, -1, .max, .min, 1 << 53 + 1]
        let texts = [
            "", "plain", "'; DROP TABLE t; --", "𝄞🦀", "a\u{0}b", "\"\\\u{7f}\u{1b}[31m", "\u{202e}abc",
        ]
        let blobs: [[UInt8]] = [[], [0], [0, 1, 0, 255], Array(repeating: 0, count: 70_000)]
        let reals = [0.0, -0.5, .pi, .greatestFiniteMagnitude, .leastNonzeroMagnitude, .infinity]
        for value in integers {
            let back = try database.first("SELECT ?", value) { row throws(SQLiteError) in try row.integer(0) }
            #expect(back == value)
        }
        for (number, text) in texts.enumerated() {
            try database.execute("INSERT INTO t (i, s) VALUES (?, ?)", number, text)
        }
        let back = try database.query("SELECT s FROM t ORDER BY i") { row throws(SQLiteError) in
            try row.text(0)
        }
        #expect(back == texts)
        for blob in blobs {
            let back = try database.first("SELECT ?", blob) { row throws(SQLiteError) in try row.blob(0) }
            #expect(back == blob)
        }
        for real in reals {
            let back = try database.first("SELECT ?", real) { row throws(SQLiteError) in try row.real(0) }
            #expect(back == real)
        }
    }

    @Test func `nil is NULL and an empty text or blob is not`() throws {
        let database = try table()
        let none: String? = nil
        try database.execute("INSERT INTO t (i, s, b) VALUES (?, ?, ?)", Null(), none, [UInt8]())
        try database.execute("INSERT INTO t (i, s, b) VALUES (?, ?, ?)", true, "", Optional<[UInt8]>.none)
        let rows = try database.query("SELECT i, s, b FROM t ORDER BY id") { row throws(SQLiteError) in
            [row.isNull(0), row.isNull(1), row.isNull(2)]
        }
        #expect(rows == [[true, true, false], [false, false, true]])
        let text = try database.first("SELECT s FROM t WHERE id = 1") { row throws(SQLiteError) in
            try row.textOrNil(0)
        }
        #expect(text == .some(.none))
    }

    @Test func `another type than asked for is an error, and so is a number that does not fit`() throws {
        let database = try table()
        #expect(throws: SQLiteError.self) {
            try database.first("SELECT 'x'") { row throws(SQLiteError) in try row.integer(0) }
        }
        #expect(throws: SQLiteError.self) {
            try database.first("SELECT NULL") { row throws(SQLiteError) in try row.text(0) }
        }
        #expect(throws: SQLiteError.self) {
            try database.first("SELECT 4294967296") { row throws(SQLiteError) -> UInt32 in try row.number(0) }
        }
    }

    @Test func `errors never contain values`() throws {
        let database = try table()
        let secret = "hunter2-secret"
        var errors: [SQLiteError] = []
        func collect(_ body: () throws(SQLiteError) -> Void) {
            do { try body() } catch { errors.append(error) }
        }
        try database.execute("INSERT INTO t (s) VALUES (?)", secret)
        collect { () throws(SQLiteError) in try database.execute("INSERT INTO t (s) VALUES (?)", secret) }
        collect { () throws(SQLiteError) in try database.execute("INSERT INTO t (i) VALUES (?)", secret) }
        collect { () throws(SQLiteError) in
            _ = try database.first("SELECT json_extract('{}', ?)", secret) { row throws(SQLiteError) in
                row.isNull(0)
            }
        }
        collect { () throws(SQLiteError) in
            _ = try database.first("SELECT ?", secret) { row throws(SQLiteError) in try row.integer(0) }
        }
        collect { () throws(SQLiteError) in
            try database.execute("INSERT INTO t (s) VALUES (?)", secret, secret)
        }
        #expect(errors.count == 5)
        for error in errors {
            #expect(!"\(error)\(error.message)\(error.sql)".contains("hunter2"), "\(error)")
        }
        #expect(errors[0].isConstraint)
        #expect(errors[0].message == "UNIQUE constraint failed: t.s")
        #expect(errors[0].extendedCode == 2_067)
    }

    @Test func `an error names its statement, and a wrong statement says what is wrong`() throws {
        let database = try table()
        let error = #expect(throws: SQLiteError.self) { try database.execute("SELECT nosuch FROM t") }
        #expect(error?.message == "no such column: nosuch")
        #expect(error?.description.contains("(in: SELECT nosuch FROM t)") == true)
        let quoted = #expect(throws: SQLiteError.self) { try database.execute("SELECT \"nothing\" FROM t") }
        #expect(quoted?.message.contains("no such column") == true, "a misspelt column is not a text")
        let two = #expect(throws: SQLiteError.self) { try database.execute("SELECT 1; DROP TABLE t") }
        #expect(two?.message == "not one statement")
    }

    @Test func `a statement may be asked again inside its own rows`() throws {
        let database = try table()
        for number in 0..<3 { try database.execute("INSERT INTO t (i) VALUES (?)", number) }
        func all(_ depth: Int) throws(SQLiteError) -> Int {
            var sum = 0
            try database.forEach("SELECT i FROM t WHERE i <= ?", depth) { row throws(SQLiteError) in
                sum += 1
                if depth > 0 { sum += try all(depth - 1) }
            }
            return sum
        }
        #expect(try all(2) == 3 + 3 * (2 + 2 * 1))
    }

    @Test func `a transaction is whole or not at all`() throws {
        struct Stop: Error {}
        let database = try table()
        #expect(throws: (any Error).self) {
            try database.transaction { () throws(Stop) in
                _ = try? database.execute("INSERT INTO t (i) VALUES (1)")
                throw Stop()
            }
        }
        #expect(!database.isInTransaction)
        try database.transaction { () throws in
            try database.execute("INSERT INTO t (i) VALUES (2)")
            do throws(TransactionError<Stop>) {
                try database.savepoint { () throws(Stop) in
                    _ = try? database.execute("INSERT INTO t (i) VALUES (3)")
                    throw Stop()
                }
            } catch {}
            try database.savepoint { () throws(SQLiteError) in
                try database.execute("INSERT INTO t (i) VALUES (4)")
            }
        }
        let kept = try database.query("SELECT i FROM t ORDER BY i") { row throws(SQLiteError) in
            try row.integer(0)
        }
        #expect(kept == [2, 4])
    }

    @Test func `a second writer waits, then is told that the database is busy`() throws {
        let first = try table()
        let second = try Database(path: scratch.path(), mode: .readWrite, busyMilliseconds: 50)
        try first.execute("BEGIN IMMEDIATE")
        let error = #expect(throws: SQLiteError.self) { try second.execute("INSERT INTO t (i) VALUES (1)") }
        #expect(error?.isBusy == true)
        try first.execute("COMMIT")
        try second.execute("INSERT INTO t (i) VALUES (1)")
    }

    @Test func `a reader reads beside a writer and cannot write`() throws {
        let writer = try table()
        let reader = try Database(path: scratch.path(), mode: .readOnly)
        try writer.execute("BEGIN IMMEDIATE")
        try writer.execute("INSERT INTO t (i) VALUES (1)")
        let seen = try reader.first("SELECT count(*) FROM t") { row throws(SQLiteError) in try row.integer(0)
        }
        #expect(seen == 0)
        let error = #expect(throws: SQLiteError.self) { try reader.execute("INSERT INTO t (i) VALUES (2)") }
        #expect(error?.isReadOnly == true)
        try writer.execute("COMMIT")
    }

    @Test func `the settings hold in every connection`() throws {
        let writer = try table()
        let reader = try Database(path: scratch.path(), mode: .readOnly)
        for database in [writer, reader] {
            #expect(try database.pragma("PRAGMA synchronous") == 2)
            #expect(try database.pragma("PRAGMA foreign_keys") == 1)
            #expect(try database.pragma("PRAGMA trusted_schema") == 0)
            #expect(try database.pragma("PRAGMA cell_size_check") == 1)
            #expect(try database.pragma("PRAGMA temp_store") == 2)
        }
        #expect(try writer.pragma("PRAGMA journal_size_limit") == 16_777_216)
        #expect(scratch.mode("a.db") == 0o600)
        #expect(scratch.mode("a.db-wal") == 0o600)
    }

    @Test func `only create makes a file, and links are not followed`() throws {
        let missing = #expect(throws: SQLiteError.self) {
            try Database(path: scratch.path(), mode: .readWrite)
        }
        #expect(missing?.message.contains("No such file") == true)
        _ = try table()
        let existing = #expect(throws: SQLiteError.self) { try Database(path: scratch.path(), mode: .create) }
        #expect(existing?.message.contains("File exists") == true)
        try FileManager.default.createSymbolicLink(
            atPath: scratch.path("link.db"), withDestinationPath: scratch.path())
        #expect(throws: SQLiteError.self) { try Database(path: scratch.path("link.db"), mode: .readWrite) }
    }

    @Test func `a damaged file is found by the check`() throws {
        do {
            let database = try table()
            for number in 0..<2_000 {
                try database.execute("INSERT INTO t (i, s) VALUES (?, ?)", number, "row \(number)")
            }
            #expect(try database.integrityFaults() == [])
        }
        let file = try FileHandle(forUpdating: URL(filePath: scratch.path()))
        try file.seek(toOffset: 3 * 4_096)
        try file.write(contentsOf: Data(repeating: 0xa5, count: 4_096))
        try file.close()
        let damaged = try Database(path: scratch.path(), mode: .readWrite)
        do {
            #expect(try damaged.integrityFaults() != [])
        } catch {
            #expect(error.isCorrupt)
        }
    }

    @Test func `SQL composed of literals binds its values, in any number of forms, also inside its own rows`()
        throws
    {
        let database = try Database(path: scratch.path("a.db"), mode: .create)
        var sql: ComposedSQL = "SELECT ?"
        for count in 1...100 {
            let values = (0..<count).map { Int64($0) }
            let row = try database.query(sql, list: values) { (row) throws(SQLiteError) in
                // The same statement again while it runs.
                let inner = try database.query(sql, list: values) { (row) throws(SQLiteError) in
                    try row.integer(0)
                }
                return (inner, try row.integer(Int32(count - 1)))
            }
            #expect(row.count == 1 && row[0].0 == [0] && row[0].1 == Int64(count - 1))
            sql += ", ?"
        }
        #expect(throws: SQLiteError.self) {
            _ = try database.query("SELECT ?" as ComposedSQL, list: []) {
                (_: borrowing Row) throws(SQLiteError) in 0
            }
        }
    }
}
