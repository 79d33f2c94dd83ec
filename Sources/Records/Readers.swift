import SQLite
import Synchronization

/// A few connections that read, opened when first needed.
final class Readers: Sendable {
    /// Beyond so many readers at a time, the next waits for one of them.
    private static let connections = 4

    private final class Slot: Sendable {
        let database = Mutex<Database?>(nil)
    }

    private let path: String
    let gate: ReaderGate
    private let slots = (0..<connections).map { _ in Slot() }
    private let next = Atomic<Int>(0)
    private let isClosed = Atomic<Bool>(false)

    init(path: String, gate: ReaderGate) {
        self.path = path
        self.gate = gate
    }

    func read<Result: Sendable>(
        _ body: @Sendable (Reader) throws(RecordsError) -> Result
    ) throws(RecordsError) -> Result {
        for slot in slots {
            if let found = slot.database.withLockIfAvailable({ answer(&$0, body) }) { return try found.get() }
        }
        let turn = next.add(1, ordering: .relaxed).newValue
        let slot = slots[Int(UInt(bitPattern: turn) % UInt(slots.count))]
        return try slot.database.withLock({ answer(&$0, body) }).get()
    }

    func close() {
        isClosed.store(true, ordering: .sequentiallyConsistent)
        for slot in slots { slot.database.withLock { $0 = nil } }
    }

    private func answer<Answer: Sendable>(
        _ database: inout Database?, _ body: @Sendable (Reader) throws(RecordsError) -> Answer
    ) -> Result<Answer, RecordsError> {
        do throws(RecordsError) {
            guard !isClosed.load(ordering: .sequentiallyConsistent) else { throw .closed }
            if database == nil {
                database = try records { () throws(SQLiteError) in try Database(path: path, mode: .readOnly) }
            }
            guard let database else { throw .closed }
            let reading = gate.begin()
            defer { gate.end(reading) }
            // One transaction: all questions of `body` are answered from the same moment.
            try records { () throws(SQLiteError) in try database.execute("BEGIN") }
            defer { database.rollBack() }
            return .success(try body(Reader(database)))
        } catch {
            return .failure(error)
        }
    }
}

extension RecordsError {
    package static let closed = RecordsError(.busy, "the records are closed")
}
