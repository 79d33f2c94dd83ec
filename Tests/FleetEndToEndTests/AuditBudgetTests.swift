import Fleet
import Testing

struct AuditBudgetTests {
    private static let minute: UInt64 = 60_000_000_000

    @Test func `a node has ten entries in ten minutes, and what is left out is counted once`() {
        var budget = AuditBudget()
        let start = 5 * Self.minute
        let written = (0..<1_000).filter { _ in budget.admit(now: start) }.count
        let (soon, later, again) = (
            budget.takeLeftOut(now: start + 9 * Self.minute),
            budget.takeLeftOut(now: start + 11 * Self.minute),
            budget.takeLeftOut(now: start + 11 * Self.minute)
        )
        #expect(written == 10 && soon == 0 && later == 990 && again == 0)
        // The count was one of the ten.
        let more = (0..<1_000).filter { _ in budget.admit(now: start + 11 * Self.minute) }.count
        #expect(more == 9 && budget.leftOut == 991)
        let atTheEnd = budget.takeLeftOut()
        #expect(atTheEnd == 991 && budget.leftOut == 0)
    }
}
