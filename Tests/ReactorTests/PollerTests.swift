import Glibc
import Reactor
import Testing

@Suite struct PollerTests {
    /// Two ends of a socket that does not block.
    private func pair() throws -> (Int32, Int32) {
        var ends: [Int32] = [0, 0]
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        try #require(socketpair(AF_UNIX, type, 0, &ends) == 0)
        return (ends[0], ends[1])
    }

    private final class Handler: ReadinessHandler {
        var seen: [Readiness] = []
        var onReady: (() -> Void)?
        func ready(_ events: Readiness) {
            seen.append(events)
            onReady?()
        }
    }

    @Test func `an event for a descriptor that was closed and opened again in the same turn is dropped`()
        throws
    {
        let poller = try EpollPoller()
        let (a1, a2) = try pair()
        let (b1, b2) = try pair()
        let handlers = [Handler(), Handler()]
        poller.add(a1, handlers[0], .readableAndWritable)
        poller.add(b1, handlers[1], .readableAndWritable)
        let new = Handler()
        var reopened: (Int32, Int32)?
        // Whichever of the two is told first closes the other, whose number a new socket gets.
        for (me, other) in [(0, b1), (1, a1)] {
            handlers[me].onReady = {
                guard reopened == nil else { return }
                poller.remove(other)
                close(other)
                guard let opened = try? self.pair() else {
                    Issue.record("no descriptors")
                    return
                }
                reopened = opened
                #expect(opened.0 == other || opened.1 == other)
                poller.add(other, new, .readableAndWritable)
            }
        }
        for end in [a2, b2] { #expect(write(end, "x", 1) == 1) }
        poller.wait(deadline: 0)
        poller.dispatch()
        #expect(handlers[0].seen.count + handlers[1].seen.count == 1, "the other's event was dropped")
        #expect(new.seen == [], "the new socket was told of the old one's bytes")
        poller.wait(deadline: 0)
        poller.dispatch()
        #expect(new.seen == [.writable])
    }

    @Test func `what is removed is told nothing more`() throws {
        let poller = try EpollPoller()
        let (one, other) = try pair()
        let handler = Handler()
        poller.add(one, handler, .readableLevel)
        #expect(write(other, "x", 1) == 1)
        poller.wait(deadline: 0)
        poller.remove(one)
        poller.dispatch()
        #expect(handler.seen == [])
    }

    @Test func `level-triggered tells again, edge-triggered once`() throws {
        let poller = try EpollPoller()
        let (a1, a2) = try pair()
        let (b1, b2) = try pair()
        let (level, edge) = (Handler(), Handler())
        poller.add(a1, level, .readableLevel)
        poller.add(b1, edge, .readableAndWritable)
        for end in [a2, b2] { #expect(write(end, "x", 1) == 1) }
        for _ in 0..<3 {
            poller.wait(deadline: 0)
            poller.dispatch()
        }
        #expect(level.seen.count == 3)
        #expect(edge.seen.count == 1)
    }

    @Test func `who has moved much sleeps at once, however closely events follow`() throws {
        let poller = try EpollPoller()
        let (one, other) = try pair()
        poller.add(one, Handler(), .readableLevel)
        #expect(write(other, "x", 1) == 1)
        // Each of these waits is short. On a machine that stops for a moment between two, they begin anew.
        for _ in 0..<10_000 where poller.looks < 20 { poller.wait(deadline: nil) }
        #expect(poller.looks == 20)
        for _ in 0..<50 { poller.wait(deadline: nil, after: .bulk) }
        #expect(poller.looks == 20 && poller.offers == 0)
        for _ in 0..<50 { poller.wait(deadline: nil, after: .bulkBesideTalk) }
        #expect(poller.looks == 20 && poller.offers == 50)
    }

    @Test func `the processor is offered without a wait too, and only beside talk`() throws {
        let poller = try EpollPoller()
        for load in [TurnLoad.light, .bulk] { poller.wait(deadline: 0, after: load) }
        #expect(poller.offers == 0)
        poller.wait(deadline: 0, after: .bulkBesideTalk)
        #expect(poller.offers == 1)
    }

    @Test func `a wait ends at its deadline and not before`() throws {
        let poller = try EpollPoller()
        let began = poller.now()
        poller.wait(deadline: began + 20_000_000)
        #expect(poller.now() >= began + 20_000_000)
        poller.wait(deadline: began)
    }
}

extension EpollPoller {
    fileprivate func wait(deadline: UInt64?) { wait(deadline: deadline, after: .light) }
}
