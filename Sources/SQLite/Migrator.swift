import CSQLite
import Glibc

/// Opens a database at the newest schema.
///
/// A new one is made beside its place and moved there when it is whole, so an empty file is never our own doing.
/// An old one is copied to `PATH.before-NNNN` first; then each migration is a transaction of its own.
package struct Migrator: Sendable {
    private let path: String
    let migrations: [Migration]
    private let applicationID: Int32

    /// What was applied.
    static let table = """
        CREATE TABLE migrations (
            number INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            checksum TEXT NOT NULL,
            applied_at INTEGER NOT NULL
        ) STRICT
        """

    /// `migrations` are numbered 1, 2, 3…; the caller makes sure that no other process has the file.
    package init(path: String, migrations: [Migration], applicationID: Int32) {
        precondition(migrations.map(\.number) == Array(1...migrations.count), "migrations are out of order")
        self.path = path
        self.migrations = migrations
        self.applicationID = applicationID
    }

    package func open() throws(MigrationError) -> Database {
        var status = stat()
        if lstat(path, &status) != 0 {
            guard errno == ENOENT else { throw .system(Self.words("cannot look at the file")) }
            try create()
        } else {
            try checkFile()
        }
        let database = try open(path, .readWrite)
        let version = try check(database)
        // Before anything is written: a planted trigger would run with it.
        let differences: [SchemaDifference]
        do { differences = try self.differences(in: database, version: version) } catch {
            throw .database(error)
        }
        guard differences.isEmpty else { throw .altered(differences) }
        if version < migrations.count {
            try backUp(database, before: version + 1)
            try apply(to: database, from: version)
            makeShrinkable(database)
        }
        return database
    }

    /// The file's schema, when it is ours and this program knows it. Opened for reading; nothing is made or changed.
    package func inspect() throws(MigrationError) -> (database: Database, version: Int) {
        try checkFile()
        let database = try open(path, isUnchanging ? .unchanging : .readOnly)
        return (database, try check(database))
    }

    /// Beside a file whose journal is a log, SQLite wants to make files even to read it. Where nobody can, and nothing waits in
    /// a log, nobody changes it either.
    private var isUnchanging: Bool {
        var system = statvfs()
        var log = stat()
        return statvfs(path, &system) == 0 && system.f_flag & UInt(ST_RDONLY) != 0
            && (lstat("\(path)-wal", &log) != 0 || log.st_size == 0)
    }

    private func checkFile() throws(MigrationError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw .system(Self.words("cannot look at the file")) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .system("not a regular file") }
        guard status.st_size > 0 else { throw .empty }
        if isForeign { throw .foreign }
    }

    /// By the file's header (sqlite.org/fileformat.html#the_database_header), which has our number since the file got its name.
    /// SQLite itself would make another program's database one with a log before it told whose it is.
    private var isForeign: Bool {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        // Why not, SQLite says.
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var header = [UInt8](repeating: 0, count: 72)
        guard read(descriptor, &header, header.count) == header.count else { return true }
        return header[68...].reduce(0) { $0 << 8 | UInt32($1) } != UInt32(bitPattern: applicationID)
    }

    /// Files that were made before free pages could be given back in steps are written anew, once, while they are small.
    /// Where there is no room for that they stay as they are: no more than space is lost.
    private func makeShrinkable(_ database: Database) {
        guard (try? database.pragma("PRAGMA auto_vacuum")) != 2 else { return }
        _ = try? database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _ = try? database.execute("VACUUM")
    }

    private func create() throws(MigrationError) {
        var status = stat()
        guard lstat("\(path)-wal", &status) != 0 else { throw .orphanedLog }
        let new = "\(path).new"
        for leftover in [new, "\(new)-wal", "\(new)-shm", "\(new)-journal"] { unlink(leftover) }
        try fill(new)
        // The last connection took its log into the file when it closed, or else the file is not whole.
        guard lstat("\(new)-wal", &status) != 0 else { throw .system("the new database cannot be completed") }
        FolderOwner.give(new, in: folder)
        try Self.sync(new)
        guard rename(new, path) == 0 else { throw .system(Self.words("cannot move the new database")) }
        try Self.sync(folder)
    }

    private func fill(_ new: String) throws(MigrationError) {
        let database = try open(new, .create)
        do {
            _ = try database.run(script: "PRAGMA application_id = \(applicationID)")
            try database.run(script: Self.table)
        } catch { throw .database(error) }
        try apply(to: database, from: 0)
    }

    private func open(_ path: String, _ mode: Database.Mode) throws(MigrationError) -> Database {
        do { return try Database(path: path, mode: mode) } catch {
            // "file is not a database": what is there belongs to somebody else.
            if error.code == SQLITE_NOTADB { throw .foreign }
            throw .database(error)
        }
    }

    /// The schema's version, when the file is ours and what was applied to it is what we would have applied.
    private func check(_ database: Database) throws(MigrationError) -> Int {
        let version: Int
        let applied: [(number: Int, checksum: String)]
        do {
            guard try database.pragma("PRAGMA application_id") == Int64(applicationID) else {
                throw MigrationError.foreign
            }
            version = Int(try database.pragma("PRAGMA user_version"))
            guard version <= migrations.count else {
                throw MigrationError.newer(found: version, known: migrations.count)
            }
            applied = try database.query("SELECT number, checksum FROM migrations ORDER BY number") {
                (row) throws(SQLiteError) in (Int(try row.integer(0)), try row.text(1))
            }
        } catch let error as MigrationError {
            throw error
        } catch let error as SQLiteError {
            throw error.code == SQLITE_NOTADB ? .foreign : .database(error)
        } catch {
            fatalError("\(error)")
        }
        guard version > 0, applied.map(\.number) == Array(1...version) else { throw .inconsistent }
        for (row, migration) in zip(applied, migrations) where row.checksum != migration.checksum {
            throw .changed(number: migration.number, name: migration.name)
        }
        return version
    }

    /// A whole copy, synced before the first change. One that an interrupted attempt left is replaced: it is the same.
    private func backUp(_ database: Database, before number: Int) throws(MigrationError) {
        let target = "\(path).before-\(Self.padded(number))"
        let part = "\(target).part"
        unlink(part)
        do { try database.copy(into: part) } catch { throw .backup(error) }
        guard rename(part, target) == 0 else { throw .system(Self.words("cannot name the backup")) }
        try Self.sync(folder)
    }

    private func apply(to database: Database, from version: Int) throws(MigrationError) {
        for migration in migrations[version...] {
            do {
                // Tables may be rebuilt; what refers to them is checked before the commit. No effect inside a transaction.
                try database.execute("PRAGMA foreign_keys = OFF")
                try database.transaction { () throws(SQLiteError) in try run(migration, in: database) }
                try database.execute("PRAGMA foreign_keys = ON")
            } catch let error as TransactionError<SQLiteError> {
                throw .failed(number: migration.number, name: migration.name, error.error)
            } catch let error as SQLiteError {
                throw .failed(number: migration.number, name: migration.name, error)
            } catch {
                fatalError("\(error)")
            }
        }
    }

    private func run(_ migration: Migration, in database: Database) throws(SQLiteError) {
        try database.run(script: migration.sql)
        guard database.isInTransaction else {
            throw SQLiteError(SQLITE_MISUSE, message: "a migration must not end its transaction")
        }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        try database.execute(
            "INSERT INTO migrations (number, name, checksum, applied_at) VALUES (?, ?, ?, ?)",
            migration.number,
            migration.name, migration.checksum, Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1_000)
        try database.run(script: "PRAGMA user_version = \(migration.number)")
        let orphans = try database.query("PRAGMA foreign_key_check") { (row) throws(SQLiteError) in
            try row.text(0)
        }
        guard orphans.isEmpty else {
            throw SQLiteError(SQLITE_CONSTRAINT, message: "rows of \(orphans[0]) refer to nothing")
        }
    }

    private var folder: String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func sync(_ path: String) throws(MigrationError) {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        guard descriptor >= 0, fsync(descriptor) == 0 else { throw .system(words("cannot sync \(path)")) }
    }

    private static func words(_ what: String) -> String { "\(what): \(String(cString: strerror(errno)))" }

    private static func padded(_ number: Int) -> String {
        String(repeating: "0", count: max(0, 4 - String(number).count)) + String(number)
    }
}

extension Database {
    /// Several statements, for migrations: text that is part of the program.
    package func run(script: String) throws(SQLiteError) {
        guard sqlite3_exec(handle, script, nil, nil, nil) == SQLITE_OK else {
            throw .last(of: handle, sql: String(script.prefix(200)), isPreparing: true)
        }
    }

    /// The statements that the schema was made with, in a fixed order, for comparison.
    package func schema() throws(SQLiteError) -> [String] {
        try query(
            "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY type, name"
        ) { (row) throws(SQLiteError) in try row.text(0) }
    }
}
