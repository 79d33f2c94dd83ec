import Foundation
import Records
import SQLite
import Synchronization
import Testing

@Suite(.serialized) struct HistoryLogTests {
    let scratch = Scratch()

    @Test func `what is appended is on disk when it is told, row by row and in its order`() throws {
        let store = try scratch.store()
        let log = store.history
        let outcomes = Outcomes(log)
        let route = ConnectionRoute.sample(log.newRouteID())
        let first = log.newConnectionID()
        let second = log.newConnectionID()
        let ticket = log.append([
            .route(route), .opened(.sample(first, route: route.id)),
            .opened(.sample(second, route: route.id, client: .unix)),
            .closed(.sample(first, nodeUp: 10, nodeDown: 20)),
            .note(.gap(.clockStep, from: .init(microseconds: 1), to: .init(microseconds: 2))),
        ])
        #expect(ticket == 5)
        outcomes.waitForDurable(ticket)
        let rows = try scratch.rows(
            "SELECT id, node_name, hex(client), node_up, reason FROM history ORDER BY id", columns: 5)
        #expect(rows == ["\(first)|edge-07|CB007109|10|client-eof", "\(second)|edge-07||-|-"])
        let notes = try scratch.rows("SELECT kind, from_at, to_at, detail FROM notes", columns: 4)
        #expect(notes == ["gap|1|2|clock-step"])
        #expect(try scratch.chainFaults() == [])
    }

    @Test func `memory that is given back between two bursts costs no event`() throws {
        let store = try scratch.server()
        let log = store.history
        let outcomes = Outcomes(log)
        let route = ConnectionRoute.sample(log.newRouteID())
        var ticket = log.append([.route(route)])
        for _ in 0..<3 {
            for _ in 0..<200 {
                let id = log.newConnectionID()
                ticket = log.append([.opened(.sample(id, route: route.id)), .closed(.sample(id))])
                log.giveBackMemory()
            }
            outcomes.waitForDurable(ticket)
            log.giveBackMemory()
        }
        #expect(
            try scratch.rows("SELECT count(*) FROM history WHERE reason IS NOT NULL", columns: 1) == ["600"])
        #expect(try scratch.chainFaults() == [])
    }

    @Test func `events of many threads and changes of many operators: all there, every chain whole`() throws {
        let store = try scratch.server()
        let log = store.history
        let outcomes = Outcomes(log)
        let node = try store.addNode("a")
        let order = Mutex<UInt64>(0)
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            for number in 0..<100 {
                // The id and the append together: the chain is in the order of the ids.
                order.withLock { last in
                    let id = log.newConnectionID()
                    last = log.append([.opened(.sample(id, route: 1)), .closed(.sample(id))])
                }
                guard number % 10 == 0 else { continue }
                _ = try? store.change { (t) throws(RecordsError) in
                    _ = try t.tagNode(node.id, set: ["t\(thread)": "\(number)"])
                    try t.note(.gap(.clockStep, from: t.now, to: t.now))
                    // What is undone must leave the chains too.
                    if number % 20 == 0 { throw RecordsError(.invalid, "no") }
                }
            }
        }
        outcomes.waitForDurable(order.withLock { $0 })
        #expect(try scratch.rows("SELECT count(*) FROM opened", columns: 1) == ["800"])
        #expect(try scratch.rows("SELECT count(*) FROM closed", columns: 1) == ["800"])
        #expect(try scratch.rows("SELECT count(*) FROM notes WHERE kind = 'gap'", columns: 1) == ["40"])
        #expect(try scratch.chainFaults() == [])
        store.close()
        #expect(try scratch.chainFaults() == [])
    }

    @Test func `ids begin above all that is on disk and in the slot file`() throws {
        let store = try scratch.server()
        let outcomes = Outcomes(store.history)
        #expect(store.history.newConnectionID() == 1)
        #expect(store.history.newRouteID() == 1)
        outcomes.waitForDurable(store.history.append([.route(.sample(7)), .opened(.sample(40, route: 7))]))
        let slots = try #require(store.takeSlots())
        #expect(store.takeSlots() == nil)
        _ = try slots.take(id: 90, at: .now, monotonicNanoseconds: 1)
        let after = try scratch.killed()
        let again = try after.server()
        #expect(again.history.newConnectionID() == 91)
        #expect(again.history.newRouteID() == 8)
    }

    @Test func `who follows is woken by a commit, and by the end`() throws {
        let store = try scratch.store()
        let log = store.history
        let before = log.commits
        let waiting = Atomic<Int>(0)
        let seen = Mutex<[UInt64]>([])
        let done = DispatchGroup()
        for _ in 0..<4 {
            // Threads of its own: a pool of two would let only two wait at a time.
            done.enter()
            Thread.detachNewThread {
                waiting.add(1, ordering: .sequentiallyConsistent)
                let number = log.waitForCommit(after: before, milliseconds: 30_000)
                seen.withLock { $0.append(number) }
                done.leave()
            }
        }
        while waiting.load(ordering: .sequentiallyConsistent) < 4 { sched_yield() }
        try store.addNode("a")
        done.wait()
        #expect(seen.withLock { $0 } == [before + 1, before + 1, before + 1, before + 1])
        #expect(log.waitForCommit(after: before, milliseconds: 30_000) == before + 1)
        #expect(log.waitForCommit(after: before + 1, milliseconds: 1) == before + 1)
        store.close()
        #expect(log.waitForCommit(after: before + 1, milliseconds: 30_000) >= before + 1)
    }

    @Test func `what was appended is written before the store closes`() throws {
        let store = try scratch.store()
        for _ in 0..<50 {
            let ids = (0..<400).map { _ in store.history.newConnectionID() }
            store.history.append(ids.map { .opened(.sample($0, route: 1)) })
        }
        store.close()
        #expect(try scratch.rows("SELECT count(*), max(id) FROM opened", columns: 2) == ["20000|20000"])
        // Later ones are gone.
        store.history.append([.opened(.sample(store.history.newConnectionID(), route: 1))])
        #expect(try scratch.chainFaults() == [])
    }

    @Test func `events a second`() throws {
        let store = try scratch.server()
        let log = store.history
        let outcomes = Outcomes(log)
        let total = 40_000
        var ticket: UInt64 = 0
        let time = ContinuousClock().measure {
            for _ in 0..<total / 2_000 {
                let ids = (0..<1_000).map { _ in log.newConnectionID() }
                log.append(ids.map { .opened(.sample($0, route: 1)) })
                ticket = log.append(ids.map { .closed(.sample($0)) })
            }
            outcomes.waitForDurable(ticket)
        }
        let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) / 1e18
        print("history: \(Int(Double(total) / seconds)) events a second in \(outcomes.all.count) commits")
    }
}
