import Testing
import Tunnel

@Suite struct LineBudgetTests {
    private static let second: UInt64 = 1_000_000_000

    @Test func `a mapping has ten lines a minute, and leaves the others theirs`() {
        var budget = LineBudget()
        let now = 1_000 * Self.second
        let written = (0..<100).filter { _ in budget.admit(of: 1, mappings: 2, now: now) }.count
        let isOtherWritten = budget.admit(of: 2, mappings: 2, now: now)
        let (leftOut, again) = (budget.takeLeftOut(), budget.takeLeftOut())
        let isWrittenLater = budget.admit(of: 1, mappings: 2, now: now + 60 * Self.second)
        #expect(written == 10 && isOtherWritten && isWrittenLater)
        #expect(leftOut == 90 && again == 0)
    }

    @Test(arguments: [0, 256])
    func `a node has a burst, and then a line every other second`(mappings: Int) {
        var budget = LineBudget()
        let start = 1_000 * Self.second
        let burst = (0..<5_000).filter { _ in budget.admit(mappings: mappings, now: start) }.count
        #expect(burst == 200 + 2 * mappings)
        var later = 0
        for tenth in 1...36_000 {
            if budget.admit(mappings: mappings, now: start + UInt64(tenth) * Self.second / 10) { later += 1 }
        }
        #expect(later == 1_800, "an hour of them")
        #expect(budget.leftOut == 5_000 - burst + 36_000 - later, "each is counted")
    }

    @Test func `reports that answer no plan are taken twenty at once, and then one a second`() {
        var budget = ReportBudget()
        let start = 1_000 * Self.second
        let first = (0..<20).map { _ in budget.take(now: start) }
        let waits = [0, 1, 2].map { budget.take(now: start + $0 * Self.second / 2) }
        let later = budget.take(now: start + 3_600 * Self.second)
        #expect(first.allSatisfy { $0 == 0 } && later == 0)
        #expect(waits == [Self.second, Self.second / 2, 0])
    }

    @Test func `each plan is answered at once, whatever the budget of reports`() throws {
        let peers = try TwoPeers()
        peers.connect()
        for revision in 1...60 as ClosedRange<Int64> {
            peers.server.apply([], revision: revision)
            try peers.until("plan \(revision) is answered", seconds: 1) {
                peers.server.appliedRevision == revision
            }
        }
    }
}
