import Logging
import SQLite

/// Every minute in which something was written, and at a clean stop: a row that says where all chains stand, under a key that
/// is erased then. On the writer's thread.
final class Sealer {
    private unowned let connection: WritingConnection
    private let files: SealKeyFiles
    private let intervalNanoseconds: UInt64
    private let writesHeads: Bool
    private var key: SealKey
    /// Whether the file holds `key`, and not the one before it.
    private var isKeySaved = true
    private var sealed: [Int64]
    private var nextSeal: UInt64
    /// In the open transaction.
    var inserted: Inserted?

    struct Inserted {
        let ids: [Int64]
        let heads: [String]
    }

    /// Makes the keys where there are none. `writesHeads`: each seal is told in the log, the outside anchor.
    init(
        _ connection: WritingConnection, directory: String, everySeconds: Int, writesHeads: Bool
    ) throws(RecordsError) {
        let last = try records { () throws(SQLiteError) in
            try connection.database.first(
                "SELECT id, routes_id, opened_id, closed_id, notes_id, audit_id FROM seals ORDER BY id DESC LIMIT 1"
            ) { (row) throws(SQLiteError) in
                var numbers: [Int64] = []
                for column in 0..<6 { numbers.append(try row.integer(Int32(column))) }
                return numbers
            }
        }
        let next = min(max(last?[0] ?? 0, 0), .max - 1) + 1
        let files = SealKeyFiles(directory: directory)
        if let found = try files.load(next: next) {
            key = found
            if key.number > next {
                Log.error("seals-missing", ("last", next - 1), ("key-of", key.number))
            }
        } else {
            key = try files.make(next: next)
            if next > 1 { Log.error("seal-key-missing", ("new-from-seal", next)) }
        }
        self.connection = connection
        self.files = files
        intervalNanoseconds = UInt64(everySeconds) * 1_000_000_000
        self.writesHeads = writesHeads
        sealed = last.map { Array($0[1...]) } ?? [0, 0, 0, 0, 0]
        nextSeal = Monotonic.nanoseconds + intervalNanoseconds
        connection.sealer = self
    }

    func sealIfDue() throws(RecordsError) {
        let now = Monotonic.nanoseconds
        guard now >= nextSeal else { return }
        nextSeal = now + intervalNanoseconds
        try seal()
    }

    /// Nothing happens when nothing was written since the last one.
    func seal() throws(RecordsError) {
        guard connection.rows.chains.heads.all.map(\.chain.id) != sealed else { return }
        try connection.transaction { (now) throws(RecordsError) in try insert(at: now) }
    }

    /// Inside an open transaction, which then holds its own seal; `committed` has to follow. One a transaction.
    func insert(at now: Timestamp) throws(RecordsError) {
        guard inserted == nil else { throw RecordsError(.busy, "this transaction holds a seal already") }
        if !isKeySaved { saveKey() }
        let heads = connection.rows.chains.heads.all
        var row = ChainHash(table: "")
        var values: [any Bindable] = [key.number, now]
        row.add(key.number)
        row.add(now.microseconds)
        for head in heads {
            values += [head.chain.id, head.chain.hash.head]
            row.add(head.chain.id)
            row.add(head.chain.hash.head)
        }
        values.append(key.mac(row.row))
        try records { () throws(SQLiteError) in
            try connection.database.execute(
                "INSERT INTO seals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)", list: values)
        }
        inserted = Inserted(ids: heads.map(\.chain.id), heads: heads.map { Self.hex($0.chain.hash.head) })
    }

    /// The transaction that holds a seal is on disk: its key is no longer needed.
    func committed() {
        guard let seal = inserted else { return }
        inserted = nil
        sealed = seal.ids
        let number = key.number
        key.evolve()
        saveKey()
        guard writesHeads else { return }
        let words = zip(seal.ids, seal.heads).map { "\($0):\($1)" }
        Log.info(
            "history-head", ("seal", number), ("routes", words[0]), ("opened", words[1]),
            ("closed", words[2]),
            ("notes", words[3]), ("audit", words[4]))
    }

    /// What fails now is tried with the next seal; after a crash the old key is moved forward to where the seals are.
    private func saveKey() {
        do throws(RecordsError) {
            try files.save(key)
            isKeySaved = true
        } catch {
            isKeySaved = false
            Log.limited(.error, "seal-key-not-saved", key: "", ("error", error.message))
        }
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
