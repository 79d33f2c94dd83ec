import Mux
import Testing

/// Windows over a path that takes time, by a clock of its own.
@Suite(.serialized) struct DistanceTests {
    private static let millisecond: UInt64 = 1_000_000
    private static let second: UInt64 = 1_000_000_000

    /// MB/s of these over so long.
    private func rate(_ flows: [DelayedPair.Flow], in pair: DelayedPair, seconds: UInt64) throws -> Double {
        let before = flows.reduce(0) { $0 + $1.consumed }
        try pair.run(seconds * Self.second)
        #expect(pair.ends.allSatisfy { $0.brokenInvariant == nil })
        return Double(flows.reduce(0) { $0 + $1.consumed } - before) / 1e6 / Double(seconds)
    }

    // MARK: Clients that stop reading

    /// How clients stop, by what they read and what the systems take in beyond that.
    enum Stop: CaseIterable {
        /// Nothing is read: a window of the client's, and what the tunnel's end keeps for its socket.
        case atOnce
        /// A page is.
        case afterPage
        /// A piece of a film is, before somebody pauses it.
        case afterMegabyte

        var reads: Int {
            switch self {
            case .atOnce: 64 << 10
            case .afterPage: 192 << 10
            case .afterMegabyte: 1 << 20
            }
        }
    }

    /// What a crowd does, beside how many that go on moving, and which end receives.
    struct Crowd {
        let stalled: Int
        let moving: Int
        let stop: Stop
        let receiver: Role
    }

    @Test(arguments: [
        Crowd(stalled: 50, moving: 8, stop: .afterPage, receiver: .dialer),
        Crowd(stalled: 50, moving: 1, stop: .afterMegabyte, receiver: .dialer),
        Crowd(stalled: 500, moving: 1, stop: .atOnce, receiver: .dialer),
        Crowd(stalled: 500, moving: 8, stop: .afterPage, receiver: .accepter),
        Crowd(stalled: 500, moving: 1, stop: .afterMegabyte, receiver: .accepter),
    ])
    func `streams that move keep four fifths beside hundreds that have stalled`(_ crowd: Crowd) throws {
        let (alone, beside) = (path(crowd), path(crowd))
        let opener = crowd.receiver == .dialer ? 0 : 1
        // Ten at a time, so that each moves as fast as it can before it stops.
        for number in 1...crowd.stalled {
            try beside.open(by: opener, reads: crowd.stop.reads, absorbs: 4 << 20)
            if number % 10 == 0 { try beside.run(200 * Self.millisecond) }
        }
        try beside.runUntilStalled()
        let rates = try [alone, beside].map { pair in
            let flows = try (0..<crowd.moving).map { _ in try pair.open(by: opener) }
            // Beside those who have read much, a beginner has to read more.
            try pair.run(crowd.stop == .afterMegabyte ? 8 * Self.second : Self.second)
            return try rate(flows, in: pair, seconds: 3)
        }
        #expect(rates[1] >= 0.8 * rates[0], "\(rates)")
    }

    private func path(_ crowd: Crowd) -> DelayedPair {
        DelayedPair(
            roundTrip: 40 * Self.millisecond, bytesPerSecond: 322_000_000, receiver: crowd.receiver)
    }

    @Test(arguments: [Role.dialer, .accepter])
    func `who leaves a large window full gives back its growth as soon as something leaves`(_ receiver: Role)
        throws
    {
        let pair = DelayedPair(
            roundTrip: 40 * Self.millisecond, bytesPerSecond: 322_000_000, receiver: receiver)
        let slow = try pair.open(by: receiver == .dialer ? 0 : 1, reads: 64 << 20)
        try pair.run(3 * Self.second)
        let held = pair.ends[0].grownBytes
        #expect(held > 4 << 20 && slow.buffered > held / 2)
        // A little each second, which would take a minute for the whole.
        for _ in 0..<40 {
            pair.read(held / 60, of: slow)
            try pair.run(Self.second)
        }
        #expect(pair.ends[0].grownBytes < held / 2)
        #expect(pair.ends.allSatisfy { $0.brokenInvariant == nil })
    }

    // MARK: Paths that change

    @Test func `a path that becomes long is found out, and the link is as fast as a new one`() throws {
        let fresh = DelayedPair(roundTrip: 100 * Self.millisecond, bytesPerSecond: 114_000_000)
        let one = try fresh.open()
        try fresh.run(15 * Self.second)
        let expected = try rate([one], in: fresh, seconds: 10)
        let pair = DelayedPair(roundTrip: 2 * Self.millisecond, bytesPerSecond: 114_000_000)
        let flow = try pair.open()
        try pair.run(15 * Self.second)
        pair.delay = 50 * Self.millisecond
        try pair.run(15 * Self.second)
        let rate = try rate([flow], in: pair, seconds: 10)
        #expect(expected > 80 && rate >= 0.9 * expected)
        // Both ends know: one chooses windows by it, the other its congestion control.
        for end in pair.ends {
            #expect((100 * Self.millisecond...110 * Self.millisecond).contains(end.roundTripNanoseconds))
        }
        // And back.
        pair.delay = 1 * Self.millisecond
        try pair.run(25 * Self.second)
        for end in pair.ends { #expect(end.roundTripNanoseconds < 4 * Self.millisecond) }
    }

    @Test func `what stands in the path's queues is not taken for a longer path`() throws {
        let pair = DelayedPair(roundTrip: 2 * Self.millisecond, bytesPerSecond: 114_000_000)
        // Nothing holds the sender back but credit.
        pair.patience = .max
        let flows = try (0..<4).map { _ in try pair.open() }
        try pair.run(3 * Self.second)
        pair.bytesPerSecond = 10_000_000
        for _ in 0..<60 {
            let rate = try rate(flows, in: pair, seconds: 1)
            #expect(rate > 8)
            #expect(pair.ends[0].roundTripNanoseconds < 5 * Self.millisecond)
        }
        #expect(pair.standingNanoseconds < 120 * Self.millisecond)
        #expect(pair.ends[1].roundTripNanoseconds < 5 * Self.millisecond)
    }
}
