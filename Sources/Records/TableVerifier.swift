import Digests
import SQLite

/// Looks at the rows of one table while their chain is checked, in the order of their ids.
protocol RowReader: AnyObject {
    /// A row whose chain holds.
    func follows(_ row: borrowing Row, _ id: Int64) throws(SQLiteError) -> ChainFault?
    /// A row that no chain holds: behind the seal of the last pruning, or older than the audit's chain.
    func stands(_ row: borrowing Row, _ id: Int64) throws(SQLiteError) -> ChainFault?
}

/// Checks the rows of one table: ids that ascend from 1, each one's chain, each seal that tells of it, where `chain_heads` says
/// that it ends, and that the indexes have the same rows.
struct TableVerifier {
    let name: String
    private let rows: StaticString
    /// Number, time, id and head of seals above a number.
    private let seals: StaticString
    /// Whose value is a connection's id; nil: none.
    private let connection: Int32?
    /// Whether ids go on by one.
    private let isGapless: Bool
    private let indexes: [IndexVerifier.Index]

    static let routes = TableVerifier(
        name: "routes", rows: "SELECT * FROM routes ORDER BY id",
        seals: "SELECT id, at, routes_id, routes_head FROM seals WHERE id > ? ORDER BY id LIMIT 512",
        connection: nil, isGapless: false,
        indexes: [.init("SELECT node_name, id FROM routes INDEXED BY routes_by_node", [2])])
    static let opened = TableVerifier(
        name: "opened", rows: "SELECT * FROM opened ORDER BY id",
        seals: "SELECT id, at, opened_id, opened_head FROM seals WHERE id > ? ORDER BY id LIMIT 512",
        connection: 0, isGapless: false,
        indexes: [
            .init("SELECT route, id FROM opened INDEXED BY opened_by_route", [1]),
            .init("SELECT client, id FROM opened INDEXED BY opened_by_client", [4]),
        ])
    static let closed = TableVerifier(
        name: "closed", rows: "SELECT * FROM closed ORDER BY id",
        seals: "SELECT id, at, closed_id, closed_head FROM seals WHERE id > ? ORDER BY id LIMIT 512",
        connection: 1, isGapless: true,
        indexes: [
            .init(
                "SELECT connection, id FROM closed INDEXED BY sqlite_autoindex_closed_1", [1], isUnique: true)
        ])
    static let notes = TableVerifier(
        name: "notes", rows: "SELECT * FROM notes ORDER BY id",
        seals: "SELECT id, at, notes_id, notes_head FROM seals WHERE id > ? ORDER BY id LIMIT 512",
        connection: 5, isGapless: true,
        indexes: [.init("SELECT kind, at, id FROM notes INDEXED BY notes_by_kind", [2, 1])])
    /// Rows that are older than the chain have none, and stand before all others.
    static let audit = TableVerifier(
        name: "audit", rows: "SELECT * FROM audit ORDER BY id",
        seals: "SELECT id, at, audit_id, audit_head FROM seals WHERE id > ? ORDER BY id LIMIT 512",
        connection: nil, isGapless: false,
        indexes: [
            .init("SELECT at, id FROM audit INDEXED BY audit_by_time", [1]),
            .init("SELECT node, id FROM audit INDEXED BY audit_by_node", [5]),
        ])

    /// Where a chain stands.
    struct Place: Equatable {
        var id: Int64
        var head: [UInt8]
    }

    /// - Parameter seal: with whose heads the chain begins, its rows being pruned; nil: from the first row on.
    func run(
        _ database: Database, from seal: Int64? = nil, _ reader: some RowReader,
        _ report: inout ChainReport
    ) throws(SQLiteError) -> ChainFault? {
        let begun = try start(database, seal)
        var checkpoints = try Checkpoints(database, seals, after: seal ?? 0)
        if let fault = try checkpoints.pass(begun, of: name) { return fault }
        var table = ChainReport.Table(name: name)
        var index = IndexVerifier(indexes)
        let walk = ChainWalk(begun)
        var (place, last) = (begun.id, 0 as Int64)
        var fault: ChainFault?
        do throws(SQLiteError) {
            try database.scan(rows) { (row) throws(SQLiteError) in
                let id = try row.integer(0)
                guard id > last else {
                    fault = ChainFault(name, id, "stands after row \(last): ids ascend from 1")
                    return false
                }
                last = id
                index.add(row, id)
                let chain = row.columnCount - 1
                if id <= begun.id || row.isNull(chain) && table.rows == 0 && reader is AuditReader {
                    fault = try reader.stands(row, id)
                    return fault == nil
                }
                if isGapless, id != place + 1 {
                    fault = ChainFault(name, place + 1, "is missing: the next is \(id)")
                } else if try !walk.takes(row) {
                    fault = try broken(row, id, after: table.rows == 0 && begun.id == 0 ? nil : place)
                } else if checkpoints.next.map({ $0.id <= id }) ?? false {
                    // The head is copied only where somebody asks for it.
                    fault = try checkpoints.pass(Place(id: id, head: walk.head), of: name)
                } else if checkpoints.next == nil {
                    table.unsealed += 1
                }
                if fault == nil { fault = try reader.follows(row, id) }
                guard fault == nil else { return false }
                place = id
                table.rows += 1
                table.last = id
                return true
            }
        } catch {
            guard error.isCorrupt else { throw error }
            fault = ChainFault(name, place + 1, "cannot be read: \(error.message)")
        }
        report.tables.append(table)
        if let fault { return fault }
        if let missing = checkpoints.next {
            return ChainFault(
                name, missing.id,
                "is missing: seal \(missing.seal) of \(missing.at) says that it was there; the last is \(place)"
            )
        }
        if let fault = try end(database, Place(id: place, head: walk.head)) { return fault }
        return try index.fault(in: database, name)
    }

    private func broken(
        _ row: borrowing Row, _ id: Int64, after last: Int64?
    ) throws(SQLiteError) -> ChainFault {
        let before = last.map { "row \($0)" } ?? "the chain's beginning"
        return ChainFault(
            name, id, connection: connection.flatMap { row.isNull($0) ? nil : try? row.integer($0) },
            "does not follow from \(before): it was changed, or rows before it were removed, added or moved")
    }

    private func start(_ database: Database, _ seal: Int64?) throws(SQLiteError) -> Place {
        let beginning = Place(id: 0, head: ChainHash(table: name).head)
        guard let seal else { return beginning }
        let page = try database.query(seals, seal - 1) { (row) throws(SQLiteError) in
            Place(id: try row.integer(2), head: try row.blob(3))
        }
        guard let place = page.first, place.head.count == SHA256.bytes else {
            throw .damaged("seal \(seal) is not there")
        }
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
