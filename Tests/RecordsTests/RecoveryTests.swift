import Foundation
import Records
import SQLite
import Testing

@Suite(.serialized) struct RecoveryTests {
    let scratch = Scratch()

    private static let closed: StaticString =
        "SELECT connection, at, duration, up, down, reason, flags FROM closed ORDER BY connection"

    /// Three seconds before the last heartbeat.
    private let opened = Timestamp(microseconds: Timestamp.now.microseconds)

    /// A server with connections 1 to 4: at work, ended but not written, silent, closed on disk. Killed; what is on disk then.
    private func killedServer() throws -> Scratch {
        let store = try scratch.server()
        let slots = try #require(store.takeSlots())
        let outcomes = Outcomes(store.history)
        let second: UInt64 = 1_000_000_000
        let taken = try (0..<4).map { _ in
            try slots.take(
                id: store.history.newConnectionID(), at: opened, monotonicNanoseconds: 10 * second)
        }
        var ticket = store.history.append((1...4).map { .opened(.sample($0, route: 1, at: opened)) })
        taken[0].counts[0] = 100
        taken[0].counts[1] = 200
        taken[0].counts[2] = 12 * second
        taken[1].counts[0] = 7
        slots.close(taken[1], reason: .targetReset, monotonicNanoseconds: 11 * second)
        ticket = store.history.append([.closed(.sample(4))])
        outcomes.waitForDurable(ticket)
        // Taken, but its opening is not on disk.
        _ = try slots.take(id: store.history.newConnectionID(), at: opened, monotonicNanoseconds: 10 * second)
        slots.countRefusal(.wrongCredential, minute: opened.microseconds)
        slots.countRefusal(.wrongCredential, minute: opened.microseconds)
        slots.heartbeat(at: after(3), monotonicNanoseconds: 13 * second)
        let killed = try scratch.killed()
        store.close()
        return killed
    }

    private func after(_ seconds: Int64) -> Timestamp {
        Timestamp(microseconds: opened.microseconds + seconds * 1_000_000)
    }

    /// Those without an end, silent or not, until the server was last known to live.
    private var recovered: [String] {
        [
            "1|\(after(3).microseconds)|3000000|100|200|server-crash|1",
            "2|\(after(1).microseconds)|1000000|7|0|target-reset|1",
            "3|\(after(3).microseconds)|3000000|0|0|server-crash|1",
        ]
    }

    @Test func `after a kill every connection is closed with the counts of its slot, once`() throws {
        let killed = try killedServer()
        for start in 0..<3 {
            let store = start == 0 ? try killed.store() : try killed.server()
            #expect(try killed.rows(Self.closed, columns: 7).prefix(3) == recovered[...])
            #expect(try killed.rows("SELECT count(*) FROM closed", columns: 1) == ["4"])
            let order: StaticString = "SELECT connection FROM closed WHERE flags = 1 ORDER BY id"
            #expect(try killed.rows(order, columns: 1) == ["2", "1", "3"], "in the order of their ends")
            let notes = try killed.rows(
                "SELECT count, detail, to_at - from_at FROM notes WHERE kind = 'refusals'", columns: 3)
            #expect(notes == ["2|wrong-credential|60000000"])
            store.close()
        }
        #expect(try killed.chainFaults() == [])
    }

    @Test func `the gap after a server that was killed before its first heartbeat begins while it lived`()
        throws
    {
        let store = try scratch.server()
        let killed = try scratch.killed()
        store.close()
        try FileManager.default.removeItem(atPath: killed.path("connections.slots"))
        let death = Timestamp.now.microseconds
        // What it left has no seal yet: the next start says so in the audit, before anything else.
        try killed.server().close()
        let audit = try killed.rows("SELECT action FROM audit WHERE action = 'found-unsealed'", columns: 1)
        #expect(audit.count == 1)
        let gaps = try killed.rows("SELECT from_at FROM notes WHERE kind = 'gap'", columns: 1)
        #expect(gaps.count == 1)
        #expect(gaps.compactMap { Int64($0) }.allSatisfy { $0 <= death })
    }

    @Test func `a session that was idle for days is found at every moment until the crash`() throws {
        let day: Int64 = 86_400_000_000
        let now = Timestamp.now
        func ago(_ days: Int64) -> Timestamp { Timestamp(microseconds: now.microseconds - days * day) }
        let store = try scratch.server()
        let slots = try #require(store.takeSlots())
        let outcomes = Outcomes(store.history)
        let idle = (0..<20).map { _ in store.history.newConnectionID() }
        for id in idle {
            // Silent from its first second on.
            let slot = try slots.take(id: id, at: ago(5), monotonicNanoseconds: 1_000_000_000)
            slot.counts[2] = 2_000_000_000
        }
        store.history.append([.route(.sample(store.history.newRouteID()))])
        store.history.append(idle.map { .opened(.sample($0, route: 1, at: ago(5))) })
        for days in [Int64](1...4).reversed() {
            let ids = (0..<50).map { _ in store.history.newConnectionID() }
            store.history.append(ids.map { .opened(.sample($0, route: 1, at: ago(days))) })
            store.history.append(
                ids.map {
                    .closed(
                        Closed(
                            connection: $0, at: ago(days), durationMicroseconds: 0, up: 1, down: 1,
                            reason: .clientEOF))
                })
        }
        outcomes.waitForDurable(store.history.append([.note(.gap(.clockStep, from: now, to: now))]))
        slots.heartbeat(
            at: now, monotonicNanoseconds: 1_000_000_000 + UInt64(5 * day) * 1_000)
        let killed = try scratch.killed()
        store.close()
        let next = try killed.server()
        for (days, hours) in [(4, 1), (3, 1), (2, 1), (1, 1), (0, 1)] as [(Int64, Int64)] {
            var filter = ConnectionFilter()
            filter.at = Timestamp(microseconds: ago(days).microseconds - hours * day / 24)
            filter.open = [:]
            let page = try next.read { [filter] (reader) throws(RecordsError) in
                try reader.history(filter, order: .oldest)
            }
            let ids = page.entries.compactMap { entry -> Int64? in
                if case .connection(let record) = entry { record.id } else { nil }
            }
            #expect(ids == idle, "\(days) days ago")
        }
        next.close()
    }

    @Test
    func `a process that dies after it recovered and before it emptied the file recovers nothing twice`()
        throws
    {
        let killed = try killedServer()
        let before = try Data(contentsOf: URL(filePath: killed.path("connections.slots")))
        try killed.server().close()
        try before.write(to: URL(filePath: killed.path("connections.slots")))
        let store = try killed.server()
        #expect(try killed.rows("SELECT count(*) FROM closed", columns: 1) == ["4"])
        #expect(try killed.rows("SELECT count(*) FROM notes WHERE kind = 'refusals'", columns: 1) == ["1"])
        store.close()
    }

    @Test(arguments: [nil, "", "not a slot file", String(repeating: "x", count: 8_192)])
    func `without its slot file a connection is closed without counts`(content: String?) throws {
        let killed = try killedServer()
        try FileManager.default.removeItem(atPath: killed.path("connections.slots"))
        if let content { try Data(content.utf8).write(to: URL(filePath: killed.path("connections.slots"))) }
        let store = try killed.server()
        let rows = try killed.rows(
            "SELECT connection, up, down, reason, flags FROM closed WHERE connection < 4 ORDER BY connection",
            columns: 5)
        #expect(rows == (1...3).map { "\($0)|0|0|server-crash|1" })
        // Never before its opening.
        let early = "SELECT count(*) FROM history WHERE closed_at < opened_at OR duration < 0" as StaticString
        #expect(try killed.rows(early, columns: 1) == ["0"])
        #expect(store.history.newConnectionID() == 5)
        store.close()
    }

    @Test func `after a kill also what ran without a slot is closed, however long ago it was opened`() throws
    {
        let store = try scratch.server()
        let slots = try #require(store.takeSlots())
        let outcomes = Outcomes(store.history)
        let ids = (0..<4).map { _ in store.history.newConnectionID() }
        for id in ids[0..<2] { slots.followWithoutSlot(id) }
        _ = try slots.take(id: ids[2], at: opened, monotonicNanoseconds: 1)
        let ended = try slots.take(id: ids[3], at: opened, monotonicNanoseconds: 1)
        store.history.append(ids.map { .opened(.sample($0, route: 1, at: opened)) })
        outcomes.waitForDurable(store.history.append([.closed(.sample(ids[0])), .closed(.sample(ids[3]))]))
        slots.forgetWithoutSlot(ids[0])
        slots.free(ended)
        // Long enough to look for the oldest that runs.
        for second in 1...200 {
            slots.heartbeat(at: after(3), monotonicNanoseconds: UInt64(second) * 1_000_000_000)
        }
        let killed = try scratch.killed()
        store.close()
        let next = try killed.server()
        let open: StaticString = "SELECT id FROM opened WHERE id NOT IN (SELECT connection FROM closed)"
        #expect(try killed.rows(open, columns: 1) == [])
        let closed = try killed.rows(
            "SELECT connection, reason FROM closed WHERE flags = 1 ORDER BY connection", columns: 2)
        #expect(closed == ["\(ids[1])|server-crash", "\(ids[2])|server-crash"])
        #expect(next.history.newConnectionID() == ids[3] + 1)
        next.close()
    }

    @Test func `a server's life is noted: start, stop, and the gaps between`() throws {
        let life: StaticString =
            "SELECT kind, coalesce(detail, '') FROM notes WHERE kind IN ('start', 'stop', 'gap') ORDER BY id"
        try scratch.server().close()
        // An operator's program is no server.
        let store = try scratch.store()
        try store.addNode("a")
        store.close()
        try scratch.server().close()
        let running = try scratch.server()
        let slots = try #require(running.takeSlots())
        let heartbeat = Timestamp(microseconds: Timestamp.now.microseconds + 5_000_000)
        slots.heartbeat(at: heartbeat, monotonicNanoseconds: 1)
        let killed = try scratch.killed()
        running.close()
        try killed.store().close()
        try killed.server().close()
        let notes = try killed.rows(life, columns: 2)
        let kinds = notes.map { $0.hasPrefix("start|{") ? "start" : $0 }
        #expect(
            kinds == [
                "start", "stop|", "gap|server-stop", "start", "stop|", "gap|server-stop", "start",
                "gap|server-crash", "start", "stop|",
            ])
        #expect(notes[0].contains("\"version\":\"1.0.0\"") && notes[0].contains("\"boot\":\""))
        let crash = try killed.rows("SELECT from_at FROM notes WHERE detail = 'server-crash'", columns: 1)
        #expect(crash == ["\(heartbeat.microseconds)"], "from the last heartbeat")
        let stops = try killed.rows(
            """
            SELECT (SELECT at FROM notes AS s WHERE s.kind = 'stop' AND s.id = g.id - 1) = from_at, to_at = at
            FROM notes AS g WHERE detail = 'server-stop'
            """, columns: 2)
        #expect(stops == ["1|1", "1|1"])
    }

    @Test func `a lost heartbeat leaves the time of the last commit`() throws {
        let store = try scratch.server()
        let outcomes = Outcomes(store.history)
        let at = Timestamp(microseconds: Timestamp.now.microseconds + 1_000_000)
        outcomes.waitForDurable(store.history.append([.opened(.sample(1, route: 1, at: at))]))
        let killed = try scratch.killed()
        try FileManager.default.removeItem(atPath: killed.path("connections.slots"))
        try killed.server().close()
        let rows = try killed.rows(
            "SELECT from_at, (SELECT at FROM closed) FROM notes WHERE detail = 'server-crash'", columns: 2)
        #expect(rows == ["\(at.microseconds)|\(at.microseconds)"])
    }
}
