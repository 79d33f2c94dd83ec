import Foundation
import Support
import Testing

/// Programs that are killed or stopped at any moment under load. What a client has got is right, and what is cut short
/// shows as a reset at the end that lives on, never as a clean end.
@Suite(.serialized, .heavy)
struct ChaosTests {
    private struct Tally: Sendable {
        var whole = 0
        var broken = 0
        var faults: [String] = []
    }

    @Test(arguments: Kind.allCases)
    func `the dialling side is killed again and again under load`(kind: Kind) throws {
        var random = SeededRandom(seed: runSeed)
        let target = try TargetServer(limit: .seconds(60)) { socket in
            let seed = try socket.receive(exactly: 1)[0]
            // A client or a program that went away is what this is about.
            try? socket.send(Content(seed: UInt64(seed)), 0..<Self.count(seed))
            try? socket.shutdownWriting()
            _ = socket.end()
        }
        try withTunnel(kind, to: target.endpoint) { pair in
            let entrance = try pair.entrance()
            let isOver = Locked(false)
            let tally = Locked(Tally())
            let workers = (1...6).map { number in
                Worker {
                    var seed = UInt8(number)
                    while !isOver.get() {
                        seed = seed &+ 6
                        Self.fetch(seed, from: entrance, tally)
                    }
                }
            }
            // A node that keeps losing its server waits longer each time.
            for round in 1...(kind == .listener ? 6 : 2) {
                let before = tally.get().whole
                _ = try eventually("some bodies get through in round \(round)", within: .seconds(30)) {
                    tally.get().whole >= before + 3 ? true : nil
                }
                usleep(UInt32.random(in: 0...50_000, using: &random))
                if kind == .listener { try pair.restartNode() } else { try pair.restartServer() }
            }
            isOver.set(true)
            for worker in workers { try worker.value() }
            let result = tally.get()
            #expect(result.faults == [], "seed \(runSeed)\n\(pair.logs)")
            #expect(result.broken > 0, "nothing was hit: \(result.whole) whole")
            #expect(try pair.entrance() == entrance)
        }
    }

    /// A laptop's lid, a debugger, a virtual machine that moves: less than what makes a peer count as dead.
    @Test(arguments: Kind.allCases)
    func `a program that stands still for a while goes on where it was`(kind: Kind) throws {
        let target = try TargetServer.source(Content(seed: 41), count: 60_000_000)
        try withTunnel(kind, to: target.endpoint) { pair in
            for program in [pair.server, pair.node] {
                let client = try pair.connect(limit: .seconds(20))
                try client.receive(Content(seed: 41), 0..<5_000_000)
                program.send(SIGSTOP)
                let resume = Worker {
                    usleep(3_000_000)
                    program.send(SIGCONT)
                }
                try client.receiveToEnd(Content(seed: 41), 5_000_000..<60_000_000)
                try resume.value()
            }
            #expect(
                pair.server.logged("link-down").isEmpty && pair.node.logged("link-down").isEmpty,
                "\(pair.logs)")
        }
    }

    private static func count(_ seed: UInt8) -> Int { 200_000 + Int(seed) * 30_000 }

    private static func fetch(_ seed: UInt8, from entrance: Endpoint, _ tally: Locked<Tally>) {
        do {
            let client = try Socket.connect(to: entrance, limit: .seconds(20))
            try client.send([seed])
            try client.receiveToEnd(Content(seed: UInt64(seed)), 0..<count(seed))
            tally.with { $0.whole += 1 }
        } catch SocketError.reset, SocketError.brokenPipe, Ended.error(_, .reset) {
            tally.with { $0.broken += 1 }
            usleep(10_000)
        } catch {
            tally.with { $0.faults.append("body \(seed): \(error)") }
            usleep(10_000)
        }
    }
}
