import Digests
import Foundation
import Records
import SQLite
import Testing

struct ChainTests {
    private func hex(_ bytes: [UInt8]) -> String { bytes.map { String(format: "%02x", $0) }.joined() }

    @Test func `digests are those of the standards`() {
        // FIPS 180-4's example, RFC 4231's test case 2.
        #expect(
            hex(SHA256.digest(Array("abc".utf8)))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            hex(hmacSHA256(key: Array("Jefe".utf8), Array("what do ya want for nothing?".utf8)))
                == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        let stream = SHA256()
        var digest = [UInt8](repeating: 0, count: 32)
        for _ in 0..<2 {
            for part in ["a", "b", "c"] { Array(part.utf8).withUnsafeBytes { stream.add($0) } }
            stream.finish(into: &digest)
            #expect(digest == SHA256.digest(Array("abc".utf8)))
        }
        #expect(randomKey(bytes: 32) != randomKey(bytes: 32))
    }

    /// The walk's memory grows with the longest: it must hold each one's last byte.
    @Test func `rows of every length are walked`() throws {
        let past = try Past()
        try past.store.write(actor: .server) { (t) throws(RecordsError) in
            for length in 0...2_200 { try t.audit("event", detail: String(repeating: "x", count: length)) }
        }
        #expect(try past.verify().fault == nil)
        past.end()
    }

    @Test func `reports encode with every key that they have`() throws {
        let past = try Past()
        try past.hour(0)
        let reports: [any Encodable] = [try past.verify(), PruneReport(before: .now)]
        past.end()
        for report in reports {
            let object = try JSONSerialization.jsonObject(with: JSONEncoder().encode(report))
            let keys = try #require(object as? [String: Any]).keys.sorted()
            #expect(keys == Mirror(reflecting: report).children.compactMap(\.label).sorted())
        }
    }

    @Test func `a row is hashed as the description has it`() {
        var chain = ChainHash(table: "notes")
        let start = SHA256.digest(Array("goproxy chain 1 notes".utf8))
        #expect(chain.head == start)
        chain.add(-2 as Int64)
        chain.add("é")
        chain.add([UInt8](repeating: 5, count: 3))
        chain.addNull()
        chain.add(nil as String?)
        let row: [UInt8] =
            [1, 255, 255, 255, 255, 255, 255, 255, 254] + [2, 0, 0, 0, 2, 0xc3, 0xa9] + [
                3, 0, 0, 0, 3, 5, 5, 5,
            ]
            + [0, 0]
        #expect(chain.row == row)
        let head = SHA256.digest(start + row)
        let copy = chain
        #expect(chain.endRow() == Int64(bitPattern: head.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }))
        #expect(chain.head == head)
        #expect(copy.head == start, "a copy stands where it stood")
        #expect(ChainHash(head: head).head == head)
        // An empty text is not an empty blob, nor nothing.
        let empty: [(inout ChainHash) -> Void] = [{ $0.add("") }, { $0.add([UInt8]()) }, { $0.addNull() }]
        #expect(
            Set(
                empty.map { add in
                    var chain = ChainHash(table: "notes")
                    add(&chain)
                    return chain.endRow()
                }
            ).count == 3)
    }

    @Test(arguments: [
        "UPDATE closed SET up = up + 1 WHERE id = 3", "DELETE FROM opened WHERE id = 2",
        "INSERT INTO opened SELECT 99, route, at, monotonic, client, client_port, chain FROM opened WHERE id = 5",
        "UPDATE notes SET detail = 'x' WHERE id = 1", "UPDATE routes SET node_name = 'b'",
        "UPDATE chain_heads SET head = zeroblob(32) WHERE name = 'closed'",
    ])
    func `the tests' own check finds what was changed`(change: String) throws {
        let scratch = Scratch()
        let store = try scratch.server()
        store.history.append([.route(.sample(store.history.newRouteID()))])
        for _ in 0..<5 {
            let id = store.history.newConnectionID()
            store.history.append([.opened(.sample(id, route: 1)), .closed(.sample(id))])
        }
        store.close()
        #expect(try scratch.chainFaults() == [])
        do {
            let database = try Database(path: scratch.path(Store.fileName), mode: .readWrite)
            for table in ["closed", "opened"] { try database.run(script: "DROP TRIGGER \(table)_is_final") }
            for table in ["notes", "routes"] { try database.run(script: "DROP TRIGGER \(table)_are_final") }
            try database.run(script: change)
        }
        #expect(try !scratch.chainFaults().isEmpty)
    }

    @Test func `the audit's chain begins after the rows that are older than it`() throws {
        let scratch = Scratch()
        try scratch.load("0001.sql")
        let store = try scratch.store()
        try store.addNode("a")
        try store.addNode("b")
        store.close()
        #expect(
            try scratch.rows("SELECT id, chain IS NULL, action FROM audit", columns: 3) == [
                "1|1|node-add", "2|0|audit-before-chain", "3|0|node-add", "4|0|node-add",
            ])
        #expect(try scratch.chainFaults() == [])
    }

    @Test func `the dump's chains are whole, and go on`() throws {
        let scratch = Scratch()
        try scratch.load("0002.sql")
        #expect(try scratch.chainFaults() == [])
        let store = try scratch.server()
        let log = store.history
        let outcomes = Outcomes(log)
        outcomes.waitForDurable(log.append([.opened(.sample(log.newConnectionID(), route: 1))]))
        #expect(try scratch.chainFaults() == [])
        #expect(try scratch.rows("SELECT max(id) FROM opened", columns: 1) == ["4"])
    }
}

extension Scratch {
    /// Walks the tables, apart from how the program does it: bytes are put together from what SQLite says of each value.
    func chainFaults() throws -> [String] {
        let database = try database()
        var faults: [String] = []
        let tables: [(String, StaticString, Int32)] = [
            ("routes", "SELECT * FROM routes ORDER BY id", 9),
            ("opened", "SELECT * FROM opened ORDER BY id", 6),
            ("closed", "SELECT * FROM closed ORDER BY id", 10),
            ("notes", "SELECT * FROM notes ORDER BY id", 8),
            ("audit", "SELECT * FROM audit WHERE chain IS NOT NULL ORDER BY id", 11),
        ]
        for (name, sql, columns) in tables {
            var head = SHA256.digest(Array("goproxy chain 1 \(name)".utf8))
            var last: Int64 = 0
            try database.forEach(sql) { (row) throws(SQLiteError) in
                var bytes = head
                for column in 0..<columns { bytes += try Self.encoded(row, column) }
                head = SHA256.digest(bytes)
                last = try row.integer(0)
                let chain = Int64(bitPattern: head.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
                if try row.integer(columns) != chain { faults.append("\(name) \(last)") }
            }
            let stored = try database.first("SELECT id, head FROM chain_heads WHERE name = ?", name) {
                (row) throws(SQLiteError) in (try row.integer(0), try row.blob(1))
            }
            if last > 0 || stored != nil, stored?.0 != last || stored?.1 != head {
                faults.append("head of \(name)")
            }
        }
        return faults
    }

    private static func encoded(_ row: borrowing Row, _ column: Int32) throws(SQLiteError) -> [UInt8] {
        func counted(_ type: UInt8, _ bytes: [UInt8]) -> [UInt8] {
            [type] + withUnsafeBytes(of: UInt32(bytes.count).bigEndian) { Array($0) } + bytes
        }
        if row.isNull(column) { return [0] }
        if let number = try? row.integer(column) {
            return [1] + withUnsafeBytes(of: number.bigEndian) { Array($0) }
        }
        if let text = try? row.text(column) { return counted(2, Array(text.utf8)) }
        return counted(3, try row.blob(column))
    }

    /// A released schema as its dump has it.
    func load(_ dump: String) throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Schemas")
        let script = try String(contentsOf: folder.appending(path: dump), encoding: .utf8)
        let database = try Database(path: path(Store.fileName), mode: .create)
        try database.run(script: "BEGIN; \(script); COMMIT;")
    }
}
