import Records
import Testing

/// A limit of the history's size, and what no pruning makes smaller.
struct RetentionTests {
    @Test func `what is never pruned is measured, and does not empty the history`() throws {
        let past = try Past()
        for hour in 0..<30 { try past.hour(hour, connections: 400) }
        let connections = try past.usedBytes()
        #expect(past.store.historyUse == nil)
        // A fifth as much of what stays as there is of what goes: a page a row.
        let detail = String(repeating: "x", count: 4_000)
        let rows = Int(connections / 5 / 4_096)
        try past.store.change { (transaction) throws(RecordsError) in
            for _ in 0..<rows { try transaction.audit("test", detail: detail) }
        }
        let kept = try past.usedBytes() - connections
        // Room for half of the connections, beside all the rest.
        let enough = try past.store.prune(downTo: kept + connections / 2, actor: .server)
        #expect(enough.opened > 3_000 && enough.opened < 9_000, "\(enough)")
        let use = try #require(past.store.historyUse)
        #expect(
            use.keptBytes >= kept && use.keptBytes < kept + connections / 8, "\(use.keptBytes), not \(kept)")
        #expect(use.isTight && !use.isExceeded)
        // Less than what stays alone: half of it is the connections' nevertheless.
        let maximum = kept * 4 / 5
        let left = try past.count("opened")
        let less = try past.store.prune(downTo: maximum, actor: .server)
        let after = try past.count("opened")
        #expect(
            less.opened == left - after && after >= 400 && after < left * 3 / 4, "\(left), then \(after)")
        #expect(try #require(past.store.historyUse).isExceeded)
        #expect(
            try past.store.prune(downTo: maximum, actor: .server).opened == 0, "and not one more each hour")
        #expect(try past.verify().fault == nil)
    }

    @Test func `the room of a limit warns at a quarter, and says at half that it is not kept`() {
        let use = { (kept: Int64) in HistoryUse(maximumBytes: 1_000, keptBytes: kept) }
        #expect(
            [0, 250, 251, 500, 501, 5_000].map { use($0).isTight } == [false, false, true, true, true, true])
        #expect([0, 500, 501, 5_000].map { use($0).isExceeded } == [false, false, true, true])
        #expect([0, 300, 500, 501, 5_000].map { use($0).roomBytes } == [1_000, 700, 500, 500, 500])
    }
}
