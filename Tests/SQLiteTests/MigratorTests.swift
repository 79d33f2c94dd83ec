import Foundation
import SQLite
import Testing

struct MigratorTests {
    let scratch = Scratch()
    private let first = Migration(
        number: 1, name: "first",
        sql: "CREATE TABLE a (x INTEGER PRIMARY KEY) STRICT; INSERT INTO a VALUES (7);")
    private let second = Migration(
        number: 2, name: "second", sql: "ALTER TABLE a ADD COLUMN y TEXT; UPDATE a SET y = 'new';")

    private func migrator(_ migrations: [Migration], application: Int32 = 0x6162_6364) -> Migrator {
        Migrator(path: scratch.path(), migrations: migrations, applicationID: application)
    }

    private func refusal(_ migrator: Migrator) -> MigrationError? {
        do {
            _ = try migrator.open()
            Issue.record("it was opened")
            return nil
        } catch {
            return error
        }
    }

    private func version() throws -> Int64 {
        try Database(path: scratch.path(), mode: .readWrite).pragma("PRAGMA user_version")
    }

    @Test func `a new database is made whole, for its owner alone`() throws {
        let database = try migrator([first, second]).open()
        #expect(try database.pragma("PRAGMA user_version") == 2)
        #expect(try database.pragma("PRAGMA application_id") == 0x6162_6364)
        #expect(try database.pragma("PRAGMA foreign_keys") == 1)
        #expect(scratch.mode("a.db") == 0o600)
        #expect(!scratch.files.contains { $0.contains(".new") || $0.contains(".before") }, "\(scratch.files)")
    }

    @Test func `what a killed first start left behind is no obstacle`() throws {
        try Data("half".utf8).write(to: URL(filePath: scratch.path("a.db.new")))
        try Data("half".utf8).write(to: URL(filePath: scratch.path("a.db.new-wal")))
        let database = try migrator([first]).open()
        #expect(try database.integrityFaults() == [])
    }

    @Test func `an old database is copied, then migrated`() throws {
        _ = try migrator([first]).open()
        _ = try migrator([first]).open()
        #expect(!scratch.files.contains { $0.contains("before") }, "nothing to do, nothing copied")
        let database = try migrator([first, second]).open()
        let words = try database.query("SELECT y FROM a") { row throws(SQLiteError) in try row.text(0) }
        #expect(words == ["new"])
        #expect(scratch.mode("a.db.before-0002") == 0o600)
        let copy = try Database(path: scratch.path("a.db.before-0002"), mode: .readOnly)
        #expect(try copy.pragma("PRAGMA user_version") == 1)
        #expect(try copy.schema() != database.schema())
    }

    @Test func `a migration that fails leaves the old version whole`() throws {
        _ = try migrator([first]).open()
        let broken = Migration(number: 2, name: "broken", sql: second.sql + "SELECT * FROM nowhere;")
        let error = refusal(migrator([first, broken]))
        guard case .failed(2, "broken", let reason) = error else { throw try #require(error) }
        #expect(reason.message == "no such table: nowhere")
        #expect(try version() == 1)
        let database = try migrator([first, second]).open()
        #expect(try database.pragma("PRAGMA user_version") == 2)
    }

    @Test func `a migration must not leave its transaction, nor rows that refer to nothing`() throws {
        let tables = "CREATE TABLE c (a INTEGER REFERENCES a (x)) STRICT; INSERT INTO c VALUES (99);"
        let orphans = refusal(migrator([first, Migration(number: 2, name: "orphans", sql: tables)]))
        guard case .failed(2, "orphans", let reason) = orphans else { throw try #require(orphans) }
        #expect(reason.message.contains("rows of c"))
        #expect(!scratch.files.contains("a.db"), "a database that cannot be completed is not put in place")
        _ = try migrator([first]).open()
        let escape = refusal(migrator([first, Migration(number: 2, name: "escape", sql: "COMMIT;")]))
        guard case .failed(2, "escape", _) = escape else { throw try #require(escape) }
    }

    @Test func `a tree may be rebuilt while others refer to it`() throws {
        let refers = Migration(
            number: 2, name: "refers",
            sql:
                "CREATE TABLE c (a INTEGER REFERENCES a (x) ON DELETE CASCADE) STRICT; INSERT INTO c VALUES (7);"
        )
        let rebuild = Migration(
            number: 3, name: "rebuild",
            sql:
                "CREATE TABLE n (x INTEGER PRIMARY KEY, z TEXT) STRICT; INSERT INTO n (x) SELECT x FROM a; DROP TABLE a; ALTER TABLE n RENAME TO a;"
        )
        _ = try migrator([first, refers]).open()
        let database = try migrator([first, refers, rebuild]).open()
        let kept = try database.first("SELECT count(*) FROM c") { row throws(SQLiteError) in
            try row.integer(0)
        }
        #expect(kept == 1, "dropping the old table did not cascade")
    }

    @Test func `what is not ours is refused and stays as it was`() throws {
        let file = URL(filePath: scratch.path())
        try Data().write(to: file)
        #expect(refusal(migrator([first])) == .empty)
        #expect(try Data(contentsOf: file).isEmpty)

        let letter = Data(String(repeating: "Dear SQLite, ", count: 1_000).utf8)
        try letter.write(to: file)
        #expect(refusal(migrator([first])) == .foreign)
        #expect(try Data(contentsOf: file) == letter)

        try FileManager.default.removeItem(at: file)
        _ = try migrator([first]).open()
        #expect(refusal(migrator([first], application: 1)) == .foreign)
        let other = try Database(path: scratch.path("other.db"), mode: .create)
        try other.execute("CREATE TABLE theirs (x)")
        let theirs = Migrator(path: scratch.path("other.db"), migrations: [first], applicationID: 5)
        #expect(refusal(theirs) == .foreign)
        #expect(try other.pragma("PRAGMA user_version") == 0)
    }

    @Test func `a newer database is refused`() throws {
        _ = try migrator([first, second]).open()
        #expect(refusal(migrator([first])) == .newer(found: 2, known: 1))
        #expect(try version() == 2)
    }

    @Test func `a migration whose text has changed is refused`() throws {
        _ = try migrator([first]).open()
        let changed = Migration(number: 1, name: "first", sql: first.sql + " ")
        #expect(refusal(migrator([changed])) == .changed(number: 1, name: "first"))
        #expect(refusal(migrator([changed, second])) == .changed(number: 1, name: "first"))
        #expect(!scratch.files.contains { $0.contains("before") })
    }

    @Test func `a log without its database, and a version without its rows, are refused`() throws {
        do {
            let database = try migrator([first]).open()
            try database.execute("DELETE FROM migrations")
        }
        #expect(refusal(migrator([first])) == .inconsistent)
        try FileManager.default.removeItem(atPath: scratch.path())
        try Data("log".utf8).write(to: URL(filePath: scratch.path("a.db-wal")))
        #expect(refusal(migrator([first])) == .orphanedLog)
        #expect(scratch.files == ["a.db-wal"])
    }

    @Test func `file names give number and name`() {
        let migration = Migration(file: "0012_more_tags.sql", content: Array("SELECT 1;".utf8))
        #expect(migration == Migration(number: 12, name: "more_tags", sql: "SELECT 1;"))
        for name in ["12_a.sql", "0000_a.sql", "0001_.sql", "0001-a.sql", "0001_a.txt", "abcd_a.sql", ""] {
            #expect(Migration(file: name, content: []) == nil, "\(name)")
        }
        #expect(Migration(number: 1, name: "", sql: "").checksum == "cbf29ce484222325")
        #expect(
            Migration(number: 1, name: "", sql: "foobar").checksum == "85944171f73967e8", "FNV's own example")
    }
}
