import SQLite

/// Where the chain of each table stands, on the writer's thread. In memory it runs ahead of the disk by one transaction; what
/// is rolled back is set back.
final class Chains {
    struct Chain {
        /// Of the last row in the chain; 0 before the first.
        var id: Int64
        var hash: ChainHash
    }

    struct Heads {
        var routes: Chain
        var opened: Chain
        var closed: Chain
        var notes: Chain
        var audit: Chain
        /// Rows of the audit that are older than its chain have ids too.
        var lastAudit: Int64

        /// In the order of the columns of a seal.
        var all: [(name: StaticString, chain: Chain)] {
            [
                ("routes", routes), ("opened", opened), ("closed", closed), ("notes", notes),
                ("audit", audit),
            ]
        }
    }

    var heads: Heads
    /// The ids that `chain_heads` holds in the open transaction.
    private var saved: [Int64]
    private let database: Database

    init(_ database: Database) throws(SQLiteError) {
        self.database = database
        let rows = try database.query("SELECT name, id, head FROM chain_heads") { (row) throws(SQLiteError) in
            (try row.text(0), try row.integer(1), try row.blob(2))
        }
        var known: [String: Chain] = [:]
        for (name, id, head) in rows { known[name] = Chain(id: id, hash: ChainHash(head: head)) }
        // The last ids of the tables themselves too: should the heads have been set back by somebody, then that is for the
        // check to find, and what happens from now on is written nevertheless.
        func chain(_ table: String, _ last: Int64?) -> Chain {
            var chain = known[table] ?? Chain(id: 0, hash: ChainHash(table: table))
            chain.id = max(chain.id, last ?? 0)
            return chain
        }
        func number(_ sql: StaticString) throws(SQLiteError) -> Int64? {
            try database.first(sql) { (row) throws(SQLiteError) in try row.integer(0) }
        }
        heads = Heads(
            routes: chain("routes", try number("SELECT coalesce(max(id), 0) FROM routes")),
            opened: chain("opened", try number("SELECT coalesce(max(id), 0) FROM opened")),
            closed: chain("closed", try number("SELECT coalesce(max(id), 0) FROM closed")),
            notes: chain("notes", try number("SELECT coalesce(max(id), 0) FROM notes")),
            audit: chain("audit", nil),
            lastAudit: max(
                known["audit"]?.id ?? 0, try number("SELECT coalesce(max(id), 0) FROM audit") ?? 0,
                try number("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'audit'") ?? 0))
        saved = heads.all.map(\.chain.id)
    }

    /// Whether rows were added that `chain_heads` does not tell of.
    var isAhead: Bool {
        saved[0] != heads.routes.id || saved[1] != heads.opened.id || saved[2] != heads.closed.id
            || saved[3] != heads.notes.id || saved[4] != heads.audit.id
    }

    /// Inside the transaction that added the rows, before its commit.
    func save() throws(SQLiteError) {
        for (place, head) in heads.all.enumerated() where head.chain.id != saved[place] {
            try database.execute(
                "INSERT OR REPLACE INTO chain_heads (name, id, head) VALUES (?, ?, ?)", head.name.description,
                head.chain.id, head.chain.hash.head)
            saved[place] = head.chain.id
        }
    }

    /// A whole transaction is lost: back to where it began.
    func restore(_ before: Heads) {
        heads = before
        saved = before.all.map(\.chain.id)
    }
}
