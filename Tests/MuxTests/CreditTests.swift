import Mux
import Testing

@Suite(.serialized) struct CreditTests {
    @Test func `first windows shrink with the number of streams`() throws {
        let pair = Pair()
        let budgets = try (0..<514).map { _ in pair.one.sendBudget(try pair.open()) }
        #expect(budgets[31] == 256 << 10 && budgets[32] == 16 << 10)
        #expect(budgets[255] == 16 << 10 && budgets[256] == 4 << 10)
    }

    @Test
    func `a window that is used up at once doubles up to the cap, and the pool is full again at the end`()
        throws
    {
        let pair = Pair()
        let id = try pair.open()
        var largest = 0
        var consumed = 0
        for _ in 0..<60 {
            let sent = try pair.send(id, from: pair.one)
            largest = max(largest, sent)
            consumed += sent
            pair.other.delivered(id, consumed)
            pair.other.consumed(id, sent, now: pair.now)
            try pair.exchange()
        }
        #expect(largest == 16 << 20)
        pair.one.reset(id, reason: .killed)
        try pair.exchange()
        pair.one.release(id)
        pair.other.release(id)
        #expect(pair.isIdle)
    }

    @Test func `a window that is used slowly shrinks to what is comfortable`() throws {
        let pair = Pair()
        let id = try pair.open()
        var sent = 0
        for _ in 0..<10 {
            sent += try pair.send(id, from: pair.one)
            pair.other.delivered(id, sent)
            pair.other.consumed(id, pair.other.bufferedBytes, now: pair.now)
            try pair.exchange()
        }
        let large = try pair.send(id, from: pair.one)
        #expect(large >= 4 << 20)
        pair.other.consumed(id, large, now: pair.now)
        try pair.exchange()
        for _ in 0..<40 {
            pair.now += 5_000_000_000
            sent = try pair.send(id, from: pair.one)
            pair.other.consumed(id, sent, now: pair.now)
            try pair.exchange()
        }
        #expect(sent == 256 << 10)
        #expect(pair.other.brokenInvariant == nil)
    }

    @Test func `windows are sized by no shorter round trip than the owner says`() throws {
        let pair = Pair()
        let id = try pair.open()
        pair.other.ping(now: pair.now)
        pair.now += 50_000
        try pair.exchange()
        #expect(try settle(id, pair) == 256 << 10)
        pair.other.leastRoundTripNanoseconds = 1_000_000
        #expect((1 << 20...2 << 20).contains(try settle(id, pair)))
        pair.other.leastRoundTripNanoseconds = 0
        #expect(try settle(id, pair) == 256 << 10)
    }

    /// Moves bytes at 1 GB/s for a while; answers how large the window is then.
    private func settle(_ id: StreamID, _ pair: Pair) throws -> Int {
        var size = 0
        for _ in 0..<40 {
            size = try pair.send(id, from: pair.one)
            pair.now += UInt64(size)
            // To somebody who has read much before.
            pair.other.delivered(id, 1 << 30)
            pair.other.consumed(id, size, now: pair.now)
            try pair.exchange()
        }
        return size
    }

    @Test func `the growth of a stream that has finished serves the others`() throws {
        let pair = Pair()
        let ids = try (0..<4).map { _ in try pair.open() }
        for id in ids[..<3] { try grow(id, pair) }
        for id in ids[..<3] { pair.one.finish(id) }
        try pair.exchange()
        #expect(try grow(ids[3], pair) == 16 << 20)
    }

    @Test func `bytes that a finished stream still holds are not lent again`() throws {
        let pair = Pair()
        let first = try pair.open()
        let size = try grow(first, pair)
        #expect(try pair.send(first, from: pair.one) == size)
        pair.one.finish(first)
        pair.other.finish(first)
        try pair.exchange()
        #expect(!pair.other.isLive(first) && pair.other.bufferedBytes == size)
        for _ in 0..<6 {
            let id = try pair.open()
            try grow(id, pair)
            try pair.send(id, from: pair.one)
            #expect(pair.other.brokenInvariant == nil)
        }
        #expect(pair.other.bufferedBytes <= Credit.linkBytes - (16 << 20))
        pair.other.consumed(first, size, now: pair.now)
        #expect(pair.other.brokenInvariant == nil)
    }

    /// All first windows and the whole growth pool are held by consumers that never read.
    @Test(arguments: [Role.dialer, .accepter])
    func `when thousands of streams stall with all that they may hold, another one is as free as before`(
        _ role: Role
    ) throws {
        let pair = Pair(role: role)
        var stalled: [StreamID] = []
        while pair.one.canOpen, stalled.count < 8_191 {
            stalled.append(pair.one.open(mapping: 1, client: ClientAddress(), now: pair.now)!)
            if stalled.count % 512 == 0 { try pair.exchange() }
        }
        try pair.exchange()
        let free = try pair.open()
        for id in stalled[..<600] { try grow(id, pair) }
        for id in stalled {
            try pair.send(id, from: pair.one)
            try pair.exchange()
        }
        for id in stalled { #expect(pair.one.sendBudget(id) == 0) }
        #expect(pair.other.bufferedBytes > 48 << 20)
        #expect(pair.other.brokenInvariant == nil)
        var moved = 0
        for _ in 0..<200_000 where moved < 80 << 20 {
            let sent = try pair.send(free, from: pair.one)
            guard sent > 0 else { break }
            pair.other.consumed(free, sent, now: pair.now)
            try pair.exchange()
            moved += sent
        }
        #expect(moved >= 80 << 20)
        for id in stalled + [free] {
            pair.one.reset(id, reason: .killed)
            pair.one.release(id)
        }
        try pair.exchange()
        for id in stalled + [free] { pair.other.release(id) }
        #expect(!pair.other.isIdle)
    }

    @Test func `streams from both ends never add up to more than the link`() throws {
        let pair = Pair()
        for mux in [pair.one, pair.other] {
            while mux.canOpen { _ = mux.open(mapping: 1, client: ClientAddress(), now: pair.now) }
            #expect(mux.brokenInvariant == nil)
        }
        #expect(pair.one.ourStreams == 16_384)
        try pair.exchange()
        #expect(pair.one.brokenInvariant == nil && pair.other.brokenInvariant == nil)
        #expect(pair.one.theirStreams < 16_384)
    }

    @Test func `an end that has accepted all that fits opens no more than fits`() throws {
        let pair = Pair()
        while pair.one.canOpen { _ = pair.one.open(mapping: 1, client: ClientAddress(), now: pair.now) }
        try pair.exchange()
        while pair.other.canOpen { _ = pair.other.open(mapping: 1, client: ClientAddress(), now: pair.now) }
        #expect(pair.other.theirStreams == 16_384 && (1...16_384).contains(pair.other.ourStreams))
        #expect(pair.other.brokenInvariant == nil)
    }

    @Test func `two large windows that lie idle leave the others room to grow`() throws {
        let pair = Pair()
        let idle = try (0..<2).map { _ in try pair.open() }
        for id in idle { try grow(id, pair) }
        let others = try (0..<16).map { _ in try pair.open() }
        for id in others { #expect(try grow(id, pair) >= 256 << 10) }
        #expect(try grow(others[0], pair) >= 1 << 20)
        for _ in 0..<32 { _ = try pair.open() }
        #expect(try grow(try pair.open(), pair) >= 256 << 10)
    }

    @Test func `a stream without credit is told when it may go on, unless it has finished`() throws {
        let pair = Pair()
        let id = try pair.open()
        let sent = try pair.send(id, from: pair.one)
        #expect(pair.one.sendBudget(id) == 0)
        pair.other.consumed(id, sent, now: pair.now)
        #expect(try pair.exchange().one == [.writable(id.rawValue)])
        try pair.send(id, from: pair.one)
        pair.one.finish(id)
        #expect(try pair.one.take(.window(id.rawValue, 5)) == [.none])
        #expect(pair.one.sendBudget(id) == 0)
    }

    @Test func `WINDOW after FIN is lawful`() throws {
        let pair = Pair()
        let id = try pair.open()
        pair.one.finish(id)
        try pair.exchange()
        try pair.send(id, from: pair.other)
        pair.one.consumed(id, 256 << 10, now: pair.now)
        #expect(try pair.exchange().other == [.writable(id.rawValue)])
    }

    @Test func `a link without credit is told when it may go on`() throws {
        let pair = Pair()
        var held: [(StreamID, Int)] = []
        while pair.one.linkSendCredit > 0 {
            guard pair.one.canOpen else { break }
            let id = try pair.open()
            held.append((id, try pair.send(id, from: pair.one)))
            pair.one.finish(id)
            pair.other.finish(id)
            try pair.exchange()
            pair.one.release(id)
            pair.other.release(id)
        }
        #expect(pair.one.linkSendCredit == 0)
        #expect(pair.other.brokenInvariant == nil)
        pair.other.consumed(held[0].0, held[0].1, now: pair.now)
        #expect(try pair.exchange().one.contains(.linkWritable))
    }

    /// Moves windows' worth of bytes, to somebody who has read much before, until the window grows no more; answers its size.
    @discardableResult
    private func grow(_ id: StreamID, _ pair: Pair) throws -> Int {
        var size = 0
        for _ in 0..<20 {
            let sent = try pair.send(id, from: pair.one)
            pair.other.delivered(id, 1 << 30)
            pair.other.consumed(id, sent, now: pair.now)
            try pair.exchange()
            if sent == size { break }
            size = sent
        }
        return size
    }
}
