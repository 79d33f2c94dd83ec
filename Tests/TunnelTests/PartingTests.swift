import Mux
import Testing
import Tunnel

/// How long an end waits for what was said before it.
struct PartingTests {
    @Test func `it waits as long as something moves, and ten seconds without`() {
        var now: UInt64 = 1_000
        let parting = Parting(.targetReset, now: now)
        var intervals: [UInt64] = []
        for left in stride(from: 1_000, through: 100, by: -100) {
            now += Parting.patience - 1
            intervals.append(parting.next(left: left, now: now) ?? 0)
        }
        #expect(intervals.first == 500_000 && intervals.last == 256_000_000, "\(intervals)")
        #expect(intervals == intervals.sorted())
        #expect(parting.next(left: 100, now: now + Parting.patience - 1) != nil)
        // More than before is no progress.
        #expect(parting.next(left: 200, now: now + Parting.patience) == nil)
    }
}
