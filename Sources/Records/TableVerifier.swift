import Digests
import SQLite

/// Checks the rows of one table: each one's chain, each seal that tells of it, and where `chain_heads` says that it ends.
struct TableVerifier {
    let name: String
    /// All rows above an id.
    private let rows: StaticString
    /// Number, time, id and head of seals above a number.
    private let seals: StaticString
    /// Whose value is a connection's id; nil: none.
    private let connection: Int32?
    /// Whether ids go on by one.
    private let isGapless: Bool

    static let routes = TableVerifier(
        name: "routes", rows: "SELECT * FROM routes WHERE id > ? ORDER BY id",
        seals: "SELECT id, at, routes_id, routes_head FROM seals WHERE id > ? ORDER BY id LIMIT 512",
        connection: nil, isGapless: false)
    static let opened = TableVerifier(
        name: "opened", rows: "SELECT * FROM opened WHERE id > ? ORDER BY id",
        seals: "SELECT id, at, opened_id, opened_head FROM seals WHERE id > ? ORDER BY id LIMIT 512",
        connection: 0, isGapless: false)
    static let closed = TableVerifier(
        name: "closed", rows: "SELECT * FROM closed WHERE id > ? ORDER BY id",
        seals: "SELECT id, at, closed_id, closed_head FROM seals WHERE id > ? ORDER BY id LIMIT 512",
        connection: 1, isGapless: true)
    static let notes = TableVerifier(
        name: "notes", rows: "SELECT * FROM notes WHERE id > ? ORDER BY id",
        seals: "SELECT id, at, notes_id, notes_head FROM seals WHERE id > ? ORDER BY id LIMIT 512",
        connection: 5, isGapless: true)
    /// Rows that are older than the chain have none, and stand before all others.
    static let audit = TableVerifier(
        name: "audit", rows: "SELECT * FROM audit WHERE id > ? ORDER BY id",
        seals: "SELECT id, at, audit_id, audit_head FROM seals WHERE id > ? ORDER BY id LIMIT 512",
        connection: nil, isGapless: false)

    /// Where a chain stands.
    struct Place: Equatable {
        var id: Int64
        var head: [UInt8]
    }

    /// - Parameter seal: with whose heads the chain begins, its rows being pruned; nil: from the first row on.
    func run(
        _ database: Database, from seal: Int64? = nil, _ report: inout ChainReport
    ) throws(SQLiteError) -> ChainFault? {
        var place = try start(database, seal)
        let begun = place
        var checkpoints = try Checkpoints(database, seals, after: seal ?? 0)
        if let fault = try checkpoints.pass(place, of: name) { return fault }
        var table = ChainReport.Table(name: name)
        var walk = ChainWalk(place)
        var fault: ChainFault?
        do throws(SQLiteError) {
            try database.scan(rows, begun.id) { (row) throws(SQLiteError) in
                let id = try row.integer(0)
                if row.isNull(row.columnCount - 1), table.rows == 0 { return true }
                fault = try check(id, row, after: place.id, isFirst: table.rows == 0, &walk)
                if fault == nil {
                    place.id = id
                    // The head is copied only where somebody asks for it.
                    if checkpoints.next.map({ $0.id <= id }) ?? false {
                        fault = try checkpoints.pass(Place(id: id, head: walk.head), of: name)
                    }
                }
                guard fault == nil else { return false }
                table.rows += 1
                table.last = id
                return true
            }
        } catch {
            guard error.isCorrupt else { throw error }
            fault = ChainFault(name, place.id + 1, "cannot be read: \(error.message)")
        }
        place.head = walk.head
        report.tables.append(table)
        if let fault { return fault }
        if let missing = checkpoints.next {
            return ChainFault(
                name, missing.id,
                "is missing: seal \(missing.seal) of \(missing.at) says that it was there; the last is \(place.id)"
            )
        }
        return try end(database, place)
    }

    private func check(
        _ id: Int64, _ row: borrowing Row, after last: Int64, isFirst: Bool, _ walk: inout ChainWalk
    ) throws(SQLiteError) -> ChainFault? {
        if isGapless, id != last + 1 { return ChainFault(name, last + 1, "is missing: the next is \(id)") }
        guard try walk.takes(row) else {
            let before = isFirst && last == 0 ? "the chain's beginning" : "row \(last)"
            return ChainFault(
                name, id, connection: connection.flatMap { row.isNull($0) ? nil : try? row.integer($0) },
                "does not follow from \(before): it was changed, or rows before it were removed, added or moved"
            )
        }
        return nil
    }

    private func start(_ database: Database, _ seal: Int64?) throws(SQLiteError) -> Place {
        let beginning = Place(id: 0, head: ChainHash(table: name).head)
        guard let seal else { return beginning }
        let page = try database.query(seals, seal - 1) { (row) throws(SQLiteError) in
            Place(id: try row.integer(2), head: try row.blob(3))
        }
        guard let place = page.first else { throw .damaged("seal \(seal) is not there") }
        return place
    }

    /// What the writer said last, in the commit of the last row.
    private func end(_ database: Database, _ place: Place) throws(SQLiteError) -> ChainFault? {
        let known = try database.first("SELECT id, head FROM chain_heads WHERE name = ?", name) {
            (row) throws(SQLiteError) in Place(id: try row.integer(0), head: try row.blob(1))
        }
        let head = known ?? Place(id: 0, head: ChainHash(table: name).head)
        if head.id > place.id {
            return ChainFault(name, head.id, "cut off: this was the last row; now it is \(place.id)")
        }
        if head.id < place.id {
            return ChainFault(name, head.id + 1, "was not written by the server: its last row was \(head.id)")
        }
        guard head.head == place.head else {
            return ChainFault(
                name, place.id, "is the last row, but the chain that was written ended otherwise")
        }
        return nil
    }
}

/// Goes along a chain.
struct ChainWalk {
    /// The head, then the row so far.
    private var bytes: [UInt8]
    private let digest = SHA256()

    init(_ place: TableVerifier.Place) {
        bytes = place.head
        bytes.reserveCapacity(1_024)
    }

    var head: [UInt8] { Array(bytes[..<SHA256.bytes]) }

    /// Whether the row follows. If not, the walk stays where it was.
    mutating func takes(_ row: borrowing Row) throws(SQLiteError) -> Bool {
        let last = row.columnCount - 1
        guard !row.isNull(last) else { return false }
        let chain = try row.integer(last)
        RowHash.append(row, to: &bytes)
        var next = (0 as UInt64, 0 as UInt64, 0 as UInt64, 0 as UInt64)
        return withUnsafeMutableBytes(of: &next) { next in
            bytes.withUnsafeBytes { digest.add($0) }
            digest.finish(into: next.baseAddress!.assumingMemoryBound(to: UInt8.self))
            bytes.removeLast(bytes.count - SHA256.bytes)
            guard Int64(bigEndian: next.load(as: Int64.self)) == chain else { return false }
            bytes.withUnsafeMutableBytes { $0.copyMemory(from: UnsafeRawBufferPointer(next)) }
            return true
        }
    }
}

/// What the seals say of one table, in their order, a page at a time.
struct Checkpoints {
    struct Checkpoint {
        let seal: Int64
        let at: Timestamp
        let id: Int64
        let head: [UInt8]
    }

    private let database: Database
    private let sql: StaticString
    private var page: ArraySlice<Checkpoint> = []
    private var lastSeal: Int64
    private var passed: Checkpoint?

    init(_ database: Database, _ sql: StaticString, after seal: Int64) throws(SQLiteError) {
        self.database = database
        self.sql = sql
        lastSeal = seal
        try fill()
    }

    /// The first that was not passed.
    var next: Checkpoint? { page.first }

    /// Compares all that tell of this row, and finds one that tells of a row before it which is not there.
    mutating func pass(_ place: TableVerifier.Place, of name: String) throws(SQLiteError) -> ChainFault? {
        while let checkpoint = page.first, checkpoint.id <= place.id {
            guard checkpoint.id == place.id else {
                return ChainFault(
                    name, checkpoint.id,
                    "is missing: seal \(checkpoint.seal) of \(checkpoint.at) says that it was there")
            }
            guard checkpoint.head == place.head else {
                let from = passed.map { "after row \($0.id), where seal \($0.seal) holds" } ?? "somewhere"
                return ChainFault(
                    name, place.id,
                    "seal \(checkpoint.seal) of \(checkpoint.at) was made over other rows: the chain was written anew \(from)"
                )
            }
            passed = checkpoint
            page.removeFirst()
            if page.isEmpty { try fill() }
        }
        return nil
    }

    private mutating func fill() throws(SQLiteError) {
        let new = try database.query(sql, lastSeal) { (row) throws(SQLiteError) in
            Checkpoint(
                seal: try row.integer(0), at: try row.time(1), id: try row.integer(2), head: try row.blob(3))
        }
        page = new[...]
        lastSeal = new.last?.seal ?? lastSeal
    }
}
