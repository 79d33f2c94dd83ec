import Testing
import Tunnel

@Suite struct DrainRateTests {
    private static let most = 256 << 10
    private static let millisecond: UInt64 = 1_000_000

    /// A link that took 1,000 bytes in 40 ms.
    private func slow() -> DrainRate {
        var rate = DrainRate()
        rate.note(0, isFull: true, now: 0)
        rate.note(1_000, isFull: false, now: 40 * Self.millisecond)
        return rate
    }

    @Test func `what may wait follows what a full link takes`() {
        #expect(DrainRate().queueBytes(most: Self.most) == Self.most)
        #expect(slow().queueBytes(most: Self.most) == 16 << 10)
    }

    @Test func `a rate measured too low is raised by a link that is never full again`() {
        var rate = slow()
        var now = 40 * Self.millisecond
        for _ in 0..<300 {
            now += Self.millisecond
            rate.note(200_000, isFull: false, now: now)
        }
        #expect(rate.queueBytes(most: Self.most) == Self.most)
    }

    @Test func `a link that is full now and then, and one at rest, keep their rate`() {
        var (busy, resting) = (slow(), slow())
        var now = 40 * Self.millisecond
        for step in 1...1_000 {
            now += Self.millisecond
            // What its buffers take between two moments of fullness says nothing about the link.
            busy.note(20_000, isFull: step % 50 == 0, now: now)
            resting.note(step % 100 == 0 ? 64 : 0, isFull: false, now: now)
        }
        #expect(resting.queueBytes(most: Self.most) == 16 << 10)
        #expect(busy.queueBytes(most: Self.most) == 16 << 10)
    }

    @Test func `a link that rests does not become slow by it`() {
        var rate = DrainRate()
        rate.note(0, isFull: true, now: 0)
        // 20 MB/s.
        rate.note(800_000, isFull: false, now: 40 * Self.millisecond)
        for step in 1...1_000 as ClosedRange<UInt64> {
            rate.note(64, isFull: false, now: (40 + step) * Self.millisecond)
        }
        #expect(rate.queueBytes(most: Self.most) == 80_000)
    }
}
