import Mux
import Testing

@Suite struct HostileTests {
    /// The owner of a multiplexer that somebody throws frames at, without a correct end behind them.
    private final class Target {
        var end = SimulationEnd(role: .accepter, isHostile: true)
        var random: SimulationRandom
        var violations: [Violation: Int] = [:]
        var frames = 0
        var now: UInt64 = 1
        private var buffer = [UInt8](repeating: 0, count: 2_048)

        init(seed: UInt64) {
            random = SimulationRandom(seed: seed)
            renew()
        }

        func renew() {
            end = SimulationEnd(role: random.oneIn(2) ? .dialer : .accepter, isHostile: true)
            for number in 0..<random.below(4) {
                _ = end.open(SimulationCall(number: number, there: 0, back: 0), now: now)
            }
            poll()
        }

        private func poll() {
            buffer.withUnsafeMutableBytes { while end.mux.poll(into: $0) > 0 {} }
        }

        /// Feeds one record; a violation ends the link, and another begins.
        func take(_ record: [UInt8]) throws {
            now += UInt64(random.size(bits: 24))
            do {
                try record.withUnsafeBytes { bytes in
                    var reader = FrameReader(bytes)
                    while let frame = try reader.next() {
                        frames += 1
                        try end.take(end.mux.receive(frame, now: now), calls: [])
                    }
                }
            } catch let violation as Violation {
                violations[violation, default: 0] += 1
                frames += 1
                try check()
                return renew()
            }
            act()
            if random.oneIn(256) { try check() }
        }

        private func act() {
            guard let stream = end.order.isEmpty ? nil : end.order[random.below(end.order.count)] else {
                return
            }
            switch random.below(6) {
            case 0: end.accept(stream)
            case 1: end.finish(stream)
            case 2: end.reset(stream, reason: .killed)
            case 3: poll()
            default: end.consume(stream, random.size(bits: 18), now: now)
            }
            end.releaseIfDone(stream)
            end.removeReleased()
        }

        private func check() throws {
            if let broken = end.mux.brokenInvariant { throw SimulationFailure(description: broken) }
            guard end.mux.bufferedBytes <= Credit.linkBytes else {
                throw SimulationFailure(description: "memory")
            }
        }
    }

    private static let total = _isDebugAssertConfiguration() ? 50_000 : 1_000_000

    @Test func `a million invented frames: an event or a violation, and never a trap`() throws {
        let target = Target(seed: Seeds.only ?? 1)
        while target.frames < Self.total {
            let streams = target.end.order
            let id = Self.stream(streams, &target.random)
            try target.take(HostileFrame.invent(stream: id, random: &target.random))
        }
        // Those of the reader, and those that need a longer correct life before them, have their own tests.
        let rare: Set<Violation> = [
            .truncatedFrame, .unknownKind, .unknownFlags, .wrongLength, .wrongScope, .controlTooLarge,
            .beyondLinkCredit,
            .flood, .badControl, .unknownMapping, .falseRevision,
        ]
        for violation in Violation.allCases where !rare.contains(violation) && target.frames >= 1_000_000 {
            #expect(target.violations[violation] != nil, "\(violation) did not occur")
        }
    }

    @Test func `a million frames of random bytes: an event or a violation, and never a trap`() throws {
        let target = Target(seed: Seeds.only ?? 2)
        while target.frames < Self.total {
            try target.take(Self.noise(&target.random))
        }
        for violation in [Violation.truncatedFrame, .unknownKind, .unknownFlags, .wrongLength, .wrongScope] {
            #expect(target.violations[violation] != nil, "\(violation) did not occur")
        }
    }

    private static func stream(_ streams: [SimulationStream], _ random: inout SimulationRandom) -> UInt32 {
        if streams.isEmpty || random.oneIn(3) {
            return wireID(
                random.oneIn(2) ? .dialer : .accepter, slot: UInt32(random.below(5)),
                generation: UInt32(random.below(3)))
        }
        return streams[random.below(streams.count)].id.rawValue
    }

    /// A record of random bytes in which, often enough, a header is nearly right.
    private static func noise(_ random: inout SimulationRandom) -> [UInt8] {
        var record: [UInt8] = []
        record.reserveCapacity(128)
        let count = random.below(96)
        while record.count < count { withUnsafeBytes(of: random.next()) { record.append(contentsOf: $0) } }
        guard record.count >= 8, !random.oneIn(4) else { return record }
        let kind = random.pick(FrameKind.allCases)
        let length = random.oneIn(4) ? record.count - 8 : min(record.count - 8, kind.payloadBytes.upperBound)
        record.replaceSubrange(
            0..<8,
            with: [
                UInt8(random.below(2)) << 7, UInt8(random.below(2)), 0, UInt8(random.below(3)),
                random.oneIn(16) ? 0 : kind.rawValue, random.oneIn(16) ? 1 : 0, 0, UInt8(length),
            ])
        if kind.scope == .link { record.replaceSubrange(0..<4, with: [0, 0, 0, random.oneIn(16) ? 1 : 0]) }
        return record.count > length + 8 && !random.oneIn(8) ? Array(record[..<(length + 8)]) : record
    }
}
