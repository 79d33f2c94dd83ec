import Glibc
import SQLite
import Synchronization

/// The records of one data directory. The only process that writes them is the one that holds its `lock`; inside it,
/// one thread owns the only connection that writes and checkpoints (SQLite before 3.51.3 can damage a file that two do:
/// sqlite.org/wal.html#walresetbug).
///
/// Callable from any thread.
package final class Store: Sendable {
    private let writer: Writer
    private let readers: Readers
    private let sessionIDs: Atomic<Int64>
    private let slots: Mutex<ConnectionSlots?>
    let keeping = Keeping()
    /// Nanoseconds of the monotonic clock.
    let openedMonotonic = Monotonic.nanoseconds

    /// The database's file inside the directory.
    package static let fileName = "goproxy.db"
    /// `gopx`
    package static let applicationID: Int32 = 0x676f_7078

    /// Takes the directory's lock, then opens the database, made or migrated as needed, and writes what the last process could
    /// not: closings of the connections that it had. The directory must exist.
    ///
    /// `server` is the version of a server that starts: only then its start and the gap before it are noted, there are slots
    /// for connections, and there is a ballast. A program that changes records gives none.
    package static func open(
        directory: String, server: String? = nil, sealsEverySeconds: Int = 60
    ) throws(RecordsError) -> Store {
        // A server outlasts the commands that hold the lock for a moment; they ask again themselves, a server first.
        let lock = try LockFile(directory: directory, patience: server == nil ? .zero : lockPatience)
        return try open(
            directory: directory, lock: lock, server: server, sealsEverySeconds: sealsEverySeconds)
    }

    private static let lockPatience = Duration.seconds(5)

    /// For who has the lock already.
    static func open(
        directory: String, lock: LockFile, server: String? = nil, sealsEverySeconds: Int = 60
    ) throws(RecordsError) -> Store {
        Restore.undo(in: directory)
        let gate = ReaderGate()
        let opening = Writer.Opening(
            directory: directory, lifecycle: server.map(Lifecycle.init(version:)),
            sealsEverySeconds: sealsEverySeconds, gate: gate)
        let writer = try Writer(opening, lock: lock)
        do {
            let readers = Readers(path: opening.path, gate: gate)
            let last = try readers.read { (reader) throws(RecordsError) in try reader.highestSession() }
            let slots = server == nil ? nil : try makeSlots(directory, writer.log)
            return Store(writer, readers, slots, lastSession: last)
        } catch {
            writer.close()
            throw error
        }
    }

    private static func makeSlots(
        _ directory: String, _ log: HistoryLog
    ) throws(RecordsError) -> sending ConnectionSlots {
        do throws(RecordsError) {
            return try ConnectionSlots(directory: directory, lastConnection: log.lastConnection)
        } catch {
            guard Ballast.remove(from: directory, for: error) else { throw error }
            return try ConnectionSlots(directory: directory, lastConnection: log.lastConnection)
        }
    }

    private init(
        _ writer: Writer, _ readers: Readers, _ slots: sending ConnectionSlots?, lastSession: Int64
    ) {
        self.writer = writer
        self.readers = readers
        self.slots = Mutex(slots)
        sessionIDs = Atomic(lastSession)
    }

    /// Of the database in a folder, whoever has it; none where there is none yet.
    package static func credentials(in directory: String) throws(RecordsError) -> [CredentialRecord] {
        let path = "\(directory)/\(fileName)"
        guard access(path, F_OK) == 0 else { return [] }
        return try Restore.credentials(of: try Backup.opened(path).database)
    }

    /// For a file that was just made in a data folder: what root makes in somebody else's belongs to who owns the folder.
    package static func giveToOwner(_ descriptor: Int32, of directory: String) {
        FolderOwner.give(descriptor, in: directory)
    }

    deinit {
        close()
    }

    /// Runs `body` on the writer's thread and returns when what it wrote is on disk. Never from inside another `body`.
    package func write<Result: Sendable>(
        actor: Actor,
        _ body: @escaping @Sendable (inout Transaction) throws(RecordsError) -> Result
    ) throws(RecordsError) -> Result {
        try writer.write(actor: actor, body)
    }

    /// Like `write`, without waiting: for a loop's observations. In the order of the calls; what fails is logged, and `failed`
    /// is told on the writer's thread: nothing of it is written, now or later.
    /// False when it was dropped, because too many wait or the store is closed; then `failed` is not called.
    @discardableResult
    package func submit(
        actor: Actor = .server, _ body: @escaping @Sendable (inout Transaction) throws(RecordsError) -> Void,
        failed: @escaping @Sendable (RecordsError) -> Void = { _ in }
    ) -> Bool {
        writer.submit(actor: actor, body, failed: failed)
    }

    /// Runs `body` on the calling thread, on a connection of its own: no writer waits for it, nor it for a writer.
    package func read<Result: Sendable>(
        _ body: @Sendable (Reader) throws(RecordsError) -> Result
    ) throws(RecordsError) -> Result {
        try readers.read(body)
    }

    /// A new session's id, before its row is written: a loop need not wait for the disk to name it.
    package func newSessionID() -> Int64 {
        sessionIDs.add(1, ordering: .relaxed).newValue
    }

    /// Where connections are recorded.
    package var history: HistoryLog { writer.log }

    /// The slots of a server's connections, for the thread that runs them; nil when they have been taken, and for no server.
    package func takeSlots() -> sending ConnectionSlots? {
        slots.withLock { slots in
            let taken = slots
            slots = nil
            return taken
        }
    }

    /// Whether the store writes, and if not, since when and why.
    package var health: StoreHealth { writer.signals.health }
    /// Who keeps the log of writes from beginning anew, by reading; nil: nobody did when it last was to.
    package var logHolder: String? { readers.gate.holder }

    /// What is not known up to `now`, and no note tells yet: no server runs, or nothing can be written.
    package func presentGap(_ now: Timestamp) -> HistoryGap? {
        if let since = health.failingSince {
            return HistoryGap(from: since, to: now, cause: Note.Gap.auditFailure.rawValue)
        }
        return writer.signals.down.map { HistoryGap(from: $0.from, to: now, cause: $0.cause) }
    }

    /// Called once, on the writer's thread, when the database was moved or deleted under the program: nothing is written any
    /// more, and the server had better end. Looked at every second.
    package var onLost: (@Sendable (RecordsError) -> Void)? {
        get { writer.signals.onLost }
        set { writer.signals.onLost = newValue }
    }

    /// Writes what is queued, and for a server that it stopped; ends the thread and frees the lock. Later calls are refused with `busy`.
    package func close() {
        keeping.close()
        readers.close()
        writer.close()
    }
}
