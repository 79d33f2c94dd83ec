import Foundation
import Support
import Testing

/// The checks themselves: each is shown a fault and has to see it.
@Suite(.light)
struct HarnessTests {
    @Test(arguments: [Relay.Direction.toTarget, .toClient])
    func `one wrong byte on the way fails a conversation`(direction: Relay.Direction) throws {
        let release = Locked(true)
        let target = try Conversation.target(release: release)
        let relay = try Relay(to: target.endpoint)
        let conversation = Conversation(number: 1, up: 500_000, down: 500_000, order: .together)
        let hold = { @Sendable () throws -> Void in
            try conversation.hold(
                try Socket.connect(to: relay.endpoint, limit: .seconds(5)), release: release)
        }
        try hold()
        #expect(target.failures == [])

        relay.flip(direction)
        let outcome = Result { try hold() }
        if case .success = outcome {
            _ = try eventually("the target complains") { target.failures.isEmpty ? nil : true }
        }
    }

    @Test func `content that is wrong, short, long or shifted is seen`() throws {
        let content = Content(seed: 1)
        let cases: [(name: String, bytes: [UInt8])] = [
            ("wrong", content.bytes(0..<99_999) + [content.bytes(99_999..<100_000)[0] ^ 1]),
            ("short", content.bytes(0..<99_999)), ("long", content.bytes(0..<100_001)),
            ("shifted", content.bytes(0..<50_000) + content.bytes(50_001..<100_001)),
            ("doubled", content.bytes(0..<50_000) + content.bytes(33_624..<83_624)),
            ("another's", Content(seed: 2).bytes(0..<100_000)),
        ]
        for (name, bytes) in cases {
            let server = try TargetServer { try $0.send(bytes) }
            let client = try Socket.connect(to: server.endpoint)
            #expect(throws: (any Error).self, "\(name)") { try client.receiveToEnd(content, 0..<100_000) }
        }
        let right = try TargetServer { try $0.send(content.bytes(0..<100_000)) }
        try Socket.connect(to: right.endpoint).receiveToEnd(content, 0..<100_000)
    }

    @Test func `an end, a reset and silence are told apart`() throws {
        let server = try TargetServer { socket in
            switch try socket.receive(exactly: 1)[0] {
            case 0: return
            case 1: socket.reset()
            default: _ = socket.end()
            }
        }
        let ends = try (0...2 as ClosedRange<UInt8>).map { what in
            let client = try Socket.connect(to: server.endpoint)
            try client.send([what])
            return client.end(within: .milliseconds(300)).error
        }
        #expect(ends == [nil, .reset, .timedOut])
    }

    @Test func `a blackhole swallows a connection attempt`() throws {
        let hole = try Blackhole()
        #expect(throws: SocketError.timedOut) {
            try Socket.connect(to: hole.endpoint, limit: .milliseconds(500))
        }
    }

    @Test func `a log line is taken apart`() throws {
        let line = try #require(
            LogLine(#"warn listener-failed time=1 listen="tcp a b" error="a \"b\" \\ c\n" empty="" last=x=y"#)
        )
        #expect(line.level == "warn" && line.event == "listener-failed")
        let fields = ["time": "1", "listen": "tcp a b", "error": #"a "b" \ c\n"#, "empty": "", "last": "x=y"]
        #expect(line.fields == fields)
        #expect(LogLine("goproxy-node: -port: missing value") == nil)
    }

    @Test func `waiting for a line shows the log when it does not come, and ends with the program`() throws {
        let script = "echo info first-event a=1 >&2; echo info second-event >&2; exec sleep 60"
        let program = try Program("/bin/sh", ["-c", script])
        try program.waitForLog("first-event", where: ["a": "1"])
        try program.waitForLog("second-event")
        let failure = #expect(throws: Failure.self) {
            try program.waitForLog("first-event", where: ["a": "2"], within: .milliseconds(50))
        }
        #expect(failure?.description.contains("second-event") == true)
        #expect(throws: Failure.self) {
            try program.waitForLog("first-event", after: 1, within: .milliseconds(50))
        }
        program.kill()
        let started = ContinuousClock.now
        #expect(throws: Failure.self) { try program.waitForLog("third-event", within: .seconds(30)) }
        #expect(ContinuousClock.now - started < .seconds(5))
    }

    @Test func `a program is killed with its owner, and its exit is told from a signal`() throws {
        var program: Program? = try Program("/bin/sleep", ["60"])
        let pid = try #require(program?.pid)
        #expect(kill(pid, 0) == 0)
        program = nil
        #expect(kill(pid, 0) == -1 && errno == ESRCH)

        #expect(try run("/bin/sh", ["-c", "exit 3"]).end == .exit(3))
        #expect(try run("/bin/sh", ["-c", "kill -11 $$"]).end == .signal(11))
    }

    @Test func `a program that dies unasked fails the test that used it`() throws {
        let echo = try TargetServer.echo()
        let failure = #expect(throws: Failure.self) {
            try withTunnel(.listener, to: echo.endpoint) { pair in pair.node.kill() }
        }
        #expect(failure?.description.contains("goproxy-node is gone") == true)
    }
}
