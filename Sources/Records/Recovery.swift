import Digests
import Logging
import SQLite

/// What the last process could not write: closings of the connections that it had, refusals that it had counted, and that it is
/// gone. Run before anything else is written, in one transaction; run twice it adds nothing.
struct Recovery {
    private let database: Database
    private let rows: HistoryRows
    private let slots: SlotFile.Content?

    /// The highest ids that were ever given.
    let lastConnection: Int64
    let lastRoute: Int64
    /// The note of the server's start.
    private(set) var started: OpeningJournal.Mark?
    /// In a program that is no server: since when none has run.
    private(set) var down: HistoryGap?

    /// Answers when all is on disk and the slot file may be emptied.
    init(_ connection: WritingConnection, directory: String, lifecycle: Lifecycle?) throws(RecordsError) {
        database = connection.database
        rows = connection.rows
        try Self.refuseUnsealedPruning(database)
        slots = SlotFile.read(directory)
        try Self.takeJournal(connection, directory)
        // Ids are given in ascending order, so the highest that closed or failed is below the highest that opened, or in the file.
        lastConnection = max(rows.chains.heads.opened.id, (slots?.closedBelow ?? 1) - 1, slots?.highest ?? 0)
        lastRoute = rows.chains.heads.routes.id
        try Self.tellOfUnsealed(connection)
        try Self.tellOfOldAudit(connection)
        var events: [HistoryEvent] = []
        let now = Timestamp.now
        do throws(SQLiteError) {
            let lastAlive = try lastAlive()
            events += try closings(lastAlive).map(HistoryEvent.closed)
            events += try refusals(now).map(HistoryEvent.note)
            if let lifecycle {
                events += try gap(now, lastAlive).map { [.note($0)] } ?? []
                events.append(.note(lifecycle.start(at: now, lastOpened: rows.chains.heads.opened.id)))
            } else if let gap = try gap(now, lastAlive), let from = gap.from, let cause = gap.detail {
                down = HistoryGap(from: from, to: now, cause: cause)
            }
        } catch { throw RecordsError(error) }
        if !events.isEmpty { _ = try connection.commit(events, events.indices, dropped: [], []) }
        if lifecycle != nil { started = try Self.mark(database) }
    }

    // MARK: What was there before

    /// A pruning is sealed in the transaction of its first note. One that is not was written by somebody who has no key, and
    /// would be sealed now, with whatever was taken away behind it.
    private static func refuseUnsealedPruning(_ database: Database) throws(RecordsError) {
        let forged = try records { () throws(SQLiteError) in
            let sealed = try database.pragma("SELECT coalesce(max(notes_id), 0) FROM seals")
            let isSealing = try database.first(
                "SELECT detail FROM notes WHERE kind = 'start' AND id <= ? AND instr(detail, '\"format\"') LIMIT 1",
                sealed
            ) { (row) throws(SQLiteError) in Lifecycle.sealsPrunings(try row.textOrNil(0)) }
            return try database.query(
                "SELECT id, detail FROM notes WHERE kind = 'pruned' AND id > ? ORDER BY id", sealed
            ) { (row) throws(SQLiteError) in
                (id: try row.integer(0), note: PruneNote(detail: try row.textOrNil(1)))
            }
            .first {
                $0.note?.phase != .done && (isSealing == true || !($0.note?.digest.isEmpty ?? false))
            }?.id
        }
        guard let forged else { return }
        throw RecordsError(
            .corrupt,
            "note \(forged) says that the history was pruned, but no seal holds it: no server wrote it",
            hint: "goproxy-admin audit verify; goproxy-admin restore FILE; keep this one")
    }

    /// Rows of the audit that are older than its chain are hashed once, into a row of the chain.
    private static func tellOfOldAudit(_ connection: WritingConnection) throws(RecordsError) {
        let older = try records { () throws(SQLiteError) -> (Int64, [UInt8])? in
            let isOlder = try connection.database.first("SELECT chain FROM audit ORDER BY id LIMIT 1") {
                (row) throws(SQLiteError) in row.isNull(0)
            }
            guard isOlder == true else { return nil }
            let isTold = try connection.database.first(
                "SELECT 1 FROM audit WHERE action = ? AND chain NOT NULL LIMIT 1",
                AuditReader.olderAction.description
            ) { (_) throws(SQLiteError) in true }
            guard isTold == nil else { return nil }
            var (count, digest) = (0 as Int64, SHA256())
            try connection.database.scan("SELECT * FROM audit ORDER BY id") { (row) throws(SQLiteError) in
                guard row.isNull(row.columnCount - 1) else { return false }
                count += 1
                var bytes: [UInt8] = []
                RowHash.append(row, to: &bytes)
                bytes.withUnsafeBytes { digest.add($0) }
                return true
            }
            guard count > 0 else { return nil }
            var hash = [UInt8](repeating: 0, count: SHA256.bytes)
            digest.finish(into: &hash)
            return (count, hash)
        }
        guard let (count, hash) = older else { return }
        try audit(AuditReader.olderAction, AuditReader.olderWords(count, hash), connection)
    }

    /// What no seal held while nobody had the folder's lock is believed as it is found, and said to be: by the last rows of
    /// each chain that stand above the last seal.
    private static func tellOfUnsealed(_ connection: WritingConnection) throws(RecordsError) {
        let sealed = try records { () throws(SQLiteError) -> [Int64] in
            try connection.database.query(
                "SELECT routes_id, opened_id, closed_id, notes_id, audit_id FROM seals ORDER BY id DESC LIMIT 1"
            ) { (row) throws(SQLiteError) in
                [
                    try row.integer(0), try row.integer(1), try row.integer(2), try row.integer(3),
                    try row.integer(4),
                ]
            }.first ?? [0, 0, 0, 0, 0]
        }
        let heads = connection.rows.chains.heads.all
        let found = zip(heads, sealed).map {
            (name: $0.name.description, rows: max(0, $0.chain.id) - max(0, $1))
        }
        guard found.contains(where: { $0.rows > 0 }) else { return }
        let words = AuditReader.unsealedWords(found.map { ($0.name, max(0, $0.rows)) })
        try audit(AuditReader.unsealedAction, words, connection)
    }

    private static func audit(
        _ action: StaticString, _ words: String, _ connection: WritingConnection
    ) throws(RecordsError) {
        try connection.transaction { (now) throws(RecordsError) in
            var transaction = Transaction(
                connection.database, rows: connection.rows, actor: .server, now: now, sealer: nil)
            try transaction.audit(action, detail: words)
        }
    }

    // MARK: Connections

    /// Openings that were on disk before the database had them, and must be in it before they are closed.
    private static func takeJournal(
        _ connection: WritingConnection, _ directory: String
    ) throws(RecordsError) {
        let content = try OpeningJournal.read(OpeningJournal.path(directory))
        let taken = try OpeningJournal.take(content, into: connection)
        if taken.count > 0 { Log.info("journal-taken", ("openings", taken.count)) }
        guard taken.strange > 0 || content.isUnreadable else { return }
        Log.error(
            "journal-kept-aside", ("of-another-database", taken.strange),
            ("unreadable", content.isUnreadable))
        try OpeningJournal.setAside(in: directory, .now)
    }

    /// The last note, when a server starts.
    private static func mark(_ database: Database) throws(RecordsError) -> OpeningJournal.Mark? {
        try records { () throws(SQLiteError) in
            try database.first("SELECT id, chain FROM notes ORDER BY id DESC LIMIT 1") {
                (row) throws(SQLiteError) in
                OpeningJournal.Mark(note: try row.integer(0), chain: try row.integer(1))
            }
        }
    }

    private func closings(_ lastAlive: Timestamp) throws(SQLiteError) -> [Closed] {
        let entries = slots?.entries ?? []
        var closings: [Closed] = []
        var known: Set<Int64> = []
        for entry in entries where known.insert(entry.id).inserted {
            if try isOpen(entry.id) { closings.append(closing(entry)) }
        }
        // A power cut takes the slot file's last changes: what has no slot is closed without counts.
        let bound = max(try closedAtStart(), (slots?.closedBelow ?? 1) - 1)
        let others = try database.query(
            """
            SELECT id, at FROM opened
            WHERE id > ? AND NOT EXISTS (SELECT 1 FROM closed WHERE connection = opened.id) ORDER BY id
            """, bound
        ) { (row) throws(SQLiteError) in (id: try row.integer(0), at: try row.time(1)) }
        for other in others where !known.contains(other.id) {
            let at = max(lastAlive, other.at)
            closings.append(
                Closed(
                    connection: other.id, at: at,
                    durationMicroseconds: at.distance(from: other.at), up: 0, down: 0,
                    reason: .serverCrash, flags: .recovered))
        }
        if !closings.isEmpty { Log.warn("connections-recovered", ("count", closings.count)) }
        // Who looks for a time in the history relies on it that times ascend with the ids, which are given in this order.
        return closings.sorted { ($0.at, $0.connection) < ($1.at, $1.connection) }
    }

    /// What had no end lasted as long as its server is known to have lived, however long it had been silent.
    private func closing(_ entry: SlotFile.Entry) -> Closed {
        let alive = max(entry.movedMonotonic, slots?.heartbeatMonotonic ?? 0)
        let end = max(entry.openedMonotonic, entry.reason == nil ? alive : entry.closedMonotonic)
        let duration = Int64(clamping: (end - entry.openedMonotonic) / 1_000)
        // The file may say anything. No machine passes more than 100 GB/s.
        let (most, isOut) = duration.multipliedReportingOverflow(by: 100_000)
        let canBe = isOut || max(entry.up, entry.down) <= most.adding(1 << 30)
        return Closed(
            connection: entry.id, at: wallClock(end) ?? entry.openedAt.adding(microseconds: duration),
            durationMicroseconds: duration, up: entry.up, down: entry.down,
            reason: entry.reason ?? .serverCrash, flags: canBe ? .recovered : [.recovered, .countsDiffer])
    }

    /// What the clock that people read showed then: it may have been set since the connection was opened.
    private func wallClock(_ monotonicNanoseconds: UInt64) -> Timestamp? {
        guard let slots, slots.heartbeatMonotonic > 0 else { return nil }
        let distance =
            Int64(clamping: monotonicNanoseconds / 1_000) - Int64(clamping: slots.heartbeatMonotonic / 1_000)
        return slots.heartbeatAt.adding(microseconds: distance)
    }

    private func isOpen(_ id: Int64) throws(SQLiteError) -> Bool {
        try database.first(
            "SELECT 1 FROM opened WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM closed WHERE connection = ?1)",
            id
        ) { (_) throws(SQLiteError) in true } ?? false
    }

    /// All connections up to it had been closed when the last server started.
    private func closedAtStart() throws(SQLiteError) -> Int64 {
        try database.first(
            "SELECT coalesce(max(connection), 0) FROM notes WHERE kind = 'start'"
        ) { (row) throws(SQLiteError) in try row.integer(0) } ?? 0
    }

    // MARK: Refusals

    private func refusals(_ now: Timestamp) throws(SQLiteError) -> [Note] {
        var notes: [Note] = []
        for note in (slots?.refusals ?? []).flatMap({ $0.notes(at: now) }) {
            // Its note may be on disk, though the process ended before it could free the counters.
            let isThere = try database.first(
                """
                SELECT 1 FROM notes
                WHERE kind = 'refusals' AND from_at = ? AND to_at = ? AND count = ? AND detail = ?
                """, note.from, note.to, note.count, note.detail
            ) { (_) throws(SQLiteError) in true }
            if isThere == nil { notes.append(note) }
        }
        return notes
    }

    // MARK: The server's life

    /// When the last server is known to have lived: by its heartbeat, or else by what it wrote. Not by the audit: commands write it
    /// without a server, and so does a start, before it gets here.
    private func lastAlive() throws(SQLiteError) -> Timestamp {
        let written = try database.first(
            """
            SELECT max(
                coalesce((SELECT at FROM opened ORDER BY id DESC LIMIT 1), 0),
                coalesce((SELECT at FROM closed ORDER BY id DESC LIMIT 1), 0),
                coalesce((SELECT at FROM notes ORDER BY id DESC LIMIT 1), 0))
            """
        ) { (row) throws(SQLiteError) in try row.time(0) }
        let started = try lastLifecycle().map(\.at)
        guard let heartbeat = slots?.heartbeatAt, heartbeat >= started ?? heartbeat else {
            return written ?? .now
        }
        return heartbeat
    }

    private func lastLifecycle() throws(SQLiteError) -> (kind: String, at: Timestamp)? {
        try database.first(
            "SELECT kind, at FROM notes WHERE kind IN ('start', 'stop') ORDER BY id DESC LIMIT 1"
        ) { (row) throws(SQLiteError) in (try row.text(0), try row.time(1)) }
    }

    private func gap(_ now: Timestamp, _ lastAlive: Timestamp) throws(SQLiteError) -> Note? {
        guard let (kind, at) = try lastLifecycle() else { return nil }
        return kind == Note.Kind.stop.rawValue
            ? .gap(.serverStop, from: at, to: now, at: now)
            : .gap(.serverCrash, from: lastAlive, to: now, at: now)
    }
}

extension Timestamp {
    /// As far as a damaged file's numbers can be added.
    fileprivate func adding(microseconds more: Int64) -> Timestamp {
        Timestamp(microseconds: microseconds.adding(more))
    }
}
