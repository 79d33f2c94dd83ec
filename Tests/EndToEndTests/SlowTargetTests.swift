import Support
import Testing

@Suite(.serialized, .heavy)
struct SlowTargetTests {
    /// 20 × 16 MiB would be 320 MiB if it were kept; a link may keep 64 MiB, the rest is room for the allocator.
    static let stalled = 20
    static let each = 16 << 20
    static let allowance = 96 << 20

    /// Those that have read before have large windows by the time they stop.
    @Test(arguments: Kind.allCases, [0, 10_000_000])
    func `20 clients that stop reading stall only themselves, in bounded memory`(kind: Kind, after: Int)
        throws
    {
        let each = Self.each + after
        let target = try TargetServer(limit: .seconds(120)) { socket in
            let seed = try socket.receive(exactly: 1)[0]
            try socket.send(Content(seed: UInt64(seed)), 0..<each)
            try socket.shutdownWriting()
        }
        try withTunnel(kind, to: target.endpoint) { pair in
            let memory = try Memory(of: pair)
            let clients = try (1...Self.stalled).map { seed in
                let client = try pair.connect(receiveBuffer: 16_384, limit: .seconds(60))
                try client.send([UInt8(seed)])
                return client
            }
            _ = try eventually("all targets are connected") { target.accepted == Self.stalled ? true : nil }
            try forEach(clients) { try $0.receive($1, 0..<after) }
            for seed in 100..<106 as Range<UInt8> {
                let other = try pair.connect()
                try other.send([seed])
                try other.receiveToEnd(Content(seed: UInt64(seed)), 0..<each)
                try memory.check()
            }
            try forEach(clients) { try $0.receiveToEnd($1, after..<each) }
            try memory.check()
            _ = try eventually("the targets end") { target.open == 0 ? true : nil }
            #expect(target.failures == [])
        }
    }

    private func forEach(_ clients: [Socket], _ body: @escaping @Sendable (Socket, Content) throws -> Void)
        throws
    {
        let workers = clients.enumerated().map { index, client in
            Worker { try body(client, Content(seed: UInt64(index + 1))) }
        }
        for worker in workers { try worker.value(within: .seconds(90)) }
    }

    @Test(arguments: Kind.allCases)
    func `20 targets that do not read stall only themselves, in bounded memory`(kind: Kind) throws {
        let resume = Locked(false)
        let target = try TargetServer(limit: .seconds(120)) { socket in
            let seed = try socket.receive(exactly: 1)[0]
            if seed < 100 {
                _ = try eventually("resume", within: .seconds(120)) { resume.get() ? true : nil }
            }
            try socket.receiveToEnd(Content(seed: UInt64(seed)), 0..<Self.each)
            try socket.send([seed])
        }
        try withTunnel(kind, to: target.endpoint) { pair in
            let memory = try Memory(of: pair)
            let upload = { @Sendable (client: Socket, seed: UInt8) in
                try client.send([seed])
                try client.send(Content(seed: UInt64(seed)), 0..<Self.each)
                try client.shutdownWriting()
                guard try client.receiveToEnd() == [seed] else { throw Failure("upload \(seed): no answer") }
            }
            let workers = try (1...UInt8(Self.stalled)).map { seed in
                let client = try pair.connect(limit: .seconds(120))
                return Worker { try upload(client, seed) }
            }
            _ = try eventually("all targets are connected") { target.accepted == Self.stalled ? true : nil }
            for seed in 100..<106 as Range<UInt8> {
                try upload(try pair.connect(), seed)
                try memory.check()
            }
            resume.set(true)
            for worker in workers { try worker.value(within: .seconds(90)) }
            try memory.check()
            #expect(target.failures == [])
        }
    }

    @Test(arguments: Kind.allCases)
    func `an echo stays quick beside a client that does not read its own`(kind: Kind) throws {
        let target = try TargetServer.echo(limit: .seconds(60))
        try withTunnel(kind, to: target.endpoint) { pair in
            let talker = try pair.connect()
            let flood = try pair.connect(receiveBuffer: 16_384)
            let flooding = Worker { try? flood.send(Content(seed: 3), 0..<64 << 20) }
            var worst = Duration.zero
            for _ in 0..<200 {
                worst = max(worst, try ContinuousClock().measure { try talker.requireEcho() })
            }
            #expect(worst < .seconds(1), "an echo took \(worst)")
            flood.abandon()
            try flooding.value()
        }
    }
}

/// The most that both programs ever had, over where they stand now.
private struct Memory {
    private let programs: [(program: Program, start: Int)]

    init(of pair: TunnelPair) throws {
        programs = [pair.server, pair.node].map { ($0, $0.residentBytes) }
        guard programs.allSatisfy({ $0.start > 0 }) else { throw Failure("no memory figures\n\(pair.logs)") }
    }

    func check() throws {
        for (program, start) in programs {
            let growth = program.peakResidentBytes - start
            guard growth <= SlowTargetTests.allowance else {
                throw Failure("\(program.name) grew by \(growth >> 20) MiB from \(start >> 20) MiB")
            }
        }
    }
}
