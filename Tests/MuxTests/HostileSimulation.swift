import Mux

/// A simulation in which the frames to one end are mutated, dropped, doubled, replayed or invented.
final class HostileSimulation {
    private let simulation: Simulation
    private var random: SimulationRandom
    private var history: [[UInt8]] = []
    private let victim: Int
    /// One frame in so many is tampered with: few, so that the two ends get far before they part.
    private let rarity: Int

    init(seed: UInt64) {
        simulation = Simulation(seed: seed, isHostile: true)
        random = SimulationRandom(seed: ~seed)
        victim = random.below(2)
        rarity = 2 + random.size(bits: 8)
    }

    /// Until a violation ends the link, or so many steps.
    func run() throws {
        for _ in 0..<(20 + random.below(600)) {
            do {
                if random.oneIn(2) {
                    try deliverTampered()
                } else {
                    try simulation.step()
                }
            } catch _ as Violation {
                break
            }
            try check()
        }
        try check()
    }

    private func check() throws {
        let end = simulation.ends[victim]
        if let broken = end.mux.brokenInvariant { throw simulation.failure(broken) }
        guard end.mux.bufferedBytes <= Credit.linkBytes, end.mux.theirStreams <= end.mux.maximumStreams else {
            throw simulation.failure("more than the bounds")
        }
    }

    private func deliverTampered() throws {
        for var frame in simulation.links[1 - victim].remove(1 + random.below(8)) {
            if history.count < 64 { history.append(frame) } else { history[random.below(64)] = frame }
            switch random.oneIn(rarity) ? random.below(6) : 6 {
            case 0:
                let bit = random.below(min(frame.count, 48) * 8)
                frame[bit / 8] ^= 1 << UInt8(bit % 8)
                try deliver(frame)
            case 1: break
            case 2:
                try deliver(frame)
                try deliver(frame)
            case 3: try deliver(random.pick(history))
            case 4: try deliver(invent(from: frame))
            case 5: try deliver(Array(frame.dropLast(random.below(frame.count))))
            default: try deliver(frame)
            }
        }
    }

    private func deliver(_ record: [UInt8]) throws {
        let end = simulation.ends[victim]
        try record.withUnsafeBytes { bytes in
            var reader = FrameReader(bytes)
            while let frame = try reader.next() {
                try end.take(end.mux.receive(frame, now: simulation.now), calls: simulation.calls)
            }
        }
    }

    /// A well-formed frame with a stream and numbers of its own choice.
    private func invent(from frame: [UInt8]) -> [UInt8] {
        let streams = simulation.ends[victim].order
        let id =
            streams.isEmpty || random.oneIn(4) ? nearID() : streams[random.below(streams.count)].id.rawValue
        return HostileFrame.invent(stream: id, random: &random)
    }

    private func nearID() -> UInt32 {
        wireID(
            random.oneIn(2) ? .dialer : .accepter, slot: UInt32(random.below(8)),
            generation: UInt32(random.below(4)))
    }
}

enum HostileFrame {
    static func invent(stream: UInt32, random: inout SimulationRandom) -> [UInt8] {
        let kind = random.pick(FrameKind.allCases)
        let number: UInt64 = random.pick([0, 1, 64, 1 << 16, 16 << 20, 1 << 31, 0xffff_ffff, 1 << 63, .max])
        let id = kind.scope == .link || (kind.scope == .either && random.oneIn(2)) ? 0 : stream
        switch kind {
        case .open:
            let sizes: [UInt32] = [0, 1, 2, 3, 2_048, 262_144, 262_145, .max]
            return RawFrame.open(
                id, there: random.pick(sizes), back: random.pick(sizes), family: random.pick([0, 4, 6, 5])
            ).bytes
        case .opened: return RawFrame(kind, id).bytes
        case .data, .control, .hello:
            let count = min(random.size(bits: 14), kind.payloadBytes.upperBound)
            let flags = kind == .control ? UInt8(random.below(2)) : 0
            return RawFrame(kind, id, [UInt8](repeating: 1, count: count), flags: flags).bytes
        case .window: return RawFrame(kind, id, big(UInt32(truncatingIfNeeded: number))).bytes
        case .fin, .ping, .pong: return RawFrame(kind, id, big(number)).bytes
        case .tally: return RawFrame(kind, id, big(number) + big(number)).bytes
        case .close: return RawFrame(kind, id, [UInt8(random.below(19))] + big(number)).bytes
        case .goaway: return RawFrame(kind, id, [UInt8(random.below(6))] + big(UInt32.max)).bytes
        }
    }
}
