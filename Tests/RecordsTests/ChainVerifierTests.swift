import Foundation
import Records
import SQLite
import Testing

struct ChainVerifierTests {
    /// Three hours of ten connections each, three notes.
    private func past() throws -> Past {
        let past = try Past()
        for hour in 0..<3 {
            try past.hour(hour)
            past.append([
                .note(.gap(.clockStep, from: Past.hour(hour), to: Past.hour(hour), at: Past.hour(hour)))
            ])
        }
        try past.seal()
        return past
    }

    private func copied(_ past: Past) throws -> String {
        let copy = past.scratch.path("copy.db")
        try FileManager.default.copyItem(atPath: past.path, toPath: copy)
        return copy
    }

    @Test func `what was written verifies, beside the writer and as a copied file`() throws {
        let past = try past()
        let live = try past.verify(anchors: past.anchors())
        #expect(live.fault == nil, "\(String(describing: live.fault))")
        #expect(live.tables.map(\.name) == ["notes", "routes", "opened", "closed", "audit"])
        #expect(live.tables.map(\.rows) == [3, 1, 30, 30, 8])
        #expect(live.seals > 5 && live.sealsProven == live.seals)
        // A last seal may have come between.
        #expect(live.anchors >= live.seals - 1)
        past.end()
        var verifier = ChainVerifier(path: try copied(past))
        #expect(try verifier.run().fault == nil)
        verifier.keys = [try past.key]
        let copy = try verifier.run()
        #expect(copy.fault == nil && copy.sealsProven >= live.seals)
    }

    private static let changes: [(sql: StaticString, table: String, id: Int64, connection: Int64?)] = [
        ("UPDATE opened SET client_port = 1 WHERE id = 7", "opened", 7, 7),
        ("UPDATE opened SET chain = chain + 1 WHERE id = 9", "opened", 9, 9),
        ("DELETE FROM opened WHERE id = 12", "opened", 13, 13),
        (
            "INSERT INTO opened SELECT 500, route, at, monotonic, client, client_port, chain FROM opened WHERE id = 5",
            "opened", 500, 500
        ),
        (
            "UPDATE opened SET at = (SELECT sum(at) FROM opened WHERE id IN (4, 5)) - at WHERE id IN (4, 5)",
            "opened", 4, 4
        ),
        ("UPDATE closed SET down = 0 WHERE id = 3", "closed", 3, 3),
        ("DELETE FROM closed WHERE id = 3", "closed", 3, nil),
        ("UPDATE closed SET reason = 'idle' WHERE id = 30", "closed", 30, 30),
        ("UPDATE closed SET node_up = 0 WHERE id = 1", "closed", 1, 1),
        ("UPDATE closed SET connection = 63 - connection WHERE connection BETWEEN 31 AND 32", "", 0, nil),
        ("UPDATE routes SET node_name = 'edge-08'", "routes", 1, nil),
        ("DELETE FROM routes", "routes", 1, nil),
        ("UPDATE notes SET detail = 'server-stop' WHERE id = 2", "notes", 2, nil),
        ("DELETE FROM notes WHERE id = 2", "notes", 2, nil),
        ("UPDATE audit SET actor = 'nobody' WHERE id = 4", "audit", 4, nil),
        ("UPDATE audit SET chain = NULL WHERE id = 4", "audit", 4, nil),
        ("DELETE FROM audit WHERE id = 3", "audit", 4, nil),
        ("DELETE FROM seals WHERE id = 3", "seals", 3, nil),
        ("UPDATE seals SET at = at + 1 WHERE id = 4", "seals", 4, nil),
        ("UPDATE seals SET opened_head = zeroblob(32) WHERE id = 5", "seals", 5, nil),
        ("UPDATE seals SET pruned_at = 1 WHERE id = 4", "seals", 4, nil),
        ("UPDATE chain_heads SET head = zeroblob(32) WHERE name = 'routes'", "routes", 1, nil),
    ]

    @Test(arguments: changes.indices)
    func `each record that is changed, removed, inserted or moved is named`(place: Int) throws {
        let (sql, table, id, connection) = Self.changes[place]
        let past = try past()
        try past.tamper { database in
            let rows = try database.execute(sql)
            #expect(rows > 0 || table.isEmpty)
        }
        let fault = try past.verify().fault
        guard !table.isEmpty else { return #expect(fault == nil) }
        #expect(
            fault?.table == table && fault?.id == id && fault?.connection == connection,
            "\(sql): \(String(describing: fault))")
    }

    @Test func `two rows that change places are found`() throws {
        let past = try past()
        try past.tamper { database in
            try database.run(
                script: """
                    UPDATE opened SET id = 1000 WHERE id = 14; UPDATE opened SET id = 14 WHERE id = 15;
                    UPDATE opened SET id = 15 WHERE id = 1000;
                    """)
        }
        #expect(try past.verify().fault?.id == 14)
    }

    /// Without the last rows, as if they had never been.
    private func cut(_ past: Past, adaptsHeads: Bool, cutsSeals: Bool) throws {
        try past.tamper { database in
            try database.execute("DELETE FROM opened WHERE id > 20")
            try database.execute("DELETE FROM closed WHERE id > 20")
            if cutsSeals { try database.execute("DELETE FROM seals WHERE opened_id > 20 OR closed_id > 20") }
            guard adaptsHeads else { return }
            for table in ["opened", "closed", "notes", "audit"] {
                try past.adaptHead(of: table, in: database)
            }
        }
    }

    @Test func `an end that is cut off is found by what the writer, the seals, the key file and anchors say`()
        throws
    {
        let plain = try past()
        try cut(plain, adaptsHeads: false, cutsSeals: true)
        #expect(try plain.verify(key: false).fault?.words.contains("cut off") == true)

        let sealed = try past()
        try cut(sealed, adaptsHeads: true, cutsSeals: false)
        let fault = try sealed.verify(key: false).fault
        #expect(
            fault?.table == "opened" && fault?.words.contains("is missing: seal") == true,
            "\(String(describing: fault))")

        let all = try past()
        let anchors = try all.anchors()
        let number = Int64(try all.count("seals"))
        try cut(all, adaptsHeads: true, cutsSeals: true)
        #expect(try all.verify().fault == nil, "nothing in the file itself tells of it")
        let anchored = try all.verify(anchors: anchors).fault
        #expect(
            anchored?.table == "seals" && anchored?.words.contains("opened had row 30") == true,
            "\(String(describing: anchored))")
        var verifier = try all.verifier()
        verifier.nextSeal = number + 1
        #expect(try verifier.run().fault?.words.hasPrefix("cut off: the key stands at") == true)
    }

    @Test func `a chain written anew without the key is caught by the seals, and with new seals by the key`()
        throws
    {
        let past = try past()
        let anchors = try past.anchors()
        try past.tamper { database in
            try database.execute("UPDATE opened SET client = x'7f000001' WHERE id = 11")
            try past.rechain(in: database)
        }
        let fault = try past.verify(key: false).fault
        #expect(
            fault?.table == "opened" && fault?.words.contains("made over other rows") == true,
            "\(String(describing: fault))")
        try past.tamper { try past.reseal(in: $0) }
        #expect(try past.verify(key: false).fault == nil, "without key and anchors nobody can know")
        #expect(try past.verify().fault?.words.contains("not made with the key") == true)
        #expect(
            try past.verify(key: false, anchors: anchors).fault?.words.contains("its anchor says") == true)
    }

    @Test func `a file that cannot be read says so, and where`() throws {
        let past = try Past()
        for hour in 0..<4 { try past.hour(hour, connections: 2_000) }
        past.end()
        try damage(past.path)
        do {
            let report = try past.verify()
            #expect(report.fault != nil)
        } catch let error as RecordsError {
            #expect(error.code == .corrupt, "\(error)")
        }
    }

    @Test func `lines of a log that are something else are no anchors`() {
        for line in [
            "", "info history-head", "info history-head seal=1 routes=1:00", "error history-head seal=x",
            "info seal=1 history",
            "history-head seal=1 routes=1:zz opened=1:zz closed=1:zz notes=1:zz audit=1:zz",
        ] { #expect(Anchor(line: line) == nil, "\(line)") }
    }
}

/// Overwrites the middle third of a file, page by page.
func damage(_ path: String) throws {
    let file = try FileHandle(forUpdating: URL(filePath: path))
    let size = try file.seekToEnd()
    for place in stride(from: size / 3 / 4_096 * 4_096, to: size * 2 / 3, by: 4_096) {
        try file.seek(toOffset: place)
        try file.write(contentsOf: Data(repeating: 0xa5, count: 1_024))
    }
    try file.close()
}

extension Past {
    /// `chain_heads` as if the table ended where it ends now.
    func adaptHead(of table: String, in database: Database) throws {
        var hash = ChainHash(table: table)
        var last: Int64 = 0
        let each: (borrowing Row) throws(SQLiteError) -> Void = { (row) throws(SQLiteError) in
            last = try row.integer(0)
            _ = hash.add(row)
        }
        switch table {
        case "opened": try database.forEach("SELECT * FROM opened ORDER BY id", row: each)
        case "closed": try database.forEach("SELECT * FROM closed ORDER BY id", row: each)
        case "notes": try database.forEach("SELECT * FROM notes ORDER BY id", row: each)
        default: try database.forEach("SELECT * FROM audit ORDER BY id", row: each)
        }
        try database.execute("UPDATE chain_heads SET id = ?, head = ? WHERE name = ?", last, hash.head, table)
    }

    /// All openings hashed anew, by somebody who knows how.
    func rechain(in database: Database) throws {
        var hash = ChainHash(table: "opened")
        let chains = try database.query("SELECT * FROM opened ORDER BY id") { (row) throws(SQLiteError) in
            (id: try row.integer(0), chain: hash.add(row))
        }
        for row in chains {
            try database.execute("UPDATE opened SET chain = ? WHERE id = ?", row.chain, row.id)
        }
        try adaptHead(of: "opened", in: database)
    }

    /// Seals that agree with the rows, under a key of one's own.
    func reseal(in database: Database) throws {
        var heads: [Int64: [UInt8]] = [0: ChainHash(table: "opened").head]
        var hash = ChainHash(table: "opened")
        try database.forEach("SELECT * FROM opened ORDER BY id") { (row) throws(SQLiteError) in
            _ = hash.add(row)
            heads[try row.integer(0)] = hash.head
        }
        for (id, head) in heads {
            try database.execute("UPDATE seals SET opened_head = ? WHERE opened_id = ?", head, id)
        }
    }
}
