import CSQLite

/// One object of a schema: a table, an index, a trigger or a view. As bytes, because Swift takes texts for equal that are not.
package struct SchemaObject: Hashable, Sendable {
    package let type: [UInt8]
    package let name: [UInt8]
    let table: [UInt8]
    /// Empty for an index that a UNIQUE or PRIMARY KEY brings.
    let sql: [UInt8]

    /// `view history`
    package var words: String {
        "\(String(decoding: type, as: UTF8.self)) \(String(decoding: name, as: UTF8.self))"
    }
}

/// How the schema in a file differs from what the migrations make.
package struct SchemaDifference: Hashable, Sendable, CustomStringConvertible {
    package enum What: String, Sendable {
        case missing = "is missing"
        case strange = "does not belong there"
        case changed = "was changed"
    }

    package let object: String
    package let what: What

    package var description: String { "\(object) \(what.rawValue)" }
}

extension Database {
    /// Whatever the file has, in no order. A row of another form stands there with what could be read of it.
    func schemaObjects() throws(SQLiteError) -> [SchemaObject] {
        try query("SELECT type, name, tbl_name, sql FROM sqlite_schema") { (row) throws(SQLiteError) in
            SchemaObject(
                type: Self.bytes(row, 0), name: Self.bytes(row, 1), table: Self.bytes(row, 2),
                sql: Self.bytes(row, 3))
        }
    }

    private static func bytes(_ row: borrowing Row, _ column: Int32) -> [UInt8] {
        row.withValue(column) { value in
            switch value {
            case .null: []
            case .text(let text): [UInt8](text)
            // No text of SQLite's is one of these.
            case .blob(let blob): [0xff] + blob
            case .integer, .real: [0xff]
            }
        }
    }
}

extension Migrator {
    /// What differs in the file from what the first `version` migrations make, by name; empty when nothing does.
    package func differences(
        in database: Database, version: Int
    ) throws(SQLiteError) -> [SchemaDifference] {
        let wanted = try Self.made(by: migrations.prefix(version))
        let found = try database.schemaObjects()
        guard found.count != wanted.count || Set(found) != wanted else { return [] }
        let names = Set(wanted.map(\.words))
        let changed = found.filter { !wanted.contains($0) }.map(\.words)
        let there = Set(found.map(\.words))
        var differences =
            changed.map { SchemaDifference(object: $0, what: names.contains($0) ? .changed : .strange) }
            + names.subtracting(there).map { SchemaDifference(object: $0, what: .missing) }
        var seen: Set<SchemaObject> = []
        for object in found where wanted.contains(object) && !seen.insert(object).inserted {
            differences.append(SchemaDifference(object: object.words, what: .strange))
        }
        return differences.sorted { $0.description < $1.description }
    }

    /// Made in memory: SQLite itself says what a migration comes to.
    private static func made(by migrations: some Sequence<Migration>) throws(SQLiteError) -> Set<SchemaObject>
    {
        let database = try Database(path: ":memory:", mode: .memory)
        try database.run(script: Self.table)
        for migration in migrations { try database.run(script: migration.sql) }
        return Set(try database.schemaObjects())
    }
}
