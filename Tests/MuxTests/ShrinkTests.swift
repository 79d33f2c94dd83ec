import Mux
import Testing

/// What a table remembers of a crowd that has gone.
@Suite struct ShrinkTests {
    private func end(_ id: StreamID, _ pair: Pair) throws {
        pair.one.finish(id)
        pair.other.finish(id)
        try pair.exchange()
        pair.one.release(id)
        pair.other.release(id)
    }

    @Test(arguments: [Role.dialer, .accepter])
    func `a table that a crowd has left shrinks, and its slots go on with their next generation`(_ role: Role)
        throws
    {
        let pair = Pair(role: role)
        let ids = try (0..<100).map { _ in try pair.open() }
        // One in the middle stays, and keeps what is before it.
        for id in ids where id.slot != 40 { try end(id, pair) }
        for side in [pair.one, pair.other] {
            #expect(side.tableSlots >= 199)
            side.shrink()
            #expect((81...82).contains(side.tableSlots))
            #expect(side.brokenInvariant == nil)
        }
        #expect(pair.one.isLive(ids[40]) && pair.other.isLive(ids[40]))
        // The lowest slots serve first, and the other end, which counts generations, agrees about all hundred.
        let again = try (0..<99).map { _ in try pair.open() }
        #expect(again.map(\.slot) == (0..<100).filter { $0 != 40 })
        #expect(zip(again, ids.filter { $0.slot != 40 }).allSatisfy { $0 != $1 })
        for id in again + [ids[40]] { try end(id, pair) }
        for side in [pair.one, pair.other] {
            side.shrink()
            #expect(side.tableSlots == 0 && side.brokenInvariant == nil)
        }
        #expect(pair.isIdle)
    }

    @Test(arguments: [Role.dialer, .accepter])
    func `bytes that come late for a slot that was put away are dropped, as before`(_ role: Role) throws {
        let pair = Pair(role: role)
        let ids = try (0..<10).map { _ in try pair.open() }
        let late = pair.other.data(ids[9], 3)
        for id in ids { pair.one.reset(id, reason: .idle) }
        let closes = pair.one.pollAll().bytes
        for id in ids { pair.one.release(id) }
        pair.one.shrink()
        #expect(pair.one.tableSlots == 0)
        #expect(try pair.one.take(bytes: late, now: pair.now).allSatisfy { $0 == .none })
        try pair.other.take(bytes: closes, now: pair.now)
        // As do the other end's counts of it.
        for id in ids {
            pair.other.tally(id, fromSocket: 3, toSocket: 0)
            pair.other.release(id)
        }
        pair.one.shrink()
        pair.other.shrink()
        #expect(try pair.exchange().one.filter { $0 != .none } == ids.map { .tally($0.rawValue, 3, 0) })
        #expect(pair.one.brokenInvariant == nil && pair.other.brokenInvariant == nil)
    }

    @Test func `a slot that was put away is as unknown beyond its generation as before`() throws {
        let pair = Pair()
        let id = try pair.open()
        try end(id, pair)
        pair.other.shrink()
        // A peer that opens the same generation again, or skips one.
        for skipped in [0, 2 << 16] as [UInt32] {
            let frame = RawFrame.open(id.rawValue + skipped).bytes
            #expect(throws: Violation.wrongGeneration) { try pair.other.take(bytes: frame, now: pair.now) }
        }
    }
}
