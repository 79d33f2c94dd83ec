import Digests
import Glibc
import SQLite

/// What a journal tells of, whoever wrote it.
struct JournalContent {
    /// By their ids, with the mark of the block.
    fileprivate(set) var openings: [Int64: (opening: Opened, mark: OpeningJournal.Mark)] = [:]
    /// The disk did not give all of it.
    fileprivate(set) var isUnreadable = false

    /// In the order of the ids.
    var sorted: [Opened] { openings.values.map(\.opening).sorted { $0.id < $1.id } }
}

extension OpeningJournal {
    /// What the whole blocks tell of; nothing where there is no such file. One that is there and cannot be opened may hold what was
    /// told as recorded.
    static func read(_ path: String) throws(RecordsError) -> JournalContent {
        var content = JournalContent()
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT { return content }
            throw .system(path, "cannot read it")
        }
        defer { close(descriptor) }
        var block = [UInt8](repeating: 0, count: blockBytes)
        for place in 0..<blocks {
            let count = pread(descriptor, &block, blockBytes, off_t(place * blockBytes))
            if count < 0 { content.isUnreadable = true }
            guard count == blockBytes else { continue }
            add(block, to: &content)
        }
        return content
    }

    private static func add(_ block: [UInt8], to content: inout JournalContent) {
        func word(_ offset: Int) -> UInt64 {
            block.withUnsafeBytes {
                UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            }
        }
        func number(_ offset: Int) -> Int64 { Int64(bitPattern: word(offset)) }
        guard word(0) == magic, (1...UInt64(openingsPerBlock)).contains(word(8)) else { return }
        let end = headBytes + Int(word(8)) * openingBytes
        guard
            SHA256.digest(Array(block[8..<digestAt] + block[headBytes..<end]))
                == Array(block[digestAt..<headBytes])
        else { return }
        let mark = Mark(note: number(16), chain: number(24))
        for offset in stride(from: headBytes, to: end, by: openingBytes) {
            let length = word(offset + 48) >> 16
            guard number(offset) > 0, number(offset + 8) > 0, length == 0 || length == 4 || length == 16
            else { continue }
            let opening = Opened(
                id: number(offset), route: number(offset + 8),
                at: Timestamp(microseconds: number(offset + 16)),
                monotonicMicroseconds: number(offset + 24),
                client: ClientPlace(
                    length: UInt8(length), high: word(offset + 32), low: word(offset + 40),
                    port: UInt16(truncatingIfNeeded: word(offset + 48))))
            content.openings[opening.id] = (opening, mark)
        }
    }

    // MARK: Into the database

    struct Taken {
        let count: Int
        /// Openings that this database cannot have: they are another's.
        let strange: Int
    }

    /// Puts what the database does not have into it, with one commit.
    static func take(
        _ content: JournalContent, into connection: WritingConnection
    ) throws(RecordsError) -> Taken {
        let (own, strange) = try divide(content, connection.database)
        let heads = connection.rows.chains.heads
        let left = own.filter { $0.id > heads.opened.id }
        let known = left.filter { $0.route <= heads.routes.id }
        if !known.isEmpty {
            let events = known.map(HistoryEvent.opened)
            _ = try connection.commit(events, events.indices, dropped: [], [])
        }
        return Taken(count: known.count, strange: strange + left.count - known.count)
    }

    /// How many openings `database` does not have yet, and how many are of another one. For a look.
    static func waiting(
        _ content: JournalContent, in database: Database
    ) throws(RecordsError) -> (count: Int, strange: Int) {
        let (own, strange) = try divide(content, database)
        let last = try records { () throws(SQLiteError) in
            try database.pragma("SELECT coalesce(max(id), 0) FROM chain_heads WHERE name = 'opened'")
        }
        return (own.count { $0.id > last }, strange)
    }

    /// Those whose mark the database has, and the number of the others.
    private static func divide(
        _ content: JournalContent, _ database: Database
    ) throws(RecordsError) -> (own: [Opened], strange: Int) {
        var marks: [Mark: Bool] = [:]
        for mark in Set(content.openings.values.map(\.mark)) {
            marks[mark] = try records { () throws(SQLiteError) in
                try database.first("SELECT chain FROM notes WHERE id = ?", mark.note) {
                    (row) throws(SQLiteError) in try row.integer(0)
                } == mark.chain
            }
        }
        let own = content.openings.values.filter { marks[$0.mark] == true }.map(\.opening)
        return (own.sorted { $0.id < $1.id }, content.openings.count - own.count)
    }

    /// The same for a copy of the database that nobody has open, and that is one file again then. `content` was read before the copy
    /// was made: what has left the journal since is in the copy.
    static func take(_ content: JournalContent, intoCopy path: String) throws(RecordsError) {
        let (database, schema) = try Backup.opened(path)
        guard schema > 1, try waiting(content, in: database).count > 0 else { return }
        guard schema == Store.migrations.count else {
            throw RecordsError(
                .conflict, "\(name) holds openings for a database of an older schema",
                hint: "start goproxy-server once, which takes them")
        }
        do {
            let connection = try WritingConnection(path: path)
            _ = try take(content, into: connection)
            try records { () throws(SQLiteError) in
                try connection.database.execute("PRAGMA journal_mode = DELETE")
            }
        }
        try records { () throws(SQLiteError) in try Database.sync(path) }
    }

    // MARK: Aside

    /// The journal that belongs to a database which was kept aside, or copied with its folder.
    static func beside(_ database: String) -> String {
        database.hasSuffix("/\(Store.fileName)") ? path(Backup.folder(of: database)) : "\(database)\(suffix)"
    }

    static let suffix = "-openings"

    /// Keeps the file under another name: what it tells of is nowhere else.
    static func setAside(in directory: String, _ now: Timestamp) throws(RecordsError) {
        let path = path(directory)
        let aside = "\(path).kept-\(Restore.stamp(now))"
        guard rename(path, aside) == 0 else { throw .system(path, "cannot keep it as \(aside)") }
        try records { () throws(SQLiteError) in try Database.sync(directory) }
    }
}

/// What the journal in a data directory tells of: openings that the next start puts into the database, should it not have them.
package func recordedOpenings(in directory: String) throws(RecordsError) -> [Opened] {
    try OpeningJournal.read(OpeningJournal.path(directory)).sorted
}
