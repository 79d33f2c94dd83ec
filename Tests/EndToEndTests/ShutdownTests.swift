import Foundation
import Support
import Testing

/// SIGTERM, SIGINT and SIGQUIT: finish what runs, start nothing, exit 0.
@Suite(.light)
struct ShutdownTests {
    enum Side: CaseIterable, Sendable {
        case server, node

        func of(_ pair: TunnelPair) -> Program { self == .server ? pair.server : pair.node }
    }

    @Test(arguments: Side.allCases, [SIGTERM, SIGINT, SIGQUIT])
    func `with nothing to finish a signal ends the program at once, exit 0`(side: Side, signal: Int32) throws
    {
        let echo = try TargetServer.echo()
        let pair = try TunnelPair([(.listener, Mapping(forward: echo.endpoint))])
        try pair.explained {
            try pair.connect().requireEcho()
            _ = try eventually("the target's connection ends") { echo.open == 0 ? true : nil }
            let stopping = side.of(pair)
            stopping.send(signal)
            #expect(try stopping.waitForExit(within: .seconds(3)) == .exit(0))
            let other = side == .server ? pair.node : pair.server
            try other.waitForLog("link-down")
            #expect(other.isRunning)
        }
    }

    /// The terminal that a program was started from goes, or somebody thinks that it reads its files again.
    @Test(arguments: Side.allCases)
    func `SIGHUP, SIGUSR1 and SIGUSR2 end nothing and are in the log`(side: Side) throws {
        let echo = try TargetServer.echo()
        try withTunnel(.listener, to: echo.endpoint) { pair in
            let client = try pair.connect()
            try client.requireEcho()
            let program = side.of(pair)
            for (number, name) in [(SIGHUP, "SIGHUP"), (SIGUSR1, "SIGUSR1"), (SIGUSR2, "SIGUSR2")] {
                program.send(number)
                try program.waitForLog("signal-ignored", where: ["signal": name])
            }
            try client.requireEcho()
        }
    }

    @Test(arguments: Side.allCases, Kind.allCases)
    func `a transfer that runs is finished, and nothing new begun`(side: Side, kind: Kind) throws {
        let content = Content(seed: 21)
        let resume = Locked(false)
        let target = try TargetServer { socket in
            try socket.send(content, 0..<3_000_000)
            _ = try eventually("resume", within: .seconds(30)) { resume.get() ? true : nil }
            try socket.send(content, 3_000_000..<6_000_000)
            try socket.shutdownWriting()
            _ = try socket.receiveToEnd()
        }
        let pair = try TunnelPair([(kind, Mapping(forward: target.endpoint))]) { setup in
            setup.serverFlags = ["-drain", "20s"]
            setup.nodeFlags = ["-drain", "20s"]
        }
        try pair.explained {
            let entrance = try pair.entrance()
            let client = try pair.connect()
            try client.receive(content, 0..<1_000_000)
            let stopping = side.of(pair)
            stopping.send(SIGTERM)
            // Until it has stopped to take new ones: refused, or closed without a byte.
            _ = try eventually("a newcomer is turned away") { try isTurnedAway(from: entrance) ? true : nil }
            #expect(stopping.isRunning, "it must not leave before the transfer is through")
            resume.set(true)
            try client.receive(content, 1_000_000..<6_000_000)
            try client.shutdownWriting()
            #expect(client.end().error == nil)
            #expect(try stopping.waitForExit(within: .seconds(5)) == .exit(0))
            #expect(target.failures == [])
        }
    }

    @Test(arguments: Side.allCases, Kind.allCases)
    func `what does not end is cut when the drain is over, exit 0`(side: Side, kind: Kind) throws {
        let echo = try TargetServer.echo()
        let pair = try TunnelPair([(kind, Mapping(forward: echo.endpoint))]) { setup in
            setup.serverFlags = ["-drain", "1s"]
            setup.nodeFlags = ["-drain=1s"]
        }
        try pair.explained {
            let client = try pair.connect()
            try client.requireEcho()
            let started = ContinuousClock.now
            let stopping = side.of(pair)
            stopping.send(SIGTERM)
            #expect(try stopping.waitForExit(within: .seconds(6)) == .exit(0))
            #expect(ContinuousClock.now - started >= .milliseconds(900), "the drain was not kept")
            #expect(client.end().error == .reset)
            _ = try eventually("the target's connection ends") { echo.open == 0 ? true : nil }
        }
    }

    @Test func `a server that was stopped and started again gets its node back`() throws {
        let echo = try TargetServer.echo()
        try withTunnel(.listener, to: echo.endpoint) { pair in
            pair.server.send(SIGTERM)
            #expect(try pair.server.waitForExit(within: .seconds(5)) == .exit(0))
            try pair.restartServer()
            try pair.connect().requireEcho()
        }
    }

    /// While a link is down the node waits to try again; a signal has to reach it there too.
    @Test func `a node without a server ends at once, exit 0`() throws {
        let directory = try TemporaryDirectory()
        try directory.write("uuid", UUID().uuidString)
        let node = try Program.goproxy(
            "goproxy-node", ["-port", "\(try freePort())", "-uuid-file", directory.file("uuid")])
        try node.waitForLog("connect-failed")
        node.send(SIGTERM)
        #expect(try node.waitForExit(within: .seconds(3)) == .exit(0))
    }

    @Test func `the uuid is not to be seen in the process list or the log`() throws {
        let directory = try TemporaryDirectory()
        let uuid = UUID().uuidString
        for flag in [["-uuid", uuid], ["-uuid=\(uuid)"]] {
            let server = try Program.goproxy(
                "goproxy-server",
                flag + ["-host", "127.0.0.1", "-port", "0", "-data", directory.file("data"), "-verbose"])
            let port = Endpoint.tcp(try server.waitForLog("server-listening")["address"]).port
            let node = try Program.goproxy("goproxy-node", ["-port", "\(port)"] + flag + ["-verbose"])
            try server.waitForLog("link-up")
            try node.waitForLog("link-up")
            for program in [server, node] {
                let line = try String(contentsOfFile: "/proc/\(program.pid)/cmdline", encoding: .utf8)
                #expect(
                    line.contains("goproxy-") && line.contains("-verbose"),
                    "the command line was read: \(line)")
                #expect(!line.contains(uuid) && !line.contains(uuid.prefix(8)), "\(line)")
                #expect(!program.transcript.contains(uuid))
            }
        }
    }

    private func isTurnedAway(from entrance: Endpoint) throws -> Bool {
        let newcomer: Socket
        do {
            newcomer = try Socket.connect(to: entrance, limit: .milliseconds(500))
        } catch SocketError.refused {
            return true
        }
        let end = newcomer.end(within: .milliseconds(500))
        return end.bytes == 0 && end.error != .timedOut
    }
}
