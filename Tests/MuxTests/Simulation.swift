import Mux

/// Two multiplexers, an ordered link in memory and a clock, all from one seed.
final class Simulation {
    var random: SimulationRandom
    var ends: [SimulationEnd]
    /// `links[i]` leads away from `ends[i]`.
    let links = [SimulationLink(), SimulationLink()]
    var calls: [SimulationCall] = []
    private(set) var now: UInt64 = 1_000_000_000
    private var steps = 0
    /// Both ends' streams carry at most this, so that a seed stays short.
    private var bytesLeft = 3 << 20
    private let isHostile: Bool
    /// So few that slots go round them.
    private let hasFewGenerations: Bool

    init(seed: UInt64, isHostile: Bool = false) {
        random = SimulationRandom(seed: seed)
        self.isHostile = isHostile
        let roles: [Role] = random.oneIn(2) ? [.dialer, .accepter] : [.accepter, .dialer]
        hasFewGenerations = random.oneIn(3)
        let generations: UInt16 = hasFewGenerations ? 24 : 0x7fff
        ends = roles.map { SimulationEnd(role: $0, isHostile: isHostile, generations: generations) }
    }

    /// The whole life of a link between two correct ends.
    func run() throws {
        openFillers()
        let steps = 40 + random.below(260)
        for _ in 0..<steps {
            try step()
        }
        // Whoever reads gets all, also from one who does not read.
        try settle()
        for end in ends {
            for stream in end.order where !stream.isStalledUntilEnd && !stream.call.isFiller {
                guard stream.isOver || stream.isFinishedThere else {
                    throw failure("stopped by another: \(stream.id)")
                }
            }
        }
        for end in ends {
            for stream in end.order {
                stream.isStalledUntilEnd = false
                stream.call.isFiller = false
            }
        }
        try settle()
        try checkEnd()
    }

    func failure(_ what: String) -> SimulationFailure {
        SimulationFailure(description: "\(what), at step \(steps)")
    }

    // MARK: Random steps

    /// Idle streams, so that the next ones begin with windows of 16 KiB or 2 KiB.
    private func openFillers() {
        let count = random.pick([0, 0, 0, 0, 0, 34, 34, 34, 520])
        for _ in 0..<count where random.below(16) > 0 || !isHostile {
            let call = newCall(there: 0, back: 0)
            call.isFiller = ends[0].open(call, now: now) != nil
        }
    }

    func step() throws {
        steps += 1
        now += UInt64(random.size(bits: random.oneIn(20) ? 30 : 22))
        let me = random.below(2)
        let end = ends[me]
        switch random.below(100) {
        case 0..<30: try deliver(to: me, frames: random.size(bits: 6))
        case 30..<52: pump(me)
        case 52..<64: open(me)
        case 64..<82: if let stream = anyStream(end) { actAsConsumer(end, stream) }
        case 82..<88: if let stream = anyStream(end) { end.accept(stream) }
        case 88..<92:
            if let stream = anyStream(end) {
                end.reset(stream, reason: random.pick(CloseReason.allCases))
                end.releaseIfDone(stream)
            }
        case 92..<94: if let stream = anyStream(end), !stream.call.isFiller { giveUpRest(end, stream) }
        case 94:
            resetBoth()
            end.mux.shrink()
            if hasFewGenerations, !isHostile { try turnOver(me) }
        case 95..<97: end.mux.ping(now: now)
        case 97: if end.controlSent < 8 { end.sendControl(bytes: random.size(bits: 16)) }
        case 98: if random.oneIn(8) { goAway(end) }
        default:
            _ = end.poll(into: links[me], bufferBytes: 64 + random.below(64), times: 1 + random.below(3))
        }
        if steps % 16 == 0 { try check() }
    }

    private func newCall(there: Int, back: Int) -> SimulationCall {
        let call = SimulationCall(number: calls.count, there: there, back: back)
        bytesLeft -= there + back
        calls.append(call)
        return call
    }

    private func open(_ me: Int) {
        let end = ends[me]
        func size() -> Int {
            if random.oneIn(8) { return 0 }
            return min(max(bytesLeft / 2, 0), random.size(bits: random.oneIn(12) ? 20 : 15))
        }
        let call = newCall(there: size(), back: size())
        guard let stream = end.open(call, now: now) else { return }
        if random.oneIn(12) {
            // Before OPEN is polled; its slot may serve another at once.
            end.reset(stream, reason: .clientReset)
            if random.oneIn(2) { end.releaseIfDone(stream) }
        }
    }

    private func anyStream(_ end: SimulationEnd) -> SimulationStream? {
        end.order.isEmpty ? nil : end.order[end.order.count - 1 - random.below(min(end.order.count, 24))]
    }

    private func actAsConsumer(_ end: SimulationEnd, _ stream: SimulationStream) {
        switch random.below(8) {
        case 0: stream.isStalled.toggle()
        case 1:
            if random.oneIn(4), !stream.call.isFiller { stream.isStalledUntilEnd = true }
        case 2: stream.releasesEarly = !hasFewGenerations
        default: break
        }
        if !stream.isStalled, !stream.isStalledUntilEnd {
            end.consume(stream, random.oneIn(2) ? stream.buffered : random.size(bits: 17), now: now)
        }
        end.releaseIfDone(stream)
        end.removeReleased()
    }

    /// A half-close before the plan is fulfilled.
    private func giveUpRest(_ end: SimulationEnd, _ stream: SimulationStream) {
        stream.out.planned = stream.out.sent
        end.finish(stream)
    }

    /// The same stream from both ends, with nothing in between.
    private func resetBoth() {
        guard let one = anyStream(ends[0]), let other = ends[1].streams[one.id] else { return }
        ends[0].reset(one, reason: .clientReset)
        ends[1].reset(other, reason: .targetReset)
    }

    /// A slot serves short streams one after the other, and the other end is slow to let go of some.
    private func turnOver(_ me: Int) throws {
        try exchange()
        for _ in 0..<random.size(bits: 6) {
            let call = newCall(there: random.below(3), back: 0)
            guard let stream = ends[me].open(call, now: now) else { return }
            try exchange()
            ends[me].send(stream, into: links[me], limit: .max, frameBytes: 1)
            if let there = ends[1 - me].streams[stream.id], !there.isOver {
                ends[1 - me].finish(there)
                try exchange()
                if random.oneIn(8) {
                    there.isStalledUntilEnd = true
                } else {
                    ends[1 - me].consume(there, .max, now: now)
                    ends[1 - me].releaseIfDone(there)
                }
            }
            ends[me].releaseIfDone(stream)
        }
        for end in ends { end.removeReleased() }
        try check()
    }

    /// Until nothing is under way.
    private func exchange() throws {
        while links[0].count + links[1].count > 0 || ends.contains(where: { $0.mux.hasPending }) {
            for me in 0..<2 {
                _ = ends[me].poll(into: links[me], bufferBytes: Frame.maximumBytes)
                try deliver(to: 1 - me, frames: .max)
            }
        }
    }

    private func goAway(_ end: SimulationEnd) {
        guard !end.goAwaySent else { return }
        end.goAwaySent = true
        end.mux.goAway(.stopping, retryAfterMilliseconds: 1_234)
    }

    /// Due frames, then DATA of some streams in frames of random sizes.
    private func pump(_ me: Int) {
        let end = ends[me]
        let bufferBytes = random.oneIn(2) ? 64 + random.below(200) : Frame.maximumBytes
        guard end.poll(into: links[me], bufferBytes: bufferBytes, times: 1 + random.below(40)) else {
            return
        }
        for _ in 0..<(1 + random.below(4)) {
            guard let stream = anyStream(end), !stream.call.isFiller else { continue }
            let frameBytes = random.oneIn(2) ? Frame.maximumPayloadBytes : random.size(bits: 13)
            end.send(
                stream, into: links[me], limit: frameBytes * (1 + random.below(20)), frameBytes: frameBytes)
        }
    }

    func deliver(to me: Int, frames: Int) throws {
        let (end, other, now, calls) = (ends[me], ends[1 - me], now, calls)
        try links[1 - me].deliver(frames) { frame in
            if frame.kind == .ping { other.pingsSent += 1 }
            try end.take(end.mux.receive(frame, now: now), calls: calls)
        }
    }

    // MARK: To the end

    /// Everybody does all they can, until nothing changes.
    private func settle() throws {
        for _ in 0..<2_000 {
            steps += 1
            now += 3_000_000
            var progress = false
            for me in 0..<2 {
                progress = try settleOnce(me) || progress
            }
            try check()
            if !progress { return }
        }
        throw failure("no end")
    }

    private func settleOnce(_ me: Int) throws -> Bool {
        let end = ends[me]
        let arrived = links[1 - me].count
        try deliver(to: me, frames: .max)
        for stream in end.order {
            end.accept(stream)
            if !stream.isStalledUntilEnd { end.consume(stream, .max, now: now) }
        }
        _ = end.poll(into: links[me], bufferBytes: Frame.maximumBytes)
        for stream in end.order where !stream.call.isFiller {
            end.send(stream, into: links[me], limit: .max, frameBytes: Frame.maximumPayloadBytes)
        }
        _ = end.poll(into: links[me], bufferBytes: Frame.maximumBytes)
        for stream in end.order { end.releaseIfDone(stream) }
        end.removeReleased()
        // Letting go of the last stream owes its tally.
        return arrived > 0 || links[me].count > 0 || end.mux.hasPending
    }

    // MARK: Oracles

    func check() throws {
        for end in ends {
            if let broken = end.mux.brokenInvariant { throw failure(broken) }
            let buffered = end.order.reduce(0) { $0 + $1.buffered }
            guard buffered == end.mux.bufferedBytes else {
                throw failure("\(buffered) bytes held, \(end.mux.bufferedBytes) counted")
            }
        }
    }

    private func checkEnd() throws {
        for (end, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            guard end.order.isEmpty, end.streams.isEmpty else {
                throw failure("\(end.order.count) streams left")
            }
            guard end.mux.isIdle, !end.mux.hasPending else { throw failure("not idle at the end") }
            guard end.mux.linkSendCredit + other.mux.unreturnedLinkBytes == Credit.linkBytes else {
                throw failure("link credit lost")
            }
            guard end.pongs == end.pingsSent else { throw failure("\(end.pongs) of \(end.pingsSent) pings") }
            guard end.talliesReceived == other.talliesSent else { throw failure("tally lost") }
            guard end.controlReceived == other.controlSent else { throw failure("control message lost") }
            guard end.goAwayReceived == other.goAwaySent else { throw failure("GOAWAY lost") }
        }
        let sentGoAway = ends.contains { $0.goAwaySent }
        for call in calls where call.resetReasons.isEmpty && !call.isRefused && !sentGoAway {
            for flow in call.flows where flow.received != flow.planned {
                throw failure("flow \(flow.key): \(flow.received) of \(flow.planned) bytes")
            }
        }
    }
}
