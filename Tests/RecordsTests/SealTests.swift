import Digests
import Foundation
import Logging
import Records
import SQLite
import Synchronization
import Testing

@Suite(.serialized) struct SealTests {
    let scratch = Scratch()

    private func write(_ scratch: Scratch, connections: Int = 1) throws {
        let store = try scratch.server()
        for _ in 0..<connections {
            let id = store.history.newConnectionID()
            store.history.append([.opened(.sample(id, route: 1)), .closed(.sample(id))])
        }
        store.close()
    }

    private func bytes(_ name: String, in scratch: Scratch) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(filePath: scratch.path(name))))
    }

    /// Ids of the seals that the verification key does not fit, as somebody else would check them.
    private func badSeals(_ scratch: Scratch, key: [UInt8]) throws -> [Int64] {
        var bad: [Int64] = []
        try scratch.database().forEach("SELECT * FROM seals ORDER BY id") { (row) throws(SQLiteError) in
            let id = try row.integer(0)
            var seal = [UInt8]()
            for column in 0..<12 as Range<Int32> {
                if column < 2 || column % 2 == 0 {
                    seal += [1] + withUnsafeBytes(of: try row.integer(column).bigEndian) { Array($0) }
                } else {
                    seal += [3, 0, 0, 0, 32] + (try row.blob(column))
                }
            }
            var evolved = key
            for _ in 0..<id { evolved = hmacSHA256(key: evolved, Array("next".utf8)) }
            if try row.blob(12) != hmacSHA256(key: evolved, seal) { bad.append(id) }
        }
        return bad
    }

    private func key4(from verification: [UInt8]) -> SealKey {
        var key = SealKey(verification: verification)
        key.evolve(to: 4)
        return key
    }

    @Test func `each clean stop seals where the chains stand, under a key of its own`() throws {
        for _ in 0..<3 { try write(scratch) }
        let key = try bytes(SealKey.verifyName, in: scratch)
        #expect(
            try scratch.rows("SELECT id, opened_id, closed_id FROM seals", columns: 3) == [
                "1|1|1", "2|2|2", "3|3|3",
            ])
        #expect(try badSeals(scratch, key: key) == [])
        #expect(try badSeals(scratch, key: [UInt8](repeating: 1, count: 32)) == [1, 2, 3])
        let heads = try scratch.rows(
            """
            SELECT opened_head = (SELECT head FROM chain_heads WHERE name = 'opened'),
                notes_head = (SELECT head FROM chain_heads WHERE name = 'notes') FROM seals WHERE id = 3
            """, columns: 2)
        #expect(heads == ["1|1"])
        // Nothing was written by an operator's program that only looked.
        try scratch.store().close()
        #expect(try scratch.rows("SELECT count(*) FROM seals", columns: 1) == ["3"])
        // The key of now is the fourth's, and no earlier one is to be had from it.
        #expect(SealKey.next(in: scratch.directory) == 4)
        let now = SealKeySlots(try bytes(SealKey.nowName, in: scratch))
        let fourth = try #require(now.key)
        #expect(fourth.mac([7]) == key4(from: key).mac([7]))
        for (name, mode) in [(SealKey.verifyName, 0o400), (SealKey.nowName, 0o600)] {
            let attributes = try FileManager.default.attributesOfItem(atPath: scratch.path(name))
            #expect(attributes[.posixPermissions] as? Int == mode, "\(name)")
        }
    }

    @Test func `the verification key may be moved off, and the key of now may be lost while it is there`()
        throws
    {
        try write(scratch)
        let key = try bytes(SealKey.verifyName, in: scratch)
        try FileManager.default.removeItem(atPath: scratch.path(SealKey.nowName))
        try write(scratch)
        try FileManager.default.removeItem(atPath: scratch.path(SealKey.verifyName))
        try write(scratch)
        #expect(!FileManager.default.fileExists(atPath: scratch.path(SealKey.verifyName)))
        #expect(try badSeals(scratch, key: key) == [])
        // Without both there is a new beginning, and the old key says from where.
        try FileManager.default.removeItem(atPath: scratch.path(SealKey.nowName))
        try write(scratch)
        #expect(try badSeals(scratch, key: key) == [4])
        #expect(try badSeals(scratch, key: bytes(SealKey.verifyName, in: scratch)) == [1, 2, 3])
    }

    @Test func `a process that dies between a seal and its key's end goes on with the next key`() throws {
        try write(scratch)
        let key = try bytes(SealKey.verifyName, in: scratch)
        let first = try bytes(SealKey.nowName, in: scratch)
        try write(scratch)
        try write(scratch)
        try Data(first).write(to: URL(filePath: scratch.path(SealKey.nowName)))
        #expect(chmod(scratch.path(SealKey.nowName), 0o600) == 0)
        try write(scratch)
        #expect(try badSeals(scratch, key: key) == [])
        #expect(SealKey.next(in: scratch.directory) == 5)
    }

    @Test func `while a server runs it seals by the clock, and says so in the log`() throws {
        let lines = Mutex<[String]>([])
        let found = DispatchSemaphore(value: 0)
        let directory = scratch.directory
        Log.replaceSink { line in
            // Other tests' stores write lines too.
            guard line.contains("history-head"), line.contains("opened=77:") else { return }
            lines.withLock { $0.append(line) }
            found.signal()
        }
        defer { Log.replaceSink(StandardError.write) }
        let store = try Store.open(directory: directory, server: "1.0.0", sealsEverySeconds: 1)
        store.history.append([.opened(.sample(77, route: 1))])
        #expect(found.wait(timeout: .now() + 30) == .success)
        let line = try #require(lines.withLock { $0.first })
        let head = try scratch.rows(
            "SELECT lower(hex(head)) FROM chain_heads WHERE name = 'opened'", columns: 1)
        #expect(line.contains("opened=77:\(head[0])"), "\(line)")
        store.close()
    }

    @Test func `a seal with a number that nobody reached ends neither a check nor a start in a long count`()
        throws
    {
        let past = try Past()
        try past.hour(0)
        try past.tamper {
            // By somebody who knows the chain, as it goes on from no note at all.
            try $0.execute("INSERT INTO notes VALUES (1, 0, 'gap', 0, 0, NULL, NULL, 'restored', 0)")
            var hash = ChainHash(table: "notes")
            let chain = try $0.first("SELECT * FROM notes") { (row) throws(SQLiteError) in hash.add(row) }
            try $0.execute("UPDATE notes SET chain = ?", chain)
            try $0.execute("INSERT OR REPLACE INTO chain_heads VALUES ('notes', 1, ?)", hash.head)
            try $0.execute(
                """
                INSERT INTO seals SELECT 1 << 60, at, routes_id, routes_head, opened_id, opened_head,
                    closed_id, closed_head, 1, (SELECT head FROM chain_heads WHERE name = 'notes'), audit_id, audit_head, mac, NULL
                FROM seals ORDER BY id DESC LIMIT 1
                """)
        }
        #expect(try past.verify().fault?.words.contains("no backup replaced so many") == true)
        let words = refused(.corrupt) { () throws(RecordsError) in try past.scratch.store() }
        #expect(words.contains("but the key stands at"))
    }

    @Test(arguments: ["short", String(repeating: "x", count: 41), String(repeating: "\0", count: 8_192)])
    func `a key file that is none, or that others may read, stops the start`(content: String) throws {
        try write(scratch)
        let now = scratch.path(SealKey.nowName)
        let good = try Data(contentsOf: URL(filePath: now))
        try Data(content.utf8).write(to: URL(filePath: now))
        _ = refused(.corrupt) { () throws(RecordsError) in try scratch.server() }
        try good.write(to: URL(filePath: now))
        #expect(chmod(now, 0o644) == 0)
        let words = refused(.io) { () throws(RecordsError) in try scratch.server() }
        #expect(words == "\(now): others may read it")
        #expect(chmod(now, 0o600) == 0)
        try scratch.server().close()
    }
}
