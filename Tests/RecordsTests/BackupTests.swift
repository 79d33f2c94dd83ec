import Foundation
import Records
import SQLite
import Support
import Testing

struct BackupTests {
    @discardableResult
    private func backUp(
        _ directory: String, to path: String, replaces: Bool = false
    ) throws(RecordsError) -> Backup {
        try Backup.make(of: directory, at: path, replaces: replaces) { (_) throws(RecordsError) in }
    }

    private func restore(_ backup: String, _ scratch: Scratch) throws(RecordsError) -> Restore {
        try Restore.run(from: backup, into: scratch.directory, actor: Store.alice)
    }

    private func count(_ sql: StaticString, in path: String) throws -> Int64 {
        try Database(path: path, mode: .readOnly).pragma(sql)
    }

    @Test func `a backup taken under writes opens, verifies and has all that was answered before`() throws {
        let past = try Past()
        for hour in 0..<5 { try past.hour(hour, connections: 500) }
        let state = Locked((isOver: false, written: 0))
        let store = past.store
        let ended = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            while !state.get().isOver {
                try? store.addNodeTag()
                state.with { $0.written += 1 }
            }
            ended.signal()
        }
        for round in 0..<3 {
            let answered = state.get().written
            let copy = past.scratch.path("copy-\(round).db")
            try backUp(past.scratch.directory, to: copy)
            #expect(try count("SELECT count(*) FROM audit", in: copy) >= Int64(answered))
            #expect(try count("SELECT count(*) FROM opened", in: copy) == 2_500)
            #expect(try count("PRAGMA auto_vacuum", in: copy) == 2)
            var verifier = ChainVerifier(path: copy)
            verifier.keys = [try past.key]
            let report = try verifier.run()
            #expect(report.fault == nil, "\(String(describing: report.fault))")
        }
        state.with { $0.isOver = true }
        ended.wait()
    }

    @Test func `a restored backup goes on with its chain, and the lost stretch is a gap`() throws {
        let past = try Past()
        let open = past.open(2, hour: 0)
        try past.hour(0)
        let copy = past.scratch.path("copy.db")
        try backUp(past.scratch.directory, to: copy)
        for hour in 1..<4 { try past.hour(hour) }
        let anchors = try past.anchors()
        let busy = refused(.locked) { () throws(RecordsError) in try restore(copy, past.scratch) }
        #expect(busy.contains("is in use by process"))
        past.end()
        let restored = try restore(copy, past.scratch)
        #expect(restored.knownUntil < restored.at)
        let aside = try #require(restored.replaced)
        #expect(!FileManager.default.fileExists(atPath: aside + "-wal"), "its log is in it")
        #expect(try count("SELECT count(*) FROM opened", in: aside) == 42)
        try past.reopen()
        #expect(try past.count("opened") == 12)
        let gaps = try Database(path: past.path, mode: .readOnly).query(
            "SELECT from_at, to_at FROM notes WHERE kind = 'gap' AND detail = 'restored'"
        ) { (row) throws(SQLiteError) in [try row.integer(0), try row.integer(1)] }
        #expect(gaps.count == 1 && gaps[0][0] == restored.knownUntil.microseconds)
        #expect(try past.store.audit().contains { $0.action == "restore" && $0.actor == "alice" })
        let closings = try count(
            "SELECT count(*) FROM closed WHERE connection <= 2 AND reason = 'server-crash'", in: past.path)
        #expect(closings == Int64(open.count), "what was open then is closed")
        try past.hour(6)
        past.end()
        // The note alone could have been written to cover that an end was cut off.
        let doubted = try #require(try past.verify(anchors: anchors).fault)
        let first = try #require(doubted.id)
        #expect(doubted.table == "seals" && doubted.words.contains("--restored \(first)"), "\(doubted)")
        var verifier = try past.verifier()
        verifier.anchors = anchors
        verifier.restored = [first]
        let report = try verifier.run()
        #expect(report.fault == nil, "\(String(describing: report.fault))")
        #expect(report.anchorsReplaced > 0 && report.anchors > 0 && report.sealsReplaced > 0)
        #expect(try past.verify().sealsReplaced == report.sealsReplaced, "said without anchors too")
        // The seals that the backup never had are missing for a reason, and its note is held by the chain.
        try past.tamper {
            try $0.execute("UPDATE notes SET detail = 'server-stop' WHERE detail = 'restored'")
        }
        #expect(try past.verify().fault?.table == "notes")
    }

    @Test func `a backup takes the place of a database that is broken or gone`() throws {
        let past = try Past()
        try past.hour(0, connections: 1_000)
        let copy = past.scratch.path("copy.db")
        try backUp(past.scratch.directory, to: copy)
        past.end()
        try damage(past.path)
        let broken = try restore(copy, past.scratch)
        #expect(FileManager.default.fileExists(atPath: try #require(broken.replaced)))
        #expect(try past.verify().fault == nil)
        try FileManager.default.removeItem(atPath: past.path)
        #expect(try restore(copy, past.scratch).replaced == nil)
        #expect(try past.verify().fault == nil)
    }

    @Test func `an exchange that fails or ends half-way leaves the database its log`() throws {
        let past = try Past()
        try past.hour(0)
        // The log is beside, as after a kill.
        let killed = try past.scratch.killed()
        let path = killed.path(Store.fileName)
        let log = try Data(contentsOf: URL(filePath: path + "-wal"))
        #expect(log.count > 4_096)
        // The process ended before the backup was in its place.
        let aside = path + ".replaced-20260822T091403Z"
        #expect(link(path, aside) == 0 && rename(path + "-wal", aside + "-wal") == 0)
        try killed.store().close()
        #expect(try killed.rows("SELECT count(*) FROM opened", columns: 1) == ["10"])
        // Somebody reads, so the log cannot be brought in; and the backup cannot be named.
        let broken = try past.scratch.killed()
        let other = broken.path(Store.fileName)
        let reader = try Database(path: other, mode: .readOnly)
        try reader.execute("BEGIN")
        #expect(try reader.pragma("SELECT count(*) FROM opened") == 10)
        let left = try Data(contentsOf: URL(filePath: other + "-wal"))
        _ = refused(.io) { () throws(RecordsError) in
            try Restore.exchange(other, with: broken.path("nothing"), .now)
        }
        #expect(try Data(contentsOf: URL(filePath: other + "-wal")) == left)
        reader.rollBack()
        for scratch in [killed, broken] {
            let names = try FileManager.default.contentsOfDirectory(atPath: scratch.directory)
            #expect(!names.contains { $0.contains(".replaced") }, "\(names)")
        }
    }

    @Test func `the database that is kept aside is whole without a log beside it`() throws {
        let past = try Past()
        try past.hour(0)
        let killed = try past.scratch.killed()
        let path = killed.path(Store.fileName)
        let copy = killed.path("copy.db")
        try backUp(past.scratch.directory, to: copy)
        let aside = try #require(try Restore.exchange(path, with: copy, .now))
        #expect(!FileManager.default.fileExists(atPath: aside + "-wal"))
        #expect(try Database(path: aside, mode: .readOnly).pragma("SELECT count(*) FROM opened") == 10)
    }

    @Test func `what is no sound backup is not put in place`() throws {
        let past = try Past()
        try past.hour(0, connections: 1_000)
        try past.store.addNode("a", tags: ["k": "v"])
        let copy = past.scratch.path("copy.db")
        try backUp(past.scratch.directory, to: copy)
        past.end()
        let before = try Data(contentsOf: URL(filePath: past.path))
        let bad = past.scratch.path("bad.db")
        func expectRefused(
            _ code: RecordsError.Code, _ words: String, _ location: SourceLocation = #_sourceLocation,
            _ make: () throws -> Void
        ) throws {
            try? FileManager.default.removeItem(atPath: bad)
            try make()
            let message = refused(code, location) { () throws(RecordsError) in try restore(bad, past.scratch)
            }
            #expect(words.isEmpty || message.contains(words), "\(message)", sourceLocation: location)
        }
        try expectRefused(.io, "No such file") {}
        try expectRefused(.corrupt, "the file is empty") { try Data().write(to: URL(filePath: bad)) }
        try expectRefused(.corrupt, "not a database of this program") {
            try Data(repeating: 1, count: 9_000).write(to: URL(filePath: bad))
        }
        try expectRefused(.corrupt, "not a database of this program") {
            try Database(path: bad, mode: .create).run(script: "CREATE TABLE strange (a)")
        }
        try expectRefused(.newer, "written by a newer program") {
            try FileManager.default.copyItem(atPath: copy, toPath: bad)
            try Database(path: bad, mode: .readWrite).run(script: "PRAGMA user_version = 99")
        }
        try expectRefused(.corrupt, "") {
            try FileManager.default.copyItem(atPath: copy, toPath: bad)
            try damage(bad)
        }
        try expectRefused(.corrupt, "refers to nothing") {
            try FileManager.default.copyItem(atPath: copy, toPath: bad)
            try Database(path: bad, mode: .readWrite).run(
                script: "PRAGMA foreign_keys = OFF; DELETE FROM nodes")
        }
        #expect(try Data(contentsOf: URL(filePath: past.path)) == before)
        let names = try FileManager.default.contentsOfDirectory(atPath: past.scratch.directory)
        #expect(!names.contains { $0.contains(".restored") || $0.contains(".replaced") }, "\(names)")
    }

    @Test func `a backup that is refused leaves nothing`() throws {
        let past = try Past()
        try past.hour(0)
        let copy = past.scratch.path("copy.db")
        try backUp(past.scratch.directory, to: copy)
        _ = refused(.conflict) { () throws(RecordsError) in try backUp(past.scratch.directory, to: copy) }
        let before = try Data(contentsOf: URL(filePath: copy))
        try past.hour(1)
        _ = refused(.io) { () throws(RecordsError) in
            try Backup.make(of: past.scratch.directory, at: copy, replaces: true) {
                (_) throws(RecordsError) in
                throw RecordsError(.io, "the audit cannot have it")
            }
        }
        #expect(try Data(contentsOf: URL(filePath: copy)) == before)
        try backUp(past.scratch.directory, to: copy, replaces: true)
        #expect(try count("SELECT count(*) FROM opened", in: copy) == 20)
        let names = try FileManager.default.contentsOfDirectory(atPath: past.scratch.directory)
        #expect(!names.contains { $0.contains(".part") }, "\(names)")
    }
}
