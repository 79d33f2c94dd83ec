import CSQLite

/// One step of a schema. Once released, its text never changes.
package struct Migration: Sendable, Equatable {
    package let number: Int
    package let name: String
    package let sql: String

    package init(number: Int, name: String, sql: String) {
        self.number = number
        self.name = name
        self.sql = sql
    }

    /// From a file name such as `0001_fleet.sql`; nil for any other form.
    package init?(file: String, content: [UInt8]) {
        let parts = file.split(separator: "_", maxSplits: 1)
        guard parts.count == 2, parts[0].utf8.count == 4, let number = Int(parts[0]), number > 0,
            parts[1].hasSuffix(".sql"), parts[1].utf8.count > 4
        else { return nil }
        self.init(
            number: number, name: String(parts[1].dropLast(4)), sql: String(decoding: content, as: UTF8.self))
    }

    /// FNV-1a, 64 bits: notices a changed file. It is no defence against somebody who writes to the database, who could
    /// change the sum as well.
    package var checksum: String {
        var sum: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in sql.utf8 { sum = (sum ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let digits = String(sum, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// Why a database is not opened; the file is as it was.
package enum MigrationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// An empty file in the place of a database: what was there is lost, and SQLite would begin anew in silence.
    case empty
    /// No database, but the log of one.
    case orphanedLog
    /// Another program's database, or none at all.
    case foreign
    case newer(found: Int, known: Int)
    /// A migration that was applied had another text than the one this program holds.
    case changed(number: Int, name: String)
    /// Applied migrations and the version in the file's head contradict each other.
    case inconsistent
    /// The schema is not what the migrations make.
    case altered([SchemaDifference])
    case failed(number: Int, name: String, SQLiteError)
    case backup(SQLiteError)
    case system(String)
    case database(SQLiteError)

    package var description: String {
        switch self {
        case .empty: "the file is empty: restore a backup, or move it away to begin anew"
        case .orphanedLog:
            "the database is missing, but its log (-wal) is there: restore the database or move the log away"
        case .foreign: "not a database of this program"
        case .newer(let found, let known):
            "written by a newer program (schema \(found), this one knows \(known)): use the newer program"
        case .changed(let number, let name):
            "migration \(number) (\(name)) was applied with another text than this program's"
        case .inconsistent: "the list of applied migrations contradicts the file's version"
        case .altered(let differences):
            "its schema is not what this program made: "
                + differences.prefix(3).map(\.description).joined(separator: ", ")
                + (differences.count > 3 ? " and \(differences.count - 3) more" : "")
        case .failed(let number, let name, let error):
            "migration \(number) (\(name)) failed and was undone: \(error)"
        case .backup(let error): "no backup could be made, so nothing was migrated: \(error)"
        case .system(let words): words
        case .database(let error): "\(error)"
        }
    }
}
