import Foundation
import Glibc
import Records
import SQLite
import Synchronization
import Testing

@Suite(.serialized) struct FailureTests {
    let scratch = Scratch()

    private static let connections: StaticString = "SELECT connection FROM closed ORDER BY connection"
    private static let openings: StaticString = "SELECT id FROM opened ORDER BY id"

    /// From another connection, as a fault that comes and goes: openings, or closings, cannot be written.
    private func setFault(_ isSet: Bool, ofClosings: Bool = false) throws {
        let database = try Database(path: scratch.path(Store.fileName), mode: .readWrite)
        try database.run(
            script: !isSet
                ? "DROP TRIGGER fault"
                : ofClosings
                    ? "CREATE TRIGGER fault BEFORE INSERT ON closed BEGIN SELECT abs(-9223372036854775807 - 1); END"
                    : "CREATE TRIGGER fault BEFORE INSERT ON opened BEGIN SELECT RAISE(ABORT, 'fault'); END")
    }

    @Test func `an opening that cannot be written is dropped, its closing is passed over, all else is kept`()
        throws
    {
        let store = try scratch.server()
        let log = store.history
        let outcomes = Outcomes(log)
        outcomes.waitForDurable(log.append([.opened(.sample(1, route: 1)), .opened(.sample(2, route: 1))]))
        try setFault(true)
        let ticket = log.append([
            .route(.sample(1)), .opened(.sample(3, route: 1)), .closed(.sample(1)),
            .opened(.sample(4, route: 1)),
            .closed(.sample(3)),
        ])
        outcomes.waitForFailed(ticket)
        outcomes.waitForHealed()
        try setFault(false)
        let last = log.append([.closed(.sample(4)), .opened(.sample(5, route: 1)), .closed(.sample(2))])
        outcomes.waitForDurable(last)
        #expect(try scratch.rows(Self.openings, columns: 1) == ["1", "2", "5"])
        #expect(try scratch.rows(Self.connections, columns: 1) == ["1", "2"])
        #expect(try scratch.rows("SELECT id FROM routes", columns: 1) == ["1"])
        let gaps = try scratch.rows(
            "SELECT detail, to_at >= from_at FROM notes WHERE kind = 'gap' ORDER BY id", columns: 2)
        #expect(gaps == ["audit-failure|1"])
        #expect(!store.health.isFailing)
        #expect(try scratch.chainFaults() == [])
        // In the order in which they are to be understood.
        let told: [String] = outcomes.all.compactMap { outcome in
            switch outcome {
            // The last opening's, in the journal.
            case .recorded: nil
            case .durable(let through): "durable \(through)"
            case .failed(let through, _): "failed \(through)"
            case .healed: "healed"
            }
        }
        #expect(told == ["durable 2", "failed 7", "durable 7", "healed", "durable 10"])
    }

    @Test func `while another has the database nothing is recorded, afterwards all goes on`() throws {
        let store = try scratch.server()
        let log = store.history
        let outcomes = Outcomes(log)
        outcomes.waitForDurable(log.append([.opened(.sample(1, route: 1))]))
        let other = try Database(path: scratch.path(Store.fileName), mode: .readWrite)
        try other.execute("BEGIN IMMEDIATE")
        // Fails after SQLite's 5 seconds.
        outcomes.waitForFailed(log.append([.opened(.sample(2, route: 1)), .closed(.sample(1))]))
        #expect(store.health.isFailing && store.health.reason?.contains("locked") == true)
        // Later ones at once, or as soon as the try that runs has ended.
        outcomes.waitForFailed(log.append([.opened(.sample(3, route: 1))]))
        try other.execute("ROLLBACK")
        outcomes.waitForHealed()
        #expect(try scratch.rows(Self.openings, columns: 1) == ["1"])
        #expect(try scratch.rows(Self.connections, columns: 1) == ["1"])
        let failed = try store.change { (t) throws(RecordsError) in try t.reader.nodes().count }
        #expect(failed == 0)
        #expect(try scratch.chainFaults() == [])
    }

    @Test func `a stop writes all that was kept, however much it is`() throws {
        let store = try scratch.server()
        let log = store.history
        let outcomes = Outcomes(log)
        // More than the tries that may come between the fault's end and the store's.
        let count: Int64 = 40_000
        outcomes.waitForDurable(log.append((1...count).map { .opened(.sample($0, route: 1)) }))
        try setFault(true, ofClosings: true)
        outcomes.waitForFailed(log.append((1...count).map { .closed(.sample($0)) }))
        try setFault(false)
        store.close()
        #expect(try scratch.rows("SELECT count(*) FROM closed", columns: 1) == ["40000"])
        #expect(try scratch.rows("SELECT count(*) FROM notes WHERE kind = 'stop'", columns: 1) == ["1"])
        #expect(try scratch.chainFaults() == [])
    }

    @Test(arguments: ["goproxy.db", "goproxy.db-wal"])
    func `a file that goes while nothing is written is noticed`(name: String) throws {
        let store = try scratch.server()
        try store.addNode("a")
        let lost = DispatchSemaphore(value: 0)
        let calls = Mutex<[RecordsError]>([])
        store.onLost = { error in
            calls.withLock { $0.append(error) }
            lost.signal()
        }
        let outcomes = Outcomes(store.history)
        try FileManager.default.moveItem(atPath: scratch.path(name), toPath: scratch.path("away"))
        #expect(lost.wait(timeout: .now() + 10) == .success)
        #expect(store.health.isLost && store.health.isFailing)
        outcomes.waitForFailed(store.history.append([.opened(.sample(1, route: 1))]))
        _ = refused(.io) { () throws(RecordsError) in try store.addNode("b") }
        store.close()
        #expect(calls.withLock { $0.map(\.message) }.count == 1)
    }

    @Test(.enabled(if: SmallDisk.isPossible, "needs the right to mount"))
    func `on a full disk openings are refused, what runs is recorded, and with room again all goes on`()
        throws
    {
        let disk = try SmallDisk(kibibytes: 4_096)
        let store = try Store.open(directory: disk.path, server: "1.0.0")
        let slots = try #require(store.takeSlots())
        let log = store.history
        let outcomes = Outcomes(log)
        let ballast = "\(disk.path)/ballast"
        #expect(FileManager.default.fileExists(atPath: ballast))
        outcomes.waitForDurable(log.append((1...1_000).map { .opened(.sample($0, route: 1)) }))
        try disk.fill()
        // Until the log of writes has no more room.
        var next: Int64 = 1_001
        while !store.health.isFailing {
            let through = log.append((next..<next + 100).map { .opened(.sample($0, route: 1)) })
            next += 100
            outcomes.wait {
                switch $0 {
                case .durable(let ticket), .failed(let ticket, _): ticket >= through
                case .recorded, .healed: false
                }
            }
            #expect(next < 200_000)
        }
        #expect(!FileManager.default.fileExists(atPath: ballast), "its room is for what runs")
        // The closings of connections that run are on disk, though nothing new is taken.
        let closings = log.append((1...1_000).map { .closed(.sample($0)) })
        outcomes.waitForDurable(closings)
        outcomes.waitForFailed(log.append([.opened(.sample(next, route: 1))]))
        #expect(throws: RecordsError.self) {
            for number in 0..<2_000_000 {
                _ = try slots.take(id: next + Int64(number), at: .now, monotonicNanoseconds: 1)
            }
        }
        #expect(store.health.isFailing)
        let start = ContinuousClock.now
        try disk.empty()
        outcomes.waitForHealed()
        #expect(ContinuousClock.now - start < .seconds(2))
        #expect(FileManager.default.fileExists(atPath: ballast))
        outcomes.waitForDurable(log.append([.opened(.sample(next + 1, route: 1))]))
        store.close()
        // Every opening that was told durable is there, and no other.
        let database = try Database(path: "\(disk.path)/goproxy.db", mode: .readOnly)
        let ids = Set(
            try database.query("SELECT id FROM opened") { (row) throws(SQLiteError) in try row.integer(0) })
        let closed = try database.query("SELECT connection FROM closed") { (row) throws(SQLiteError) in
            try row.integer(0)
        }
        #expect(Set(closed) == Set(1...1_000) && closed.count == 1_000)
        #expect(ids.isSuperset(of: 1...1_000) && ids.contains(next + 1) && !ids.contains(next))
        #expect(try database.integrityFaults() == [])
    }

    @Test(.enabled(if: SmallDisk.isPossible, "needs the right to mount"))
    func `a start on a full disk is paid by the ballast`() throws {
        let disk = try SmallDisk(kibibytes: 4_096)
        do {
            let store = try Store.open(directory: disk.path, server: "1.0.0")
            let outcomes = Outcomes(store.history)
            outcomes.waitForDurable(store.history.append([.opened(.sample(1, route: 1))]))
            store.close()
        }
        try disk.fill()
        let store = try Store.open(directory: disk.path, server: "1.0.0")
        #expect(!FileManager.default.fileExists(atPath: "\(disk.path)/ballast"))
        store.close()
    }
}

/// A file system of its own in memory.
final class SmallDisk: Sendable {
    let path: String

    /// Whether this process may mount one.
    static let isPossible: Bool = (try? SmallDisk(kibibytes: 64)) != nil

    init(kibibytes: Int) throws {
        path = FileManager.default.temporaryDirectory.appending(path: "small-disk-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        guard mount("tmpfs", path, "tmpfs", 0, "size=\(kibibytes)k,mode=0700") == 0 else {
            rmdir(path)
            throw CocoaError(.fileWriteNoPermission)
        }
    }

    deinit {
        umount2(path, Int32(MNT_DETACH))
        rmdir(path)
    }

    /// To the last block.
    func fill() throws {
        let file = open("\(path)/filler", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        defer { close(file) }
        let block = [UInt8](repeating: 1, count: 4_096)
        while write(file, block, block.count) > 0 {}
        #expect(errno == ENOSPC)
    }

    func empty() throws { try FileManager.default.removeItem(atPath: "\(path)/filler") }
}
