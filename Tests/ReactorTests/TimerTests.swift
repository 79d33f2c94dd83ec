import Reactor
import Simulation
import Testing

@Suite struct TimerTests {
    private let world = SimulatedWorld(seed: 7)
    private let loop: EventLoop

    init() throws {
        loop = EventLoop(poller: world, network: world, mailbox: try Mailbox())
    }

    @Test func `timers fire when they are due and in order, whatever was set and cancelled`() {
        for seed in 1...20 as ClosedRange<UInt64> {
            var random = SeededRandom(seed: seed)
            var expected: [(due: UInt64, name: Int)] = []
            var fired: [(at: UInt64, name: Int)] = []
            var timers: [LoopTimer] = []
            for name in 0..<500 {
                let delay = UInt64(random.size(bits: 30))
                expected.append((loop.now + delay, name))
                timers.append(loop.schedule(after: delay) { [loop] in fired.append((loop.now, name)) })
                // Some are cancelled, some twice, from anywhere in the heap.
                guard random.oneIn(3) else { continue }
                let gone = random.below(timers.count)
                loop.cancel(timers[gone])
                loop.cancel(timers[gone])
                expected.removeAll { $0.name == gone }
            }
            let isOver = world.run(loop, within: 10_000_000_000) { fired.count == expected.count }
            #expect(isOver, "seed \(seed): \(fired.count) of \(expected.count)")
            expected.sort { $0.due < $1.due }
            #expect(Set(fired.map(\.name)) == Set(expected.map(\.name)))
            for (timer, wanted) in zip(fired, expected) {
                // Never early; late by the turn at most.
                #expect(timer.at >= wanted.due && timer.at < wanted.due + 1_000_000)
            }
            #expect(fired.map(\.at) == fired.map(\.at).sorted())
        }
    }

    @Test func `a cancelled timer lets go of what it holds, and one that fired too`() {
        final class Held {}
        weak var cancelled: Held?
        weak var fired: Held?
        let timers = {
            let (one, other) = (Held(), Held())
            (cancelled, fired) = (one, other)
            return (
                loop.schedule(after: 1_000) { withExtendedLifetime(one) {} },
                loop.schedule(after: 1_000) { withExtendedLifetime(other) {} }
            )
        }()
        loop.cancel(timers.0)
        #expect(cancelled == nil)
        world.run(loop, for: 1_000_000)
        #expect(fired == nil)
        // Cancelling what has fired is nothing.
        loop.cancel(timers.1)
        loop.cancel(nil)
    }

    @Test func `a timer that sets itself again at once leaves the loop to others`() {
        var count = 0
        func again() {
            count += 1
            loop.schedule(after: 0) { again() }
        }
        again()
        var isHeard = false
        loop.mailbox.post { _ in }
        world.after(1_000_000) { isHeard = true }
        _ = world.run(loop, within: 10_000_000, turns: 5_000) { isHeard }
        #expect(isHeard)
        #expect(count > 1)
    }

    @Test func `a time that no clock reaches is no trap`() {
        let timer = loop.schedule(after: .max) { Issue.record("fired") }
        world.run(loop, for: 1_000_000)
        loop.cancel(timer)
    }

    @Test func `timers by the second fire together, never early and late by a second at most`() {
        let start = loop.now
        var fired: [UInt64] = []
        for tenth in 1...20 as ClosedRange<UInt64> {
            loop.scheduleBySecond(after: tenth * 100_000_000) { [loop] in
                let late = Int64(loop.now - start) - Int64(tenth * 100_000_000)
                #expect((0..<1_001_000_000).contains(late))
                fired.append(loop.now)
            }
        }
        world.run(loop, for: 4_000_000_000)
        #expect(fired.count == 20)
        #expect(Set(fired).count <= 3)
        let never = loop.scheduleBySecond(after: .max) { Issue.record("fired") }
        world.run(loop, for: 1_000_000)
        loop.cancel(never)
    }

    @Test func `timers may cancel and set others while they fire`() {
        var fired: [String] = []
        var other: LoopTimer?
        loop.schedule(after: 10) { [loop] in
            fired.append("first")
            loop.cancel(other)
            loop.schedule(after: 10) { fired.append("third") }
        }
        other = loop.schedule(after: 11) { fired.append("never") }
        world.run(loop, for: 1_000_000)
        #expect(fired == ["first", "third"])
    }
}
