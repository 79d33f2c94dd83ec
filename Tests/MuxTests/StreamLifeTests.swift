import Mux
import Testing

/// Beginnings, ends, and their races. Each test with the ends swapped.
@Suite(.serialized) struct StreamLifeTests {
    @Test(arguments: [Role.dialer, .accepter])
    func `a stream is opened, accepted, carries bytes both ways, and ends by two FINs`(_ role: Role) throws {
        let pair = Pair(role: role)
        let client = ClientAddress(family: .ipv6, port: 443, high: 1 << 63, low: 7)
        let id = try #require(pair.one.open(mapping: .max, client: client, now: pair.now))
        let record = pair.one.pollAll().bytes
        try record.withUnsafeBytes { bytes in
            var reader = FrameReader(bytes)
            let frame = try #require(try reader.next())
            guard case .opened(id, mapping: .max, client) = try pair.other.receive(frame, now: pair.now)
            else {
                Issue.record("not opened")
                return
            }
        }
        pair.other.accept(id)
        #expect(try pair.exchange().one == [.accepted(id.rawValue)])
        #expect(try pair.send(id, from: pair.one, limit: 1_000) == 1_000)
        #expect(try pair.send(id, from: pair.other, limit: 2_000) == 2_000)
        pair.one.consumed(id, 2_000, now: pair.now)
        pair.other.consumed(id, 1_000, now: pair.now)
        pair.one.finish(id)
        #expect(try pair.exchange().other == [.finished(id.rawValue)])
        #expect(pair.one.sendBudget(id) == 0)
        #expect(try pair.send(id, from: pair.other, limit: 5) == 5)
        pair.one.consumed(id, 5, now: pair.now)
        pair.other.finish(id)
        #expect(try pair.exchange().one == [.finished(id.rawValue)])
        #expect(!pair.one.isLive(id) && !pair.other.isLive(id))
        pair.one.release(id)
        pair.other.release(id)
        #expect(pair.isIdle)
    }

    @Test func `a tally comes when the stream is over and its slot serves another`() throws {
        let pair = Pair()
        let id = try pair.open()
        pair.one.finish(id)
        pair.other.finish(id)
        try pair.exchange()
        pair.one.release(id)
        let next = try pair.open()
        #expect(next.slot == id.slot && next != id)
        pair.other.tally(id, fromSocket: .max, toSocket: 7)
        pair.other.release(id)
        #expect(try pair.exchange().one == [.tally(id.rawValue, .max, 7)])
        #expect(pair.one.isLive(next) && pair.other.isLive(next))
    }

    @Test(arguments: [Role.dialer, .accepter])
    func `an id that comes round while its last stream is held is not given to another`(_ role: Role) throws {
        let pair = Pair(role: role, generations: 5)
        let held = try pair.open()
        #expect(try pair.send(held, from: pair.one, limit: 1_000) == 1_000)
        for round in 1...3 {
            // Over on the link, but for the bytes that the other end still writes to somebody slow.
            if round == 1 { try end(held, pair) }
            for _ in 2...5 {
                let id = try pair.open()
                #expect(id.slot == held.slot && id != held && pair.other.isLive(id))
                try end(id, pair)
                pair.other.release(id)
                if round == 2 { pair.other.shrink() }
            }
            let again = try #require(pair.one.open(mapping: 1, client: ClientAddress(), now: pair.now))
            #expect(again == held)
            #expect(try pair.exchange().one == [.closed(held.rawValue, .limit)])
            pair.one.release(again)
            #expect(pair.other.theirStreams == 1 && pair.other.brokenInvariant == nil)
        }
        pair.other.consumed(held, 1_000, now: pair.now)
        pair.other.release(held)
        for _ in 2...5 {
            let id = try pair.open()
            try end(id, pair)
            pair.other.release(id)
        }
        let again = try pair.open()
        #expect(again == held && pair.other.isLive(again))
        try end(again, pair)
        pair.other.release(again)
        #expect(pair.isIdle)
    }

    /// Two FINs; the opener lets go.
    private func end(_ id: StreamID, _ pair: Pair) throws {
        pair.one.finish(id)
        pair.other.finish(id)
        try pair.exchange()
        pair.one.release(id)
    }

    @Test func `DATA follows OPEN in the same record, FIN follows DATA`() throws {
        let mux = Multiplexer(role: .dialer)
        let id = try #require(mux.open(mapping: 1, client: ClientAddress(), now: 1))
        #expect(mux.pollAll().kinds == [.open])
        _ = mux.data(id, 3)
        mux.finish(id)
        let fin = frames(in: mux.pollAll().bytes)
        #expect(fin.count == 1 && fin[0].kind == FrameKind.fin.rawValue && fin[0].payload == big(UInt64(3)))
    }

    @Test func `a reset before OPEN was polled still opens, so that slots and generations have no gaps`()
        throws
    {
        let pair = Pair()
        let id = try #require(pair.one.open(mapping: 1, client: ClientAddress(), now: 1))
        pair.one.reset(id, reason: .clientReset)
        pair.one.release(id)
        #expect(try pair.exchange().other == [.opened(id.rawValue), .closed(id.rawValue, .clientReset)])
        pair.other.release(id)
        let next = try pair.open()
        #expect(next.slot == id.slot && next != id)
    }

    @Test func `nothing but OPEN and CLOSE is sent after a reset`() throws {
        let pair = Pair()
        let id = try pair.open()
        pair.other.reset(id, reason: .targetRefused)
        pair.other.accept(id)
        pair.other.finish(id)
        pair.other.reset(id, reason: .killed)
        #expect(pair.other.pollAll().kinds == [.close])
    }

    @Test func `a frame for a stream whose OPEN was not sent ends the link`() throws {
        for frame in [FrameKind.data, .window, .fin, .close, .opened] {
            let mux = Multiplexer(role: .dialer)
            let id = try #require(mux.open(mapping: 1, client: ClientAddress(), now: 1)).rawValue
            let raw: RawFrame =
                switch frame {
                case .data: .data(id, 1)
                case .window: .window(id, 1)
                case .fin: .fin(id)
                case .close: .close(id)
                default: RawFrame(frame, id)
                }
            #expect(throws: Violation.neverOpened) { try mux.take(raw) }
            #expect(mux.pollAll().kinds == [.open])
        }
    }

    /// The opener has both FINs and takes the slot again, while a CLOSE waits at the other end.
    @Test func `a slot can be opened anew by the frame after its last FIN`() throws {
        let pair = Pair()
        let id = try pair.open()
        pair.other.finish(id)
        try pair.exchange()
        pair.one.finish(id)
        pair.one.release(id)
        var record = pair.one.pollAll().bytes
        let next = try #require(pair.one.open(mapping: 1, client: ClientAddress(), now: pair.now))
        #expect(next.slot == id.slot)
        record += pair.one.pollAll().bytes
        pair.other.reset(id, reason: .targetReset)
        pair.other.release(id)
        #expect(try pair.other.take(bytes: record) == [.none, .opened(next.rawValue)])
        #expect(pair.other.pollAll().kinds.isEmpty)
    }

    @Test func `resets that cross end the stream once at each end`() throws {
        let pair = Pair()
        let id = try pair.open()
        pair.one.reset(id, reason: .clientReset)
        pair.other.reset(id, reason: .targetReset)
        let (a, b) = (pair.one.pollAll().bytes, pair.other.pollAll().bytes)
        #expect(try pair.one.take(bytes: b) == [.none])
        #expect(try pair.other.take(bytes: a) == [.none])
        pair.one.release(id)
        pair.other.release(id)
        #expect(pair.isIdle)
    }

    @Test func `no event names a released stream, though its FIN is not yet sent`() throws {
        for isClose in [true, false] {
            let pair = Pair()
            let id = try pair.open()
            pair.other.finish(id)
            try pair.exchange()
            pair.one.finish(id)
            pair.one.release(id)
            if isClose { pair.other.reset(id, reason: .targetReset) } else { pair.other.accept(id) }
            #expect(try pair.one.take(bytes: pair.other.pollAll().bytes) == [.none])
            try pair.exchange()
            pair.other.release(id)
            #expect(pair.isIdle)
        }
        let pair = Pair()
        let id = try pair.open()
        pair.one.finish(id)
        try pair.exchange()
        pair.other.finish(id)
        pair.other.release(id)
        pair.one.reset(id, reason: .clientReset)
        #expect(try pair.other.take(bytes: pair.one.pollAll().bytes) == [.none])
    }

    @Test func `what was under way when a stream ended is dropped, and no more than that`() throws {
        let pair = Pair()
        let id = try pair.open()
        // FINs that cross, then everything that the other end may still have said.
        pair.other.finish(id)
        let fin = pair.other.pollAll().bytes
        pair.one.finish(id)
        try pair.exchange()
        try pair.one.take(bytes: fin)
        #expect(!pair.one.isLive(id))
        try pair.one.take(RawFrame(.opened, id.rawValue))
        for _ in 0..<8 { try pair.one.take(.window(id.rawValue, 1)) }
        try pair.one.take(.close(id.rawValue))
        #expect(throws: Violation.lateFlood) {
            for _ in 0..<16 { try pair.one.take(.window(id.rawValue, 1)) }
        }
    }

    @Test func `a stream reset here takes all that its window allowed, and returns it to the link`() throws {
        let pair = Pair()
        let id = try pair.open()
        pair.one.reset(id, reason: .killed)
        pair.one.release(id)
        #expect(try pair.send(id, from: pair.other) == 256 << 10)
        pair.other.finish(id)
        _ = try pair.exchange()
        pair.other.release(id)
        #expect(pair.one.bufferedBytes == 0)
        #expect(pair.isIdle)
        #expect(throws: Violation.lateFlood) {
            for _ in 0..<64 { try pair.one.take(.data(id.rawValue, 4_096)) }
        }
    }

    @Test func `late bytes of all streams at once are no flood`() throws {
        let pair = Pair()
        var ids: [StreamID] = []
        for _ in 0..<600 { ids.append(pair.one.open(mapping: 1, client: ClientAddress(), now: pair.now)!) }
        try pair.exchange()
        for id in ids { pair.one.reset(id, reason: .killed) }
        for id in ids {
            try pair.send(id, from: pair.other)
            pair.other.accept(id)
            pair.other.finish(id)
        }
        try pair.exchange()
        for id in ids {
            pair.one.release(id)
            pair.other.release(id)
        }
        #expect(pair.isIdle)
    }

    @Test func `generations go around, and ids never run out`() throws {
        let pair = Pair()
        var seen: Set<UInt32> = []
        for turn in 0..<33_000 {
            let id = try #require(pair.one.open(mapping: 1, client: ClientAddress(), now: pair.now))
            #expect(id != .link && id.slot == 0)
            if turn < 0x7fff { #expect(seen.insert(id.rawValue).inserted) }
            pair.one.reset(id, reason: .killed)
            pair.one.release(id)
            try pair.exchange()
            pair.other.release(id)
        }
        #expect(pair.isIdle)
    }

    @Test func `a stream above the limit is closed, and the others live on`() throws {
        let pair = Pair(maximumStreams: 2)
        let ids = try (0..<2).map { _ in try pair.open() }
        #expect(!pair.one.canOpen)
        #expect(pair.one.open(mapping: 1, client: ClientAddress(), now: pair.now) == nil)
        // The other end still winds up the first when it is opened anew here.
        pair.one.reset(ids[0], reason: .killed)
        pair.one.release(ids[0])
        try pair.exchange()
        let third = try #require(pair.one.open(mapping: 1, client: ClientAddress(), now: pair.now))
        #expect(try pair.exchange().one == [.closed(third.rawValue, .limit)])
        pair.one.release(third)
        pair.other.release(ids[0])
        let fourth = try #require(pair.one.open(mapping: 1, client: ClientAddress(), now: pair.now))
        #expect(try pair.exchange().other == [.opened(fourth.rawValue)])
        #expect(try pair.send(ids[1], from: pair.one, limit: 10) == 10)
    }

    @Test func `after GOAWAY nothing is opened from either end, and what crosses it is closed`() throws {
        let pair = Pair()
        let crossing = try #require(pair.other.open(mapping: 1, client: ClientAddress(), now: pair.now))
        pair.one.goAway(.stopping, retryAfterMilliseconds: 7)
        pair.one.goAway(.replaced, retryAfterMilliseconds: 8)
        let seen = try pair.exchange()
        #expect(seen.other == [.goAway(.stopping), .closed(crossing.rawValue, .nodeAway)])
        #expect(seen.one == [.none] || seen.one == [])
        #expect(!pair.one.canOpen && !pair.other.canOpen)
        #expect(try pair.other.take(.goAway(reason: 2)) == [.none])
        #expect(throws: Violation.flood) { for _ in 0..<100 { try pair.other.take(.goAway()) } }
    }
}
