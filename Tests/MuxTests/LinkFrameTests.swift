import Mux
import Testing

@Suite struct LinkFrameTests {
    @Test(arguments: [1, 1_023, 1_024, 16_376, 16_377, 50_000, 1 << 20])
    func `a control message of any size arrives whole`(_ size: Int) throws {
        let pair = Pair()
        pair.one.send(control: [UInt8](repeating: 5, count: size))
        #expect(try pair.exchange().other.last == .control(size))
    }

    @Test func `control messages keep their order in buffers of any size from 1,032 bytes`() throws {
        for bufferBytes in [1_032, 1_100, 5_000, 16_384] {
            let pair = Pair()
            for size in [3_000, 1, 40_000, 2_000] {
                pair.one.send(control: [UInt8](repeating: 5, count: size))
            }
            let seen = try pair.other.take(bytes: pair.one.pollAll(bufferBytes: bufferBytes).bytes)
            #expect(seen.filter { $0 != .none } == [3_000, 1, 40_000, 2_000].map { Seen.control($0) })
        }
    }

    @Test func `a control message waits for room, other frames do not wait for it`() throws {
        let mux = Multiplexer(role: .dialer)
        mux.send(control: [UInt8](repeating: 5, count: 2_000))
        _ = mux.open(mapping: 1, client: ClientAddress(), now: 1)
        #expect(mux.pollAll(bufferBytes: 64).kinds == [.open])
        #expect(mux.hasPending)
        #expect(mux.pollAll().kinds == [.control])
        #expect(!mux.hasPending)
    }

    @Test func `a ping is answered once, and its answer tells the round trip`() throws {
        let pair = Pair()
        #expect(pair.one.ping(now: 1_000))
        #expect(!pair.one.ping(now: 1_000))
        try pair.other.take(bytes: pair.one.pollAll().bytes)
        let pong = pair.other.pollAll().bytes
        #expect(try pair.one.take(bytes: pong, now: 41_000) == [.pong])
        #expect(pair.one.roundTripNanoseconds == 40_000)
        #expect(throws: Violation.unexpectedPong) { try pair.one.take(bytes: pong) }
        // A clock that stands still or goes back is no trap.
        #expect(pair.one.ping(now: 50_000))
        try pair.other.take(bytes: pair.one.pollAll().bytes)
        #expect(try pair.one.take(bytes: pair.other.pollAll().bytes, now: 0) == [.pong])
        #expect(pair.one.roundTripNanoseconds == 0)
    }

    @Test func `pings are coalesced, and their budget comes back with time`() throws {
        let mux = Multiplexer(role: .dialer)
        for number in 0..<100 { try mux.take(RawFrame(.ping, 0, big(UInt64(number))), now: 1) }
        #expect(mux.pollAll().bytes == RawFrame(.pong, 0, big(UInt64(99))).bytes)
        for turn in 1..<400 {
            try mux.take(RawFrame(.ping, 0, big(UInt64(0))), now: UInt64(turn) * 30_400_000)
        }
        #expect(throws: Violation.flood) {
            for _ in 0..<100 { try mux.take(RawFrame(.ping, 0, big(UInt64(0))), now: 399 * 30_400_000) }
        }
    }

    @Test func `small pieces of a control message count as messages`() throws {
        let mux = Multiplexer(role: .dialer)
        #expect(throws: Violation.flood) {
            for _ in 0...100 { try mux.take(RawFrame(.control, 0, [1], flags: 1)) }
        }
    }

    @Test func `due frames are whole ones in a buffer of any size`() throws {
        for bufferBytes in 0..<64 {
            let mux = Multiplexer(role: .dialer)
            mux.goAway(.stopping, retryAfterMilliseconds: 1)
            mux.ping(now: 1)
            mux.send(control: [1, 2, 3])
            var total = mux.pollAll(bufferBytes: bufferBytes).kinds.count
            total += mux.pollAll().kinds.count
            #expect(total == 3)
        }
    }

    @Test func `GOAWAY is the last of what is due`() throws {
        let mux = Multiplexer(role: .dialer)
        _ = mux.open(mapping: 1, client: ClientAddress(), now: 1)
        mux.goAway(.stopping, retryAfterMilliseconds: 0)
        mux.send(control: [1])
        mux.ping(now: 1)
        #expect(mux.pollAll(bufferBytes: 64).kinds == [.ping, .control, .open, .goaway])
    }
}
