import SQLite

/// Anchors of seals that went with a pruning: the chains of routes, notes and the audit are whole, and still tell whether
/// they were what the anchor says. Openings and closings of then are gone.
struct ThinnedAnchors {
    private let anchors: [Anchor]

    init(_ anchors: [Anchor]) {
        self.anchors = anchors
    }

    func fault(in database: Database) throws(SQLiteError) -> ChainFault? {
        guard !anchors.isEmpty else { return nil }
        for (table, rows) in [
            (0, "SELECT * FROM routes ORDER BY id"), (3, "SELECT * FROM notes ORDER BY id"),
            (4, "SELECT * FROM audit WHERE chain IS NOT NULL ORDER BY id"),
        ] as [(Int, StaticString)] {
            if let fault = try fault(in: database, table, rows) { return fault }
        }
        return nil
    }

    private func fault(in database: Database, _ table: Int, _ rows: StaticString) throws(SQLiteError)
        -> ChainFault?
    {
        let name = Anchor.tables[table]
        var wanted = anchors.sorted { $0.ids[table] > $1.ids[table] }
        let walk = ChainWalk(TableVerifier.Place(id: 0, head: ChainHash(table: name).head))
        var fault: ChainFault?
        /// Compares all that tell of this row.
        func meet(_ id: Int64) {
            while let anchor = wanted.last, anchor.ids[table] <= id, fault == nil {
                wanted.removeLast()
                guard anchor.ids[table] == id, walk.head == Array(anchor.head(table)) else {
                    fault = ChainFault(
                        name, anchor.ids[table],
                        "is another than the anchor of seal \(anchor.seal) says, or is missing")
                    return
                }
            }
        }
        meet(0)
        try database.scan(rows) { (row) throws(SQLiteError) in
            guard fault == nil, !wanted.isEmpty, try walk.takes(row) else { return false }
            meet(try row.integer(0))
            return true
        }
        if fault == nil, let missing = wanted.last {
            fault = ChainFault(
                name, missing.ids[table], "is missing: the anchor of seal \(missing.seal) tells of it")
        }
        return fault
    }
}
