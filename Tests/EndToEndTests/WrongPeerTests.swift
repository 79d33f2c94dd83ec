import Foundation
import Support
import Testing

/// Who else knocks at the main port: turned away with a line in the log, and the link that is up does not notice.
@Suite(.light)
struct WrongPeerTests {
    @Test func `a node with a wrong uuid is refused, both sides say so, and neither ends`() throws {
        try withServer { pair in
            let directory = try TemporaryDirectory()
            let uuid = UUID().uuidString
            try directory.write("uuid", uuid)
            let server = pair.serverEndpoint
            let stranger = try Program.goproxy(
                "goproxy-node",
                ["-host", server.host, "-port", "\(server.port)", "-uuid-file", directory.file("uuid")])
            let there = try stranger.waitForLog("handshake-failed")
            #expect(there["address"] == server.address && !there["reason"].isEmpty, "\(there)")
            let here = try pair.server.waitForLog("handshake-failed")
            #expect(here["address"].hasPrefix("127.0.0.1:") && !here["reason"].isEmpty, "\(here)")
            #expect(stranger.isRunning)
            #expect(stranger.logged("link-up").isEmpty)
            for line in stranger.errors + pair.server.errors {
                #expect(!line.contains(uuid) && !line.contains(pair.uuid), "a secret in the log: \(line)")
            }
        }
    }

    /// Otherwise the difference would tell a scanner which identities exist.
    @Test func `every wrong credential gets the same alert`() throws {
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
            let hello = try ClientHello(relay.get()?.recorded(.toTarget) ?? [])
            let wrongKey = try answer(of: pair, to: hello.flipping(hello.binder.lowerBound))
            let unknown = try answer(of: pair, to: hello.flipping(hello.identity.lowerBound))
            let both = try openSSL(
                pair, ["-tls1_3", "-psk", "00112233445566778899aabbccddeeff", "-psk_identity", "x"])
            #expect(wrongKey == unknown, "known identity \(wrongKey), unknown identity \(unknown)")
            #expect(wrongKey == both, "known identity \(wrongKey), unknown name \(both)")
            #expect(isAlertOrNothing(wrongKey), "\(wrongKey)")

            // The first flight of a real node, sent again: it gets a ServerHello, and no further.
            let replayed = try answer(of: pair, to: hello.bytes)
            #expect(replayed.first == 22, "a replay proves that the answers above are to a well-formed hello")
            #expect(pair.server.logged("link-up").count == 1, "\(pair.logs)")
            try pair.connect().requireEcho()
        }
    }

    @Test(arguments: [
        ("without a PSK", ["-tls1_3"]),
        ("with TLS 1.2", ["-tls1_2"]),
        ("with TLS 1.2 and a PSK", ["-tls1_2", "-psk", "0011", "-psk_identity", "x", "-cipher", "PSK"]),
        (
            "with AES-256",
            ["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384", "-psk", "0011", "-psk_identity", "x"]
        ),
        ("with ChaCha20", ["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256", "-psk", "00112233"]),
        ("with another group", ["-tls1_3", "-groups", "X448", "-psk", "00112233"]),
        ("with early data", ["-tls1_3", "-early_data", "/etc/hostname", "-psk", "00112233"]),
    ])
    func `openssl is refused`(how: String, flags: [String]) throws {
        try withServer { pair in
            let answer = try openSSL(pair, flags)
            #expect(isAlertOrNothing(answer), "\(how): \(answer)")
            try pair.server.waitForLog("handshake-failed")
        }
    }

    @Test func `an HTTP client is turned away without an answer`() throws {
        try withServer { pair in
            let started = ContinuousClock.now
            let done = try run(
                Tool.curl, ["-s", "-S", "-m", "20", "http://\(pair.serverEndpoint.address)/"],
                within: .seconds(30))
            #expect([.exit(52), .exit(56)].contains(done.end), "\(done.transcript)")
            #expect(done.output == [])
            #expect(ContinuousClock.now - started < .seconds(8))
            let line = try pair.server.waitForLog("handshake-failed")
            #expect(!line["reason"].isEmpty, "\(line)")
        }
    }

    @Test func `bytes of chance get no answer and are closed`() throws {
        var random = SeededRandom(seed: runSeed)
        try withServer { pair in
            for size in [1, 2, 5, 64, 1_024, 100_000] {
                let client = try Socket.connect(to: pair.serverEndpoint)
                let bytes = (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
                try? client.send(bytes)
                try? client.shutdownWriting()
                let end = client.end(within: .seconds(10))
                #expect(end.bytes <= 7 && end.error != .timedOut, "\(size) bytes of seed \(runSeed): \(end)")
            }
        }
    }

    /// Begins as TLS does and goes on as nothing.
    @Test func `hellos that are broken anywhere are refused and leave the server whole`() throws {
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
            let hello = try ClientHello(relay.get()?.recorded(.toTarget) ?? [])
            let mark = pair.server.logged("link-up").count
            for index in stride(from: 0, to: hello.bytes.count, by: max(1, hello.bytes.count / 60)) {
                let client = try Socket.connect(
                    to: pair.serverEndpoint, from: .tcp("127.0.0.\(index % 200 + 2):0"))
                try client.send(hello.flipping(index))
                try client.shutdownWriting()
                let end = client.end(within: .seconds(10))
                #expect(end.error != .timedOut, "byte \(index)")
            }
            #expect(pair.server.logged("link-up").count == mark)
            try pair.connect().requireEcho()
        }
    }

    // MARK: Helpers

    private func withServer(_ body: (TunnelPair) throws -> Void) throws {
        let echo = try TargetServer.echo()
        try withTunnel(.listener, to: echo.endpoint) { pair in
            try body(pair)
            try pair.connect().requireEcho()
            #expect(pair.server.logged("link-down").isEmpty, "\(pair.logs)")
        }
    }

    /// All that the server says to these bytes.
    private func answer(of pair: TunnelPair, to bytes: [UInt8]) throws -> [UInt8] {
        let client = try Socket.connect(to: pair.serverEndpoint, limit: .seconds(10))
        try client.send(bytes)
        var answer: [UInt8] = []
        while let more = try? client.receive(), !more.isEmpty { answer += more }
        return answer
    }

    private func openSSL(_ pair: TunnelPair, _ flags: [String]) throws -> [UInt8] {
        let relay = try Relay(to: pair.serverEndpoint)
        let done = try run(
            Tool.openssl, ["s_client", "-connect", relay.endpoint.address] + flags, within: .seconds(20))
        guard done.end != .exit(0) else { throw Failure("openssl is content\n\(done.transcript)") }
        guard relay.connections == 1 else { throw Failure("openssl did not connect\n\(done.transcript)") }
        return relay.recorded(.toClient)
    }

    /// A record of type 21 with its two bytes, or silence; no ServerHello, no certificate.
    private func isAlertOrNothing(_ answer: [UInt8]) -> Bool {
        answer.isEmpty || (answer.count == 7 && answer[0] == 21)
    }
}
