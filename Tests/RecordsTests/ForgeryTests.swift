import Foundation
import Records
import SQLite
import Testing

/// What one who can write to the file tries first.
struct ForgeryTests {
    private static let forgeries: [(sql: StaticString, table: String)] = [
        (
            "INSERT INTO audit (id, at, actor, action) VALUES (-1, 1787000000000000, 'alice', 'node-add')",
            "audit"
        ),
        ("INSERT INTO audit (id, at, actor, action) VALUES (0, 1, 'alice', 'node-add')", "audit"),
        ("INSERT INTO opened SELECT -5, route, at, monotonic, client, 7, 0 FROM opened LIMIT 1", "opened"),
        (
            "INSERT INTO closed SELECT -5, 999, at, duration, 1, 48000000, NULL, NULL, reason, 0, 0 FROM closed LIMIT 1",
            "closed"
        ),
        ("INSERT INTO notes SELECT 0, 1, 'gap', 1, 2, NULL, NULL, 'restored', 0", "notes"),
    ]

    @Test(arguments: forgeries.indices)
    func `a row that no walk from 1 comes by is found`(place: Int) throws {
        let past = try Past()
        try past.hour(0)
        try past.tamper { _ = try $0.execute(Self.forgeries[place].sql) }
        let fault = try past.verify().fault
        #expect(fault?.table == Self.forgeries[place].table, "\(String(describing: fault))")
    }

    @Test func `a view that was replaced shows nothing, is found, and stops the start`() throws {
        let past = try Past()
        let ids = try past.hour(0)
        try past.tamper {
            try $0.run(
                script: "DROP VIEW history; CREATE VIEW history AS SELECT 7 AS up FROM opened WHERE id % 2")
        }
        let fault = try past.verify().fault
        #expect(fault?.table == "schema" && fault?.words == "view history was changed")
        let reader = Reader(try Database(path: past.path, mode: .readOnly))
        #expect(try ids.map { try reader.connection(id: $0)?.bytesUp } == ids)
        let words = refused(.corrupt) { () throws(RecordsError) in try past.scratch.store() }
        #expect(words.contains("view history was changed"))
        #expect(try DatabaseFacts(path: past.path).schemaFaults == ["view history was changed"])
    }

    @Test func `an index that hides rows is found`() throws {
        let past = try Past()
        try past.hour(0)
        let file = try FileHandle(forUpdating: URL(filePath: past.path))
        past.end()
        let database = try Database(path: past.path, mode: .readWrite)
        let root = try database.pragma("SELECT rootpage FROM sqlite_schema WHERE name = 'opened_by_client'")
        let other = try database.pragma("SELECT rootpage FROM sqlite_schema WHERE name = 'opened_by_route'")
        // Its entries give way to those of another.
        try file.seek(toOffset: UInt64(other - 1) * 4_096)
        let page = try #require(try file.read(upToCount: 4_096))
        try file.seek(toOffset: UInt64(root - 1) * 4_096)
        try file.write(contentsOf: page)
        try file.close()
        #expect(try past.verify().fault?.table == "opened")
    }

    @Test func `a pruning that no seal holds excuses nothing, and stops the start`() throws {
        let past = try Past()
        for hour in 0..<3 { try past.hour(hour) }
        let last = try past.count("seals")
        try past.tamper { database in
            var note = PruneNoteText(seal: last)
            note.digest = String(repeating: "0", count: 64)
            var hash = ChainHash(table: "notes")
            try database.execute(
                "INSERT INTO notes VALUES (1, 5, 'pruned', NULL, NULL, NULL, NULL, ?, 0)", note.text)
            let chain = try database.first("SELECT * FROM notes") { (row) throws(SQLiteError) in hash.add(row)
            }
            try database.execute("UPDATE notes SET chain = ?", chain)
            try database.execute("INSERT OR REPLACE INTO chain_heads VALUES ('notes', 1, ?)", hash.head)
            try database.execute("UPDATE seals SET pruned_at = 5 WHERE id = ?", last)
            try database.execute("DELETE FROM opened")
            try database.execute("DELETE FROM closed")
        }
        let fault = try past.verify().fault
        #expect(fault?.words.contains("no seal of its own") == true, "\(String(describing: fault))")
        let words = refused(.corrupt) { () throws(RecordsError) in try past.scratch.store() }
        #expect(words.contains("no seal holds it"))
    }

    private struct PruneNoteText {
        let seal: Int64
        var digest = ""
        var text: String {
            #"{"after":0,"carried":0,"closed":0,"digest":"\#(digest)","opened":0,"phase":"begun","seal":\#(seal)}"#
        }
    }

    // MARK: What a file, a clock or a node may say

    @Test func `a time that nobody can write down is shown as the nearest that can`() throws {
        for (microseconds, text) in [
            (Int64.max, "9999-12-31T23:59:59.999999Z"),
            (253_402_300_800_000_000, "9999-12-31T23:59:59.999999Z"),
            (.min, "0000-01-01T00:00:00.000000Z"),
        ] {
            let time = Timestamp(microseconds: microseconds)
            #expect(time.description == text)
            #expect(Timestamp(time.description) != nil)
        }
        let past = try Past()
        let late = Timestamp(microseconds: .max)
        past.append([.note(.gap(.clockStep, from: late, to: Past.hour(1), at: Past.hour(1)))])
        try past.hour(1)
        let page = try past.store.read { (reader) throws(RecordsError) in
            var filter = ConnectionFilter()
            filter.since = Past.hour(0)
            return try reader.history(filter)
        }
        #expect(page.entries.count == 11)
        let json = try JSONEncoder().encode(page.entries)
        #expect(try JSONDecoder().decode([HistoryEntry].self, from: json).count == 11)
    }

    @Test func `an IPv4 client in IPv6's clothes is found by its address, in old rows too`() throws {
        let dressed = try #require(
            ClientPlace(bytes: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 51, 100, 7], port: 9))
        #expect(dressed.bytes == [198, 51, 100, 7] && dressed.text == "198.51.100.7:9")
        let past = try Past()
        let ids = try past.hour(0)
        try past.tamper {
            _ = try $0.execute(
                "UPDATE opened SET client = x'00000000000000000000ffffc6336407' WHERE id = ?", ids[3])
        }
        let reader = Reader(try Database(path: past.path, mode: .readOnly))
        for range in ["198.51.100.7", "198.51.0.0/16", "::ffff:198.51.100.7"] {
            var filter = ConnectionFilter()
            filter.client = ClientRange(range)
            let found = try reader.history(filter).entries
            #expect(found.count == 1, "\(range)")
            guard case .connection(let record)? = found.first else { continue }
            #expect(record.id == ids[3] && record.client.hasPrefix("198.51.100.7:"))
        }
    }

    @Test func `a tally that no machine can reach is marked, and sums hold beside it`() throws {
        let scratch = Scratch()
        let store = try scratch.server()
        let slots = try #require(store.takeSlots())
        let outcomes = Outcomes(store.history)
        let route = store.history.newRouteID()
        let ids = [store.history.newConnectionID(), store.history.newConnectionID()]
        var taken: [ConnectionSlots.Slot] = []
        for id in ids { taken.append(try slots.take(id: id, at: .now, monotonicNanoseconds: 1)) }
        outcomes.waitForDurable(
            store.history.append(
                [.route(.sample(route))] + ids.map { .opened(.sample($0, route: route)) }))
        for slot in taken { slot.counts[1] = 1 << 63 }
        let killed = try scratch.killed()
        store.close()
        let next = try killed.server()
        let records = try next.read { (reader) throws(RecordsError) in
            _ = try reader.historyNumbers()
            #expect(try reader.closedTotals(after: 0).totals.down > 1 << 62)
            #expect(try reader.totals(ConnectionFilter(), by: .node).totals.count == 1)
            return try ids.map { (id) throws(RecordsError) in try reader.connection(id: id) }
        }
        #expect(records.allSatisfy { $0?.flags == ["recovered", "counts-differ"] }, "\(records)")
        next.close()
    }
}
