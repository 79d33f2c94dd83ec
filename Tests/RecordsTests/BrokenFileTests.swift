import Foundation
import Records
import SQLite
import Testing

/// What can befall the files under a store: each is said in words, and nothing is lost in silence.
struct BrokenFileTests {
    @Test func `a page that was overwritten is seen by the doctor's facts, the backup and the verification`()
        throws
    {
        let past = try Past()
        try past.hour(0, connections: 3_000)
        past.end()
        try damage(past.path)
        let facts = Result { () throws(RecordsError) in try DatabaseFacts(path: past.path) }
        switch facts {
        case .success(let facts): #expect(!facts.faults.isEmpty)
        case .failure(let error): #expect(error.code == .corrupt, "\(error)")
        }
        _ = refused(.corrupt) { () throws(RecordsError) in
            try Backup.make(
                of: past.scratch.directory, at: past.scratch.path("copy.db"), replaces: false
            ) { (_) throws(RecordsError) in }
        }
        #expect(!FileManager.default.fileExists(atPath: past.scratch.path("copy.db")))
        // The store opens and serves, or refuses in words; it does not trap.
        do throws(RecordsError) {
            try past.scratch.store().close()
        } catch {
            #expect(error.code == .corrupt, "\(error)")
        }
    }

    @Test(arguments: ["goproxy.db", "goproxy.db-wal"])
    func `nothing is pruned in a database that went under the store`(name: String) throws {
        let past = try Past()
        try past.hour(0)
        try FileManager.default.moveItem(
            atPath: past.scratch.path(name), toPath: past.scratch.path("elsewhere"))
        let message = refused(.io) { () throws(RecordsError) in
            try past.store.prune(before: Past.hour(2), actor: .server)
        }
        #expect(
            message.contains("was moved, replaced or deleted") || message.contains("cannot open"),
            "\(message)")
    }

    @Test(.enabled(if: SmallDisk.isPossible, "needs the right to mount"))
    func `a full disk stops a pruning and a backup in words; with room both succeed`() throws {
        let disk = try SmallDisk(kibibytes: 12_288)
        let store = try Store.open(directory: disk.path, sealsEverySeconds: 0)
        let outcomes = Outcomes(store.history)
        let route = store.history.newRouteID()
        var ticket = store.history.append([.route(.sample(route))])
        for hour in 0..<4 {
            let ids = (0..<2_000).map { _ in store.history.newConnectionID() }
            ticket = store.history.append(
                ids.map { .opened(.sample($0, route: route, at: Past.hour(hour))) }
                    + ids.map {
                        .closed(
                            Closed(
                                connection: $0, at: Past.hour(hour), durationMicroseconds: 1, up: 1, down: 1,
                                reason: .idle))
                    })
            outcomes.waitForDurable(ticket)
            try store.addNodeTag()
        }
        try disk.fill()
        let message = refused(.io) { () throws(RecordsError) in
            try store.prune(before: Past.hour(3), actor: .server)
        }
        #expect(message.contains("full") || message.contains("disk"), "\(message)")
        let copy = refused(.io) { () throws(RecordsError) in
            try Backup.make(of: disk.path, at: disk.path + "/copy.db", replaces: false) {
                (_) throws(RecordsError) in
            }
        }
        #expect(copy.contains("full") || copy.contains("No space"), "\(copy)")
        let left = try FileManager.default.contentsOfDirectory(atPath: disk.path)
        #expect(!left.contains { $0.contains("copy.db") }, "\(left)")
        try disk.empty()
        // It heals by itself; until then it refuses.
        let end = ContinuousClock.now + .seconds(20)
        var report: PruneReport?
        while report == nil, ContinuousClock.now < end {
            report = try? store.prune(before: Past.hour(3), actor: .server)
        }
        #expect(report != nil)
        _ = try Backup.make(of: disk.path, at: disk.path + "/copy.db", replaces: false) {
            (_) throws(RecordsError) in
        }
        store.close()
        let verified = try ChainVerifier(path: disk.path + "/goproxy.db").run()
        #expect(verified.fault == nil, "\(String(describing: verified.fault))")
        #expect(verified.prunedUntil != nil && verified.leaving == 0)
    }

    @Test(.enabled(if: SmallDisk.isPossible, "needs the right to mount"))
    func `a read-only file system is said in words, and what is there can still be verified`() throws {
        let disk = try SmallDisk(kibibytes: 8_192)
        do {
            let store = try Store.open(directory: disk.path)
            try store.addNode("edge-07")
            store.close()
        }
        #expect(disk.allowWrites(false))
        let message = refused(.io) { () throws(RecordsError) in try Store.open(directory: disk.path) }
        #expect(message.contains("Read-only file system"), "\(message)")
        let facts = try DatabaseFacts(path: disk.path + "/goproxy.db")
        #expect(facts.faults == [] && facts.lastSeal != nil)
        #expect(try ChainVerifier(path: disk.path + "/goproxy.db").run().fault == nil)
        #expect(disk.allowWrites(true))
        try Store.open(directory: disk.path).close()
    }

    /// Made by a program that does not have our limits.
    @Test(arguments: [
        """
        INSERT INTO audit SELECT id + 1, at, actor, uid, action, node, node_name, mapping, before, after, x, chain
        FROM audit, long ORDER BY id DESC LIMIT 1
        """,
        "UPDATE nodes SET version = x FROM long",
    ])
    func `a text of 100 MB in a row is refused by its length, in words, and ends nobody`(attack: String)
        throws
    {
        let past = try Past()
        let (folder, path) = (past.scratch, past.path)
        try past.hour(0)
        try past.store.addNode("edge-07")
        let other = Process()
        other.executableURL = URL(filePath: "/usr/bin/env")
        other.arguments = [
            "python3", "-c",
            """
            import sqlite3, sys
            database = sqlite3.connect(sys.argv[1], timeout=60)
            database.execute("CREATE TEMP TABLE long AS SELECT printf('%.*c', 100000000, 'x') AS x")
            database.execute(sys.argv[2])
            database.commit()
            """, path, attack,
        ]
        try other.run()
        other.waitUntilExit()
        try #require(other.terminationStatus == 0)
        var refusals: [String] = []
        func read(_ store: Store) {
            do throws(RecordsError) {
                try store.read { (reader) throws(RecordsError) in
                    _ = try reader.audit(limit: 1_000)
                    _ = try reader.nodes()
                    _ = try reader.history(ConnectionFilter(), order: .oldest, cursor: nil)
                }
            } catch {
                #expect(error.code == .corrupt)
                refusals.append(error.message)
            }
        }
        read(past.store)
        past.end()
        // The next server, an admin's look, the verification.
        do throws(RecordsError) {
            let store = try folder.server()
            read(store)
            store.close()
        } catch {
            refusals.append(error.message)
        }
        switch Result(catching: { () throws(RecordsError) in try ChainVerifier(path: path).run() }) {
        case .success(let report):
            // What a node said of itself last is not of the history.
            #expect((report.fault == nil) == attack.contains("nodes"))
            if let fault = report.fault { refusals.append("\(fault)") }
        case .failure(let error): refusals.append(error.message)
        }
        #expect(refusals.count >= (attack.contains("nodes") ? 2 : 3))
        #expect(
            refusals.allSatisfy { $0.contains("more than 1048576 bytes") && $0.utf8.count < 1_000 },
            "\(refusals)")
    }

    @Test func `an empty file, a stranger's and a newer one are refused by the verification too`() throws {
        let scratch = Scratch()
        let file = scratch.path("x.db")
        func message(_ code: RecordsError.Code) -> String {
            refused(code) { () throws(RecordsError) in try ChainVerifier(path: file).run() }
        }
        #expect(message(.io).contains("No such file"))
        try Data().write(to: URL(filePath: file))
        #expect(message(.corrupt).contains("the file is empty"))
        try Data(repeating: 9, count: 5_000).write(to: URL(filePath: file))
        #expect(message(.corrupt).contains("not a database of this program"))
        try scratch.store().close()
        let database = try Database(path: scratch.path(Store.fileName), mode: .readWrite)
        try database.run(script: "PRAGMA user_version = 77")
        let newer = refused(.newer) { () throws(RecordsError) in
            try ChainVerifier(path: scratch.path(Store.fileName)).run()
        }
        #expect(newer.contains("schema 77"))
    }
}

extension SmallDisk {
    func allowWrites(_ allows: Bool) -> Bool {
        mount(nil, path, nil, UInt(MS_REMOUNT) | (allows ? 0 : UInt(MS_RDONLY)), nil) == 0
    }
}
