import Foundation
import Records
import SQLite
import Testing

/// Openings that are on disk before the database has them.
@Suite(.serialized) struct JournalTests {
    private static let openings: StaticString = "SELECT id FROM opened ORDER BY id"
    private static let name = "openings.journal"

    /// A server with route 1 and connection 1 on disk, and who keeps its database from being written meanwhile.
    private struct Held {
        let scratch = Scratch()
        let store: Store
        let outcomes: Outcomes
        let other: Database
        var log: HistoryLog { store.history }
        /// As a copy made before the last start has it.
        var before: Scratch?

        /// `startsLate`: a server wrote the route and connection 1, and was stopped.
        init(startsLate: Bool = false) throws {
            if startsLate {
                let store = try scratch.server()
                let outcomes = Outcomes(store.history)
                outcomes.waitForDurable(
                    store.history.append([.route(.sample(1)), .opened(.sample(1, route: 1))]))
                store.close()
                before = try scratch.killed()
            }
            store = try scratch.server()
            outcomes = Outcomes(store.history)
            let route = store.history.newRouteID()
            let id = store.history.newConnectionID()
            outcomes.waitForDurable(
                store.history.append([.route(.sample(route)), .opened(.sample(id, route: route))]))
            other = try Database(path: scratch.path(Store.fileName), mode: .readWrite)
            try other.execute("BEGIN IMMEDIATE")
        }

        /// Answers the last ticket.
        @discardableResult
        func open(_ count: Int = 1, route: Int64 = 1) -> UInt64 {
            log.append((0..<count).map { _ in .opened(.sample(log.newConnectionID(), route: route)) })
        }

        /// By the journal, or by the database, which may be quicker while nobody keeps it.
        func waitForRecorded(_ ticket: UInt64) {
            outcomes.wait {
                switch $0 {
                case .recorded(let through), .durable(let through): through >= ticket
                case .failed, .healed: false
                }
            }
        }

        /// Until the journal was the quicker one. Answers the last connection.
        func openUntilRecorded() -> Int64 {
            var ticket: UInt64
            var tries = 0
            repeat {
                ticket = open()
                waitForRecorded(ticket)
                tries += 1
            } while recorded(beforeDurable: .max) < ticket && tries < 1_000
            #expect(tries < 1_000, "the journal does not take openings again")
            return log.newConnectionID() - 1
        }

        /// As many as are told as recorded at once, again and again.
        func record(_ count: Int) {
            var left = count
            while left > 0 {
                waitForRecorded(open(min(left, 8)))
                left -= 8
            }
        }

        /// What a kill now leaves.
        func killed() throws -> Scratch {
            let killed = try scratch.killed()
            try release()
            store.close()
            return killed
        }

        func release() throws { try other.execute("ROLLBACK") }

        /// Through which ticket openings were told as recorded before the database was told to have `ticket`.
        func recorded(beforeDurable ticket: UInt64) -> UInt64 {
            var most: UInt64 = 0
            for outcome in outcomes.all {
                switch outcome {
                case .recorded(let through): most = max(most, through)
                case .durable(let through) where through >= ticket: return most
                default: break
                }
            }
            return most
        }
    }

    @Test
    func `an opening that was told before the database had it is there after a kill, and is closed once`()
        throws
    {
        let held = try Held()
        held.record(101)
        #expect(try held.scratch.rows(Self.openings, columns: 1) == ["1"])
        let killed = try held.killed()
        // A program that only changes records takes it too; nothing is taken twice.
        for start in 0..<3 {
            let store = start == 0 ? try killed.store() : try killed.server()
            let all = (1...102).map { "\($0)" }
            #expect(try killed.rows(Self.openings, columns: 1) == all)
            #expect(
                try killed.rows("SELECT connection FROM closed ORDER BY connection", columns: 1) == all)
            #expect(store.history.newConnectionID() == 103)
            store.close()
        }
        #expect(try killed.chainFaults() == [])
        let client = try killed.rows(
            "SELECT DISTINCT hex(client), client_port, route FROM opened", columns: 3)
        #expect(client == ["CB007109|51514|1"])
    }

    /// In each of its sectors, and in each part of its head.
    @Test(arguments: [0, 9, 15, 17, 31, 47, 63, 64, 72, 300, 511])
    func `a block that is not whole tells of nothing`(place: Int) throws {
        let held = try Held()
        held.waitForRecorded(held.open(8))
        let killed = try held.killed()
        let path = killed.path(Self.name)
        var bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
        bytes[place] ^= 0x40
        try Data(bytes).write(to: URL(filePath: path))
        let store = try killed.server()
        #expect(try killed.rows(Self.openings, columns: 1) == ["1"])
        store.close()
        #expect(try killed.chainFaults() == [])
    }

    @Test(arguments: [0, 1, 4_095, 5_000])
    func `a journal that was cut short stops no start`(bytes: Int) throws {
        let held = try Held()
        held.record(1)
        let killed = try held.killed()
        let journal = try Data(contentsOf: URL(filePath: killed.path(Self.name)))
        try journal.prefix(bytes).write(to: URL(filePath: killed.path(Self.name)))
        try killed.server().close()
        #expect(try killed.rows(Self.openings, columns: 1) == (bytes < 4_096 ? ["1"] : ["1", "2"]))
    }

    /// With the same route and connection, or as a copy that was made before.
    @Test(arguments: [false, true])
    func `a journal never adds to another database, and is kept aside`(isCopy: Bool) throws {
        let held = try Held(startsLate: isCopy)
        held.record(3)
        let journal = try Data(contentsOf: URL(filePath: held.scratch.path(Self.name)))
        let killed = try held.killed()
        let other: Scratch
        if let before = held.before { other = before } else { other = try Held().killed() }
        let had = try other.rows(Self.openings, columns: 1)
        try journal.write(to: URL(filePath: other.path(Self.name)))
        let facts = try DatabaseFacts(path: other.path(Store.fileName))
        #expect(facts.strangeOpenings == 3 && facts.waitingOpenings == 0)
        try other.server().close()
        #expect(try other.rows(Self.openings, columns: 1) == had)
        let kept = try FileManager.default.contentsOfDirectory(atPath: other.directory).filter {
            $0.hasPrefix("\(Self.name).kept-")
        }
        #expect(kept.count == 1)
        #expect(try Data(contentsOf: URL(filePath: other.path(try #require(kept.first)))) == journal)
        #expect(try DatabaseFacts(path: killed.path(Store.fileName)).waitingOpenings == 3)
    }

    @Test func `a start does not pass over a journal that it cannot open`() throws {
        let held = try Held()
        held.record(1)
        let killed = try held.killed()
        try FileManager.default.moveItem(atPath: killed.path(Self.name), toPath: killed.path("away"))
        #expect(symlink("away", killed.path(Self.name)) == 0)
        #expect(refused(.io) { () throws(RecordsError) in try killed.server() }.contains(Self.name))
        #expect(try killed.rows(Self.openings, columns: 1) == ["1"])
    }

    @Test func `a backup has what was told as recorded before it, in the same chain`() throws {
        let held = try Held()
        held.record(9)
        let copy = held.scratch.path("copy.db")
        _ = try Backup.make(of: held.scratch.directory, at: copy, replaces: false) {
            (_) throws(RecordsError) in
        }
        try held.release()
        held.outcomes.waitForDurable(held.open())
        held.store.close()
        let chain: StaticString = "SELECT id, chain FROM opened WHERE id <= 10 ORDER BY id"
        let look = { (database: Database) in
            try database.query(chain) { (row) throws(SQLiteError) in
                [try row.integer(0), try row.integer(1)]
            }
        }
        let database = try Database(path: copy, mode: .readOnly)
        let rows = try look(database)
        #expect(rows.count == 10)
        #expect(try rows == look(held.scratch.database()))
        #expect(try database.journalMode() == "delete")
        let report = try ChainVerifier(path: copy).run()
        #expect(report.fault == nil, "\(String(describing: report.fault))")
        let names = try FileManager.default.contentsOfDirectory(atPath: held.scratch.directory)
        #expect(!names.contains { $0.contains(".part") }, "\(names)")
    }

    @Test
    func `a restore keeps the openings with the database that it replaces, and brings them back with it`()
        throws
    {
        let held = try Held()
        let copy = held.scratch.path("copy.db")
        _ = try Backup.make(of: held.scratch.directory, at: copy, replaces: false) {
            (_) throws(RecordsError) in
        }
        held.record(3)
        let killed = try held.killed()
        let first = try Restore.run(
            from: killed.path("copy.db"), into: killed.directory, actor: Store.alice)
        #expect(try killed.rows(Self.openings, columns: 1) == ["1"])
        let aside = try #require(first.replaced)
        #expect(FileManager.default.fileExists(atPath: "\(aside)-openings"))
        let fresh = Scratch()
        _ = try Restore.run(from: aside, into: fresh.directory, actor: Store.alice)
        #expect(try fresh.rows(Self.openings, columns: 1) == ["1", "2", "3", "4"])
        #expect(try fresh.chainFaults() == [])
        // As after a restore that ended before the backup was in its place.
        let other = try held.scratch.killed()
        let name = other.path(Store.fileName)
        #expect(link(name, "\(name).replaced-20260822T091403Z") == 0)
        #expect(rename(other.path(Self.name), "\(name).replaced-20260822T091403Z-openings") == 0)
        try other.store().close()
        #expect(FileManager.default.fileExists(atPath: other.path(Self.name)))
    }

    @Test func `what comes when the store is closing is not told as recorded`() throws {
        let held = try Held()
        held.record(1)
        let (store, ended) = (held.store, DispatchSemaphore(value: 0))
        Thread.detachNewThread {
            store.close()
            ended.signal()
        }
        // Answers when what is appended is not taken any more; the last commit waits for its lock still.
        _ = held.log.waitForCommit(after: .max, milliseconds: 30_000)
        let late = held.open()
        try held.release()
        ended.wait()
        #expect(held.recorded(beforeDurable: .max) < late)
        #expect(try held.scratch.rows(Self.openings, columns: 1) == ["1", "2"])
    }

    @Test func `of a crowd the database takes what comes`() throws {
        let held = try Held()
        let first = held.open(9)
        try held.release()
        held.outcomes.waitForDurable(first)
        #expect(held.recorded(beforeDurable: first) < first)
        _ = held.openUntilRecorded()
        held.store.close()
    }

    @Test
    func `what was told as recorded is kept while the database refuses it, what comes later is dropped`()
        throws
    {
        let held = try Held()
        let log = held.log
        let first = held.open()
        held.waitForRecorded(first)
        // The commit that waits for the lock fails then.
        try held.other.run(
            script: "CREATE TRIGGER fault BEFORE INSERT ON opened BEGIN SELECT RAISE(ABORT, 'fault'); END")
        try held.other.execute("COMMIT")
        held.outcomes.waitForFailed(first)
        held.outcomes.waitForFailed(held.open())
        let closings = log.append([.closed(.sample(2)), .closed(.sample(3)), .closed(.sample(1))])
        try held.other.run(script: "DROP TRIGGER fault")
        held.outcomes.waitForHealed()
        held.outcomes.waitForDurable(closings)
        let last = held.openUntilRecorded()
        held.store.close()
        let kept = [1, 2] + Array(4...last)
        #expect(try held.scratch.rows(Self.openings, columns: 1) == kept.map { "\($0)" })
        let closed: StaticString = "SELECT connection FROM closed ORDER BY connection"
        #expect(try held.scratch.rows(closed, columns: 1) == ["1", "2"])
        #expect(try held.scratch.chainFaults() == [])
    }

    @Test func `an opening whose route is not in the database waits for it, and those behind it wait too`()
        throws
    {
        let held = try Held()
        let route = held.log.append([.route(.sample(2))])
        held.open(route: 2)
        let last = held.open()
        try held.release()
        held.outcomes.waitForDurable(last)
        #expect(held.recorded(beforeDurable: route) < route)
        held.waitForRecorded(held.open(route: 2))
        held.store.close()
        #expect(try held.scratch.rows(Self.openings, columns: 1) == ["1", "2", "3", "4"])
    }

    @Test func `a full journal writes over nothing that the database does not have`() throws {
        let held = try Held()
        // A commit that takes as long as it must.
        try held.release()
        let (began, goesOn) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        held.store.submit { (_) throws(RecordsError) in
            began.signal()
            goesOn.wait()
        }
        began.wait()
        let first = held.log.append([]) + 1
        held.record(512 * 8)
        let before = held.log.append([])
        let last = held.open()
        let killed = try held.scratch.killed()
        goesOn.signal()
        held.outcomes.waitForDurable(last)
        held.store.close()
        // Once the database has those of the oldest block, the journal may be quicker with the last again.
        #expect(held.recorded(beforeDurable: first) == before)
        let count: StaticString = "SELECT count(*), max(id) FROM opened"
        #expect(try held.scratch.rows(count, columns: 2) == ["4098|4098"])
        try killed.store().close()
        #expect(try killed.rows(count, columns: 2) == ["4097|4097"])
    }

    @Test func `it goes round again when the database has all`() throws {
        let held = try Held()
        try held.release()
        held.record(1_000 * 8)
        let killed = try held.scratch.killed()
        held.store.close()
        let all = (1...8_001).map { "\($0)" }
        try killed.store().close()
        #expect(try killed.rows(Self.openings, columns: 1) == all)
    }

    @Test(arguments: [JournalTests.name, Store.fileName])
    func `nothing is told as recorded beside a file that was moved away`(name: String) throws {
        let held = try Held()
        try FileManager.default.moveItem(
            atPath: held.scratch.path(name), toPath: held.scratch.path("away"))
        let ticket = held.open()
        try held.release()
        if name == Self.name {
            held.outcomes.waitForDurable(ticket)
        } else {
            held.outcomes.waitForFailed(ticket)
        }
        #expect(held.recorded(beforeDurable: .max) == 0)
        // Nor later, should it be back: a failure may have taken more than it told of.
        try FileManager.default.moveItem(
            atPath: held.scratch.path("away"), toPath: held.scratch.path(name))
        if name == Self.name { held.outcomes.waitForDurable(held.open()) }
        #expect(held.recorded(beforeDurable: .max) == 0)
        held.store.close()
    }

    @Test func `a clean stop leaves nobody's address in the journal`() throws {
        let held = try Held()
        held.waitForRecorded(held.open())
        let path = held.scratch.path(Self.name)
        #expect(try Data(contentsOf: URL(filePath: path)).contains { $0 != 0 })
        try held.release()
        held.store.close()
        let left = try Data(contentsOf: URL(filePath: path))
        #expect(left.count == 512 * 4_096 && left.allSatisfy { $0 == 0 })
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }
}
