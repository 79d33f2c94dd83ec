import Mux
import Testing

@Suite struct ViolationTests {
    /// Found by the owner; the multiplexer never throws them.
    static let ownersOwn: [Violation] = [.badControl, .unknownMapping, .falseRevision]

    @Test(arguments: Violation.allCases.filter { !ownersOwn.contains($0) })
    func `each violation is named, and nothing else happens`(_ violation: Violation) throws {
        for role in [Role.dialer, .accepter] {
            let mux = Multiplexer(role: role, maximumStreams: 4)
            let record = try misdeed(violation, to: mux)
            #expect(throws: violation) { try mux.take(bytes: record) }
            #expect(mux.brokenInvariant == nil)
        }
    }

    /// Brings `mux` where the misdeed is possible, and answers the record that commits it.
    private func misdeed(_ violation: Violation, to mux: Multiplexer) throws -> [UInt8] {
        let theirs = wireID(mux.role.other)
        let ours = wireID(mux.role)
        func opened(there: UInt32 = 65_536, back: UInt32 = 65_536) throws {
            try mux.take(.open(theirs, there: there, back: back))
        }
        func weOpened() {
            _ = mux.open(mapping: 1, client: ClientAddress(), now: 1)
            _ = mux.pollAll()
        }
        switch violation {
        case .truncatedFrame: return Array(RawFrame.goAway().bytes.dropLast())
        case .unknownKind:
            var frame = RawFrame(.ping, 0, big(UInt64(1)))
            frame.kind = 13
            return frame.bytes
        case .unknownFlags: return RawFrame(.control, 0, [1], flags: 2).bytes
        case .wrongLength: return RawFrame(.ping, 0, [1, 2, 3]).bytes
        case .wrongScope: return RawFrame(.ping, theirs, big(UInt64(1))).bytes
        case .unexpectedHello: return RawFrame(.hello, 0, [1]).bytes
        case .slotBeyondTable: return RawFrame.open(wireID(mux.role.other, slot: 1)).bytes
        case .slotInUse:
            try opened()
            return RawFrame.open(wireID(mux.role.other, generation: 2)).bytes
        case .wrongGeneration: return RawFrame.open(wireID(mux.role.other, generation: 2)).bytes
        case .wrongOpener: return RawFrame.open(ours).bytes
        case .badWindow: return RawFrame.open(theirs, there: 262_145).bytes
        case .badAddress: return RawFrame.open(theirs, family: 5).bytes
        case .neverOpened: return RawFrame.data(theirs, 1).bytes
        case .openedTwice:
            weOpened()
            return RawFrame(.opened, ours).bytes + RawFrame(.opened, ours).bytes
        case .tallyTwice:
            weOpened()
            let tally = RawFrame(.tally, ours, big(UInt64(1)) + big(UInt64(2))).bytes
            return tally + tally
        case .beyondStreamCredit:
            try opened(there: 10)
            return RawFrame.data(theirs, 11).bytes
        case .beyondLinkCredit:
            try exhaustLink(of: mux)
            return RawFrame.data(theirs, 1).bytes
        case .afterFin:
            try opened()
            return RawFrame.fin(theirs).bytes + RawFrame.data(theirs, 1).bytes
        case .countsDiffer:
            try opened()
            return RawFrame.data(theirs, 5).bytes + RawFrame.fin(theirs, 6).bytes
        case .creditOverflow:
            try opened(back: 65_536)
            return RawFrame.window(theirs, (16 << 20) - 65_535).bytes
        case .unknownReason: return RawFrame.goAway(reason: 99).bytes
        case .unexpectedPong: return RawFrame(.pong, 0, big(UInt64(1))).bytes
        case .controlTooLarge:
            let piece = RawFrame(.control, 0, [UInt8](repeating: 1, count: 16_376), flags: 1).bytes
            return (0..<65).flatMap { _ in piece }
        case .flood: return (0..<101).flatMap { RawFrame(.ping, 0, big(UInt64($0))).bytes }
        case .lateFlood:
            try opened(there: 10)
            try mux.take(.close(theirs))
            return RawFrame.data(theirs, 1).bytes
        case .openAfterGoAway: return RawFrame.goAway().bytes + RawFrame.open(theirs).bytes
        case .badControl, .unknownMapping, .falseRevision: return []
        }
    }

    /// Fills the link's credit by streams that end with everything still held by their owner.
    private func exhaustLink(of mux: Multiplexer) throws {
        var generation: UInt32 = 0
        for _ in 0..<256 {
            generation += 1
            let id = wireID(mux.role.other, generation: generation)
            try mux.take(.open(id, there: 262_144))
            mux.release(StreamID(rawValue: id))
            guard mux.isLive(StreamID(rawValue: id)) else { break }
            for _ in 0..<16 { try mux.take(.data(id, 16_376)) }
            try mux.take(.data(id, 128))
            try mux.take(.close(id, 262_144))
        }
        #expect(mux.bufferedBytes == 64 << 20)
    }

    @Test func `a violation of one kind has more than one face`() throws {
        let theirs = wireID(.dialer)
        func expect(_ violation: Violation, _ prepare: RawFrame..., then frame: RawFrame) {
            let mux = Multiplexer(role: .accepter, maximumStreams: 4)
            #expect(throws: Never.self) { try mux.take(bytes: prepare.flatMap(\.bytes)) }
            #expect(throws: violation) { try mux.take(frame) }
            #expect(mux.brokenInvariant == nil)
        }
        expect(
            .truncatedFrame,
            then: {
                var f = RawFrame(.data, theirs, [1]); f.length = 2; return f
            }())
        expect(.unknownFlags, then: RawFrame(.data, theirs, [1], flags: 1))
        expect(.wrongScope, then: .data(0, 1))
        expect(.slotBeyondTable, then: .open(wireID(.dialer, slot: 65_535)))
        expect(.wrongOpener, then: RawFrame(.opened, theirs))
        expect(.badWindow, then: .open(theirs, there: 0))
        expect(.badWindow, then: .open(theirs, back: 0))
        expect(.badWindow, then: .open(theirs, back: .max))
        expect(.badAddress, then: .open(theirs, zero: 1))
        expect(.neverOpened, .open(theirs), then: .data(wireID(.dialer, generation: 2), 1))
        let second = wireID(.dialer, slot: 1)
        expect(
            .neverOpened, .open(theirs), .open(second), then: .fin(wireID(.dialer, slot: 1, generation: 0)))
        expect(.neverOpened, .open(theirs), then: .fin(wireID(.accepter)))
        expect(.neverOpened, then: .window(wireID(.dialer, slot: 65_535, generation: 0x7fff), 1))
        expect(.afterFin, .open(theirs), .fin(theirs), then: .fin(theirs))
        expect(.countsDiffer, .open(theirs), then: .close(theirs, .max))
        expect(.creditOverflow, .open(theirs), then: .window(theirs, 0))
        expect(.creditOverflow, .open(theirs), then: .window(theirs, .max))
        expect(.creditOverflow, then: .window(0, 1))
        expect(.creditOverflow, then: .window(0, .max))
        expect(.unknownReason, .open(theirs), then: .close(theirs, reason: 0))
        expect(.unknownReason, then: .goAway(reason: 0))
    }
}
