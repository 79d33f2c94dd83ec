import Foundation
import Support
import Testing

/// Connections that never say who they are: bounded in time and number, and no burden to the link that is up.
@Suite(.waiting)
struct GateTests {
    @Test(arguments: [[UInt8(22)], [22, 3, 1, 2], []])
    func `a connection that stops speaking is closed in about five seconds`(first: [UInt8]) throws {
        let echo = try TargetServer.echo()
        try withTunnel(.listener, to: echo.endpoint) { pair in
            let client = try Socket.connect(to: pair.serverEndpoint)
            let started = ContinuousClock.now
            try client.send(first)
            // One that says nothing at all may still wait in the kernel, where it costs the server nothing.
            let end = client.end(within: first.isEmpty ? .seconds(30) : .seconds(12))
            let elapsed = ContinuousClock.now - started
            if !first.isEmpty {
                #expect(end.error != .timedOut && elapsed < .seconds(9), "\(end) after \(elapsed)")
            }
            #expect(end.bytes == 0)
            try pair.connect().requireEcho()
        }
    }

    @Test(arguments: [
        ("SSH-2.0-x\r\n", "not TLS: an SSH client"), ("GET / HTTP/1.1\r\n", "not TLS: an HTTP client"),
        ("hello", "not TLS: first byte 0x68"),
    ])
    func `the log says what has come instead of a node`(words: String, reason: String) throws {
        let echo = try TargetServer.echo()
        try withTunnel(.listener, to: echo.endpoint) { pair in
            let client = try Socket.connect(to: pair.serverEndpoint)
            try client.send(Array(words.utf8))
            let lines = try eventually("the refusal is logged") {
                let lines = pair.server.logged("handshake-failed")
                return lines.isEmpty ? nil : lines
            }
            #expect(lines.map { $0.fields["reason"] } == [reason], "\(pair.logs)")
        }
    }

    @Test func `300 silent connections leave the link that is up alone`() throws {
        let echo = try TargetServer.echo()
        try withTunnel(.listener, to: echo.endpoint) { pair in
            let before = (memory: pair.server.residentBytes, files: pair.server.openFiles)
            var strangers: [Socket] = []
            for number in 0..<300 {
                let source = Endpoint.tcp("127.0.\(number % 8 + 1).\(number % 100 + 2):0")
                let stranger = try Socket.connect(to: pair.serverEndpoint, from: source, limit: .seconds(20))
                if number % 2 == 0 { try? stranger.send([22]) }
                strangers.append(stranger)
            }
            var worst = Duration.zero
            let until = ContinuousClock.now + .seconds(4)
            while ContinuousClock.now < until {
                worst = max(worst, try ContinuousClock().measure { try pair.connect().requireEcho() })
            }
            #expect(worst < .seconds(1), "a new connection took \(worst)")
            #expect(pair.server.residentBytes - before.memory < 64 << 20)
            for (number, stranger) in strangers.enumerated() where number % 2 == 0 {
                let end = stranger.end(within: .seconds(12))
                #expect(end.bytes == 0 && end.error != .timedOut, "stranger \(number): \(end)")
            }
            strangers = []
            _ = try eventually("the server closes what strangers left", within: .seconds(30)) {
                pair.server.openFiles <= before.files + 4 ? true : nil
            }
            #expect(pair.server.logged("link-down").isEmpty, "\(pair.logs)")
            try pair.connect().requireEcho()
        }
    }

    /// The time is for all of it: each byte does not buy more.
    @Test func `a hello that comes in drops is not waited for`() throws {
        let relay = Locked<Relay?>(nil)
        let echo = try TargetServer.echo()
        try withTunnel(
            .listener, to: echo.endpoint,
            { setup in
                setup.route = { server in
                    let made = try Relay(to: server)
                    relay.set(made)
                    return made.endpoint
                }
            }
        ) { pair in
            let hello = try ClientHello(relay.get()?.recorded(.toTarget) ?? []).bytes
            let client = try Socket.connect(to: pair.serverEndpoint)
            let sender = Worker {
                for byte in hello {
                    guard (try? client.send([byte])) != nil else { return }
                    usleep(300_000)
                }
            }
            let started = ContinuousClock.now
            let end = client.end(within: .seconds(12))
            let elapsed = ContinuousClock.now - started
            #expect(end.error != .timedOut && elapsed < .seconds(9), "\(end) after \(elapsed)")
            client.abandon()
            try sender.value()
        }
    }
}
