import Glibc
import SQLite

/// Puts a backup in the place of the database, while no server runs.
package struct Restore: Sendable {
    /// Where the database that was there lies now; nil if there was none.
    package let replaced: String?
    /// The last thing that the backup knows of.
    package let knownUntil: Timestamp
    package let at: Timestamp
    package let schema: Int
    package let changes: RestoreChanges
    /// Uuids in it that the keys here do not open.
    package let unusable: Int

    package struct Options: Sendable {
        /// Ends again what had ended since the backup, as the replaced database tells.
        package var revokesSince = false
        /// Uuids that no key here opens end, where they would stop it.
        package var endsUnusable = false
        package var isUsable: @Sendable (CredentialRecord) -> Bool = { _ in true }

        package init() {}
    }

    /// What a restore would bring back and lose. Changes nothing.
    package static func preview(
        from backup: String, into directory: String
    ) throws(RecordsError) -> RestoreChanges {
        try changes(Backup.opened(backup).database, "\(directory)/\(Store.fileName)")
    }

    private static func changes(_ backup: Database, _ path: String) throws(RecordsError) -> RestoreChanges {
        // One that cannot be read tells nothing; a backup takes its place all the same.
        let replaced = try? Backup.opened(path).database
        if let replaced, let changes = try? RestoreChanges(backup: backup, replaced: replaced, now: .now) {
            return changes
        }
        return try records { () throws(SQLiteError) in
            try RestoreChanges(backup: backup, replaced: nil, now: .now)
        }
    }

    /// Of any schema.
    static func credentials(of database: Database) throws(RecordsError) -> [CredentialRecord] {
        try records { () throws(SQLiteError) in
            try database.query("SELECT * FROM credentials", row: CredentialRecord.init)
        }
    }

    /// A database that no node could log in to is not put in place unless it is asked for.
    private static func unusable(
        _ part: String, _ backup: String, _ directory: String, _ options: Options
    ) throws(RecordsError) -> Int {
        let credentials = try credentials(of: Backup.opened(part).database)
        let unusable = credentials.filter { !options.isUsable($0) }.count
        guard unusable > 0, !options.endsUnusable else { return unusable }
        throw RecordsError(
            .invalid,
            "\(backup): \(unusable) of its \(credentials.count) credentials cannot be opened with the keys in \(directory): their nodes could never log in",
            hint:
                "copy server.key and seal.key of the server that the backup is from into \(directory); if they are lost, --without-keys ends those uuids, and each node needs a new one"
        )
    }

    /// Takes the folder's lock, checks the backup, puts it in place, and writes into it that it was restored: nothing is known
    /// of the time between its last record and now. Whatever stops it before the exchange leaves the database as it was.
    package static func run(
        from backup: String, into directory: String, actor: Actor, _ options: Options = Options()
    ) throws(RecordsError) -> Restore {
        let lock = try LockFile(directory: directory)
        let path = "\(directory)/\(Store.fileName)"
        let part = "\(path).restored"
        undo(in: directory)
        for suffix in ["", "-wal", "-shm", "-journal"] { unlink(part + suffix) }
        let (schema, knownUntil) = try copy(backup, to: part)
        defer { unlink(part) }
        let unusable = try unusable(part, backup, directory, options)
        let changes = try changes(Backup.opened(part).database, path)
        FolderOwner.give(part, in: directory)
        let now = Timestamp.now
        let replaced = try exchange(path, with: part, now)
        // The connections in it are not those of this database.
        unlink("\(directory)/\(Self.slots)")
        try records { () throws(SQLiteError) in try Database.sync(directory) }
        let store = try Store.open(directory: directory, lock: lock)
        defer { store.close() }
        try store.write(actor: actor) { (transaction) throws(RecordsError) in
            try transaction.noteRestored(backup, knownUntil: knownUntil, replaced: replaced)
            if options.revokesSince { try transaction.revokeAgain(changes) }
            if options.endsUnusable { try transaction.endUnusable(options.isUsable) }
        }
        return Restore(
            replaced: replaced, knownUntil: knownUntil, at: now, schema: schema, changes: changes,
            unusable: unusable)
    }

    static let slots = SlotFile.name

    /// Through SQLite, so that a log that lies beside the backup is in the copy, and so are the openings of a journal beside it.
    private static func copy(
        _ backup: String, to part: String
    ) throws(RecordsError) -> (schema: Int, knownUntil: Timestamp) {
        let (database, schema) = try Backup.opened(backup)
        // Of one that was kept aside by an earlier exchange.
        let openings = try OpeningJournal.read(OpeningJournal.beside(backup))
        try records { () throws(SQLiteError) in try database.copy(into: part) }
        do throws(RecordsError) {
            try OpeningJournal.take(openings, intoCopy: part)
            try Backup.check(part)
            return (schema, try lastTime(Backup.opened(part).database, schema))
        } catch {
            unlink(part)
            throw error
        }
    }

    /// The newest time that a record tells.
    private static func lastTime(_ database: Database, _ schema: Int) throws(RecordsError) -> Timestamp {
        try records { () throws(SQLiteError) in
            let audit = try database.pragma("SELECT coalesce(max(at), 0) FROM audit")
            guard schema > 1 else { return Timestamp(microseconds: audit) }
            let history = try database.pragma(
                """
                SELECT max(
                    coalesce((SELECT at FROM opened ORDER BY id DESC LIMIT 1), 0),
                    coalesce((SELECT at FROM closed ORDER BY id DESC LIMIT 1), 0),
                    coalesce((SELECT max(at) FROM notes), 0), coalesce((SELECT max(at) FROM seals), 0))
                """)
            return Timestamp(microseconds: max(audit, history))
        }
    }

    /// Either the new file is in the place of the database, which lies beside then, or all is as it was: a log that could not
    /// be brought into its database belongs to it.
    package static func exchange(
        _ path: String, with part: String, _ now: Timestamp
    ) throws(RecordsError) -> String? {
        do throws(RecordsError) {
            let replaced = try keepAside(path, now)
            guard rename(part, path) == 0 else { throw .system(path, "cannot put the backup there") }
            return replaced
        } catch {
            undo(in: Backup.folder(of: path))
            throw error
        }
    }

    /// Takes back what an exchange had begun that failed, or whose process ended: until the new file is in its place the old one
    /// has two names, and its log may lie at the second. Under the folder's lock.
    static func undo(in directory: String) {
        let path = "\(directory)/\(Store.fileName)"
        var status = stat()
        guard lstat(path, &status) == 0, status.st_nlink > 1, let folder = opendir(directory) else { return }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasPrefix("\(Store.fileName).replaced-"), !name.hasSuffix("-wal") { names.append(name) }
        }
        for name in names {
            let aside = "\(directory)/\(name)"
            var other = stat()
            guard lstat(aside, &other) == 0, other.st_ino == status.st_ino, other.st_dev == status.st_dev
            else { continue }
            // Not over a log that is there: then this one had not been moved.
            for (file, aside) in companions(path, aside) where access(file, F_OK) != 0 { rename(aside, file) }
            unlink(aside)
        }
    }

    /// Gives the database a second name beside, with its log in it. One that cannot be opened keeps its log apart, under the
    /// same new name: the log of one database must never lie beside another.
    private static func keepAside(_ path: String, _ now: Timestamp) throws(RecordsError) -> String? {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            try moveLog(of: path, to: "\(path).replaced-\(stamp(now))")
            return nil
        }
        var aside = "\(path).replaced-\(stamp(now))"
        // Another one of the same second.
        var other = stat()
        while lstat(aside, &other) == 0 { aside += "+" }
        if status.st_size > 0 {
            let database = try? Database(path: path, mode: .readWrite)
            // What fails here fails because the file is broken, and then its log is kept as it is.
            _ = try? database?.checkpoint()
        }
        guard link(path, aside) == 0 else { throw .system(aside, "cannot keep the database that is there") }
        try moveLog(of: path, to: aside)
        return aside
    }

    /// With the openings that it does not have yet: those of the journal are of this database alone.
    private static func moveLog(of path: String, to aside: String) throws(RecordsError) {
        unlink("\(path)-shm")
        for (file, aside) in companions(path, aside) {
            guard rename(file, aside) == 0 || errno == ENOENT else { throw .system(file, "cannot keep it") }
        }
    }

    /// What belongs to a database, and its names when that is kept aside.
    private static func companions(_ path: String, _ aside: String) -> [(file: String, aside: String)] {
        [
            ("\(path)-wal", "\(aside)-wal"),
            (OpeningJournal.path(Backup.folder(of: path)), "\(aside)\(OpeningJournal.suffix)"),
        ]
    }

    /// `20260822T091403Z`
    static func stamp(_ time: Timestamp) -> String {
        time.description.prefix(19).filter { $0 != "-" && $0 != ":" } + "Z"
    }
}

extension Transaction {
    /// The history says that it does not know what happened since, and the audit who put it there.
    mutating func noteRestored(
        _ backup: String, knownUntil: Timestamp, replaced: String?
    ) throws(RecordsError) {
        try note(.gap(.restored, from: knownUntil, to: now, at: now))
        let kept = replaced.map { "; the database that was there is kept as \($0)" } ?? ""
        try audit("restore", detail: "from \(backup), which knows of nothing after \(knownUntil)\(kept)")
    }
}
