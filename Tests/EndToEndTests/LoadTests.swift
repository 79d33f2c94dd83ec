import Foundation
import Support
import Testing

/// Many connections, and what is left of them.
@Suite(.serialized, .heavy)
struct LoadTests {
    @Test(arguments: Kind.allCases)
    func `3,000 short connections leave no descriptor and no memory behind`(kind: Kind) throws {
        let echo = try TargetServer.echo()
        try withTunnel(kind, to: echo.endpoint) { pair in
            let entrance = try pair.entrance()
            let burst = { (count: Int) throws in
                let workers = (0..<4).map { worker in
                    Worker {
                        for number in 0..<count / 4 {
                            let client = try Socket.connect(to: entrance)
                            // Some go without a word, perhaps before the target was reached.
                            if (number + worker) % 4 < 3 { try client.requireEcho() }
                            switch (number + worker) % 4 {
                            case 0: client.reset()
                            case 1, 3: client.close()
                            default:
                                try client.shutdownWriting()
                                _ = try client.receiveToEnd()
                            }
                        }
                    }
                }
                for worker in workers { try worker.value() }
                _ = try eventually("the targets end") { echo.open == 0 ? true : nil }
            }
            try burst(400)
            let programs = [pair.server, pair.node]
            let before = programs.map { (files: $0.openFiles, memory: $0.residentBytes) }
            try burst(3_000)
            for (program, before) in zip(programs, before) {
                _ = try eventually(
                    "\(program.name) closes its files", evidence: { "\(program.openFiles) open" }
                ) {
                    program.openFiles <= before.files + 2 ? true : nil
                }
                let growth = program.residentBytes - before.memory
                #expect(growth < 8 << 20, "\(program.name) grew by \(growth >> 10) KiB")
            }
            #expect(echo.failures.allSatisfy { $0.contains("ECONNRESET") }, "\(echo.failures)")
        }
    }

    @Test(arguments: Kind.allCases)
    func `1,000 connections open at once each still work`(kind: Kind) throws {
        let echo = try TargetServer.echo(limit: .seconds(60))
        try withTunnel(kind, to: echo.endpoint) { pair in
            let entrance = try pair.entrance()
            let clients = try (0..<1_000).map { _ in try Socket.connect(to: entrance) }
            for round in 1...2 {
                for (number, client) in clients.enumerated() {
                    try client.send("connection \(number) round \(round)")
                }
                for (number, client) in clients.enumerated() {
                    let text = "connection \(number) round \(round)"
                    let back = try client.receive(exactly: text.utf8.count)
                    try #require(back == Array(text.utf8))
                }
            }
        }
    }

    @Test func `both kinds at once, both ways at full speed, do not hinder each other`() throws {
        let source = try TargetServer.source(Content(seed: 31), count: 50_000_000)
        let sink = try TargetServer(limit: .seconds(60)) { socket in
            try socket.receiveToEnd(Content(seed: 32), 0..<50_000_000)
            try socket.send("taken")
        }
        let pair = try TunnelPair(
            Kind.allCases.flatMap { kind in
                [(kind, Mapping(forward: source.endpoint)), (kind, Mapping(forward: sink.endpoint))]
            })
        try pair.explained {
            let workers = try (1...4).map { mapping in
                let client = try pair.connect(mapping)
                return Worker {
                    if mapping % 2 == 1 {
                        try client.receiveToEnd(Content(seed: 31), 0..<50_000_000)
                    } else {
                        try client.send(Content(seed: 32), 0..<50_000_000)
                        try client.shutdownWriting()
                        guard try client.receiveToEnd() == Array("taken".utf8) else {
                            throw Failure("not taken")
                        }
                    }
                }
            }
            for worker in workers { try worker.value() }
            #expect(source.failures == [] && sink.failures == [])
        }
    }

    /// Out of descriptors, a listener that closes or an accept loop that spins would end the service.
    @Test(arguments: Kind.allCases)
    func `clients beyond the limit of descriptors are turned away, and later ones served`(kind: Kind) throws {
        let echo = try TargetServer.echo()
        let pair = try TunnelPair([(kind, Mapping(forward: echo.endpoint))]) { $0.descriptors = 64 }
        try pair.explained {
            let entrance = try pair.entrance()
            let clients = try (0..<120).map { _ in try Socket.connect(to: entrance, limit: .seconds(10)) }
            let served = clients.filter { (try? $0.requireEcho()) != nil }.count
            #expect(served > 10 && served < 64, "\(served) of 120 were served\n\(pair.logs)")
            for client in clients { client.close() }
            _ = try eventually("the targets end") { echo.open == 0 ? true : nil }
            for _ in 0..<20 { try Socket.connect(to: entrance).requireEcho() }
            try pair.requireAlive()
            #expect(pair.server.logged("link-down").isEmpty, "\(pair.logs)")
            let used = try processorSeconds(of: pair.server)
            usleep(500_000)
            #expect(try processorSeconds(of: pair.server) - used < 0.25, "the server spins")
        }
    }

    /// User and system time, from /proc/PID/stat.
    private func processorSeconds(of program: Program) throws -> Double {
        let stat = try String(contentsOfFile: "/proc/\(program.pid)/stat", encoding: .utf8)
        let fields = stat.split(separator: ")")[1].split(separator: " ").map { Double($0) ?? 0 }
        return (fields[11] + fields[12]) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }
}
