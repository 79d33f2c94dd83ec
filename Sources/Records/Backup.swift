import Glibc
import SQLite

/// A whole copy of the database in one file, with the openings that are on disk before the database has them, made by any process that may read the folder, beside a server or alone.
///
/// It reads, and writes nothing in the folder: the server neither opens a path that a client chose, nor needs the right to
/// write there.
package struct Backup: Sendable {
    /// What the copy is good for is lost without them, and who has them with it needs nothing else: they are kept apart.
    package static let keysLeftOut = [
        ("server.key", "the server's name: generated uuids hold its fingerprint"),
        ("seal.key", "opens what the database keeps of the nodes' credentials"),
        ("seal-verify.key", "proves the history: keep it off this machine anyway"),
        ("seal-now.key", "seals what comes; a copy of it could seal a forgery: never keep one"),
    ]

    package let path: String
    /// Of the file.
    package let bytes: Int64
    /// Of the database's schema.
    package let schema: Int

    /// Copies, checks, and gives the copy its name when it is whole. `approve` is asked before that: without it nothing stays.
    /// Takes as long as reading the database twice; live writes go on, and their log grows meanwhile.
    ///
    /// - Parameter replaces: whether a file that is there may be replaced.
    package static func make(
        of directory: String, at path: String, replaces: Bool,
        approve: (Backup) throws(RecordsError) -> Void
    ) throws(RecordsError) -> Backup {
        let source = "\(directory)/\(Store.fileName)"
        var status = stat()
        if lstat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFREG else {
                throw RecordsError(.invalid, "\(path): is there and no plain file")
            }
            guard replaces else {
                throw RecordsError(
                    .conflict, "\(path): is there already", hint: "name another file, or add --force")
            }
            var known = stat()
            guard lstat(source, &known) != 0 || known.st_ino != status.st_ino || known.st_dev != status.st_dev
            else { throw RecordsError(.invalid, "\(path): is the database itself") }
        }
        let (database, schema) = try opened(source)
        // Before the copy: what has left the journal then is in the database.
        let openings = try OpeningJournal.read(OpeningJournal.path(directory))
        // Of this process alone; a name that an earlier one left is not followed.
        let part = "\(path).part.\(getpid())"
        unlink(part)
        do throws(SQLiteError) { try database.copy(into: part) } catch {
            throw RecordsError(
                RecordsError(error).code, "backup to \(path): \(error)",
                hint: error.isFull ? "make room, or name a file on another disk" : nil)
        }
        defer { unlink(part) }
        try OpeningJournal.take(openings, intoCopy: part)
        try check(part)
        guard lstat(part, &status) == 0 else { throw .system(part, "cannot look at it") }
        let backup = Backup(path: path, bytes: Int64(status.st_size), schema: schema)
        try approve(backup)
        guard replaces ? rename(part, path) == 0 : link(part, path) == 0 else {
            throw .system(path, "cannot name the backup")
        }
        try records { () throws(SQLiteError) in try Database.sync(folder(of: path)) }
        return backup
    }

    /// A database of ours, for reading.
    static func opened(_ path: String) throws(RecordsError) -> (database: Database, version: Int) {
        do { return try Store.migrator(path).inspect() } catch { throw RecordsError(error, path: path) }
    }

    /// Reads all of it.
    static func check(_ path: String) throws(RecordsError) {
        let (database, schema) = try opened(path)
        let differences = try records { () throws(SQLiteError) in
            try Store.migrator(path).differences(in: database, version: schema)
        }
        guard differences.isEmpty else { throw RecordsError(.altered(differences), path: path) }
        let faults = try records { () throws(SQLiteError) in try database.integrityFaults() }
        guard let first = faults.first else { return }
        throw RecordsError(
            .corrupt, "\(path): the file is damaged: \(faults.count) faults, the first: \(first)",
            hint: "goproxy-admin doctor; restore an older backup")
    }

    static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
