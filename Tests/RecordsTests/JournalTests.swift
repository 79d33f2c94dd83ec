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

        init() throws {
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

        func waitForRecorded(_ ticket: UInt64) {
            outcomes.wait { if case .recorded(let through) = $0 { through >= ticket } else { false } }
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
        held.open(100)
        held.waitForRecorded(held.open())
        #expect(try held.scratch.rows(Self.openings, columns: 1) == ["1"])
        let killed = try held.scratch.killed()
        try held.release()
        held.store.close()
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
    @Test(arguments: [0, 9, 15, 17, 47, 48, 60, 600, 4_000])
    func `a block that is not whole tells of nothing`(place: Int) throws {
        let held = try Held()
        held.waitForRecorded(held.open(72))
        let killed = try held.scratch.killed()
        try held.release()
        held.store.close()
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
    func `a journal that was cut short, or belongs to another database, stops no start`(bytes: Int) throws {
        let held = try Held()
        held.waitForRecorded(held.open())
        let killed = try held.scratch.killed()
        try held.release()
        held.store.close()
        let journal = try Data(contentsOf: URL(filePath: killed.path(Self.name)))
        try journal.prefix(bytes).write(to: URL(filePath: killed.path(Self.name)))
        try killed.server().close()
        #expect(try killed.rows(Self.openings, columns: 1) == (bytes < 4_096 ? ["1"] : ["1", "2"]))
        // It knows no route 1.
        let stranger = Scratch()
        try stranger.store().close()
        try journal.write(to: URL(filePath: stranger.path(Self.name)))
        try stranger.server().close()
        #expect(try stranger.rows(Self.openings, columns: 1) == [])
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
        held.waitForRecorded(held.open())
        held.store.close()
        #expect(try held.scratch.rows(Self.openings, columns: 1) == ["1", "2", "4"])
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
        // 512 blocks of 72, written 64 at a time.
        let before = held.log.append([])
        let last = held.open(50_000)
        held.waitForRecorded(before + 512 * 72)
        let killed = try held.scratch.killed()
        try held.release()
        held.outcomes.waitForDurable(last)
        #expect(held.recorded(beforeDurable: last) <= last)
        // Once more round the ring.
        held.waitForRecorded(held.open(1_000))
        held.store.close()
        let count: StaticString = "SELECT count(*), max(id) FROM opened"
        #expect(try held.scratch.rows(count, columns: 2) == ["51001|51001"])
        try killed.store().close()
        #expect(try killed.rows(count, columns: 2) == ["36865|36865"])
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
