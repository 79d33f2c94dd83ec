import Foundation
import Records
import SQLite
import Testing
import migrations

struct SchemaTests {
    let scratch = Scratch()
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    private static let schemas = folder.appending(path: "Schemas")
    private static let migrationsFolder = folder.deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "migrations")

    private static func names(in folder: URL) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".sql") }
            .sorted()
    }

    private func schema(of path: String) throws -> [String] {
        try Database(path: path, mode: .readOnly).schema()
    }

    @Test func `every file of migrations is embedded as it stands, in order`() throws {
        let names = try Self.names(in: Self.migrationsFolder)
        #expect(EmbeddedMigrations.files.map(\.name) == names)
        for (number, file) in EmbeddedMigrations.files.enumerated() {
            let onDisk = try Data(contentsOf: Self.migrationsFolder.appending(path: file.name))
            #expect([UInt8](onDisk) == file.content, "\(file.name): build again")
            #expect(Migration(file: file.name, content: file.content)?.number == number + 1)
        }
    }

    /// One for each released schema; the last is what all of them must become.
    @Test func `every released schema is kept, and becomes the newest with its rows`() throws {
        let dumps = try Self.names(in: Self.schemas)
        #expect(
            dumps == EmbeddedMigrations.files.map { "\($0.name.prefix(4)).sql" }, "a schema without its dump")
        let golden = Scratch()
        let goldenSchema = try load(dumps[dumps.count - 1], into: golden)
        let fresh = Scratch()
        try fresh.store().close()
        let wanted = try recipe(fresh)
        #expect(try schema(of: fresh.path(Store.fileName)) == goldenSchema, "write to Schemas:\n\(wanted)")
        for dump in dumps {
            let old = Scratch()
            _ = try load(dump, into: old)
            let store = try old.store()
            #expect(try schema(of: old.path(Store.fileName)) == goldenSchema, "\(dump)")
            let fleet = try store.read { (r) throws(RecordsError) in try r.fleet() }
            #expect(fleet.map(\.node.name) == ["edge-07"], "\(dump)")
            #expect(fleet.first?.mappings.map(\.name) == ["rdp", nil], "\(dump)")
            #expect(fleet.first?.credentials.count == 1, "\(dump)")
            #expect(
                try store.audit().filter { $0.actor != "server" }.count == 1, "\(dump)")
            try store.addMapping(fleet[0].node, .tcp(":4000"))
            store.close()
            let database = try Database(path: old.path(Store.fileName), mode: .readWrite)
            #expect(try database.integrityFaults() == [], "\(dump)")
        }
    }

    private func load(_ dump: String, into scratch: Scratch) throws -> [String] {
        let script = try String(contentsOf: Self.schemas.appending(path: dump), encoding: .utf8)
        let database = try Database(path: scratch.path(Store.fileName), mode: .create)
        try database.run(script: "BEGIN; \(script); COMMIT;")
        return try database.schema()
    }

    /// What the dump of a new schema should hold, for whoever adds one.
    private func recipe(_ scratch: Scratch) throws -> String {
        let database = try Database(path: scratch.path(Store.fileName), mode: .readOnly)
        let applied = try database.query("SELECT number, name, checksum FROM migrations") {
            (row) throws(SQLiteError) in
            "INSERT INTO migrations VALUES (\(try row.integer(0)), '\(try row.text(1))', '\(try row.text(2))', 0);"
        }
        return (try database.schema().map { "\($0);" } + applied).joined(separator: "\n")
    }

    @Test func `what is not our database is refused, and says what to do`() throws {
        let file = scratch.path(Store.fileName)
        try Data().write(to: URL(filePath: file))
        let words = refused(.corrupt) { () throws(RecordsError) in try scratch.store() }
        #expect(words == "\(file): the file is empty: restore a backup, or move it away to begin anew")
        try FileManager.default.removeItem(atPath: file)
        try scratch.store().close()
        do {
            let database = try Database(path: file, mode: .readWrite)
            try database.run(script: "PRAGMA user_version = 99")
        }
        _ = refused(.newer) { () throws(RecordsError) in try scratch.store() }
        do {
            let database = try Database(path: file, mode: .readWrite)
            try database.run(script: "PRAGMA user_version = \(EmbeddedMigrations.files.count)")
            try database.execute("UPDATE migrations SET checksum = 'x' WHERE number = 1")
        }
        let changed = refused(.corrupt) { () throws(RecordsError) in try scratch.store() }
        #expect(changed.contains("migration 1 (fleet) was applied with another text"))
        let missing = Scratch()
        try FileManager.default.removeItem(atPath: missing.directory)
        let none = refused(.io) { () throws(RecordsError) in try missing.store() }
        #expect(none == "\(missing.directory)/lock: cannot open it: No such file or directory")
    }

    @Test func `audit rows can be neither changed nor deleted`() throws {
        let store = try scratch.store()
        try store.addNode("a")
        store.close()
        let database = try Database(path: scratch.path(Store.fileName), mode: .readWrite)
        #expect(throws: SQLiteError.self) { try database.execute("DELETE FROM audit") }
        #expect(throws: SQLiteError.self) { try database.execute("UPDATE audit SET actor = 'nobody'") }
    }
}
