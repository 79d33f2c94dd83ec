import Foundation
import Support
import Testing

/// Programs that die, links that are cut, and what comes back by itself.
@Suite(.light)
struct LinkLossTests {
    /// What a client or a target sees of its connection when the link goes: at the end whose program lives on, a RST.
    @Test(arguments: Kind.allCases)
    func `kill -9 of the node ends its connections, and a new one works on the same port`(kind: Kind) throws {
        let content = Content(seed: 9)
        let target = try TargetServer.endlessSource(content)
        try withTunnel(kind, to: target.endpoint) { pair in
            let entrance = try pair.entrance()
            let client = try pair.connect()
            try client.receive(content, 0..<10_000_000)
            pair.node.kill()
            let (count, error) = try client.drain(content, from: 10_000_000)
            if kind == .listener {
                #expect(error == .reset, "after \(count) bytes\n\(pair.logs)")
            }
            let down = try pair.server.waitForLog("link-down", where: ["node": "default"])
            #expect(down["sub-connections"] == "1", "\(down)")
            _ = try eventually("the target's connection ends") { target.open == 0 ? true : nil }

            try pair.restartNode()
            if kind == .listener { #expect(try pair.entrance() == entrance) }
            try pair.connect().receive(content, 0..<1_000_000)
        }
    }

    @Test(arguments: Kind.allCases)
    func `kill -9 of the server ends its connections, and the node finds the new one`(kind: Kind) throws {
        let content = Content(seed: 10)
        let target = try TargetServer.endlessSource(content)
        try withTunnel(kind, to: target.endpoint) { pair in
            let entrance = try pair.entrance()
            let client = try pair.connect()
            try client.receive(content, 0..<10_000_000)
            let node = pair.node.mark
            pair.server.kill()
            let (count, error) = try client.drain(content, from: 10_000_000)
            if kind == .peerListener {
                #expect(error == .reset, "after \(count) bytes\n\(pair.logs)")
            }
            try pair.node.waitForLog("link-down", after: node)
            _ = try eventually("the target's connection ends") { target.open == 0 ? true : nil }
            try pair.restartServer()
            if kind == .peerListener {
                #expect(try pair.entrance() == entrance, "the node keeps its listener")
            }
            try pair.connect().receive(content, 0..<1_000_000)
        }
    }

    @Test func `while the node is away a client is closed at once, with the reason logged`() throws {
        let echo = try TargetServer.echo()
        try withTunnel(.listener, to: echo.endpoint) { pair in
            try pair.connect().requireEcho()
            pair.node.kill()
            try pair.server.waitForLog("link-down")
            let client = try pair.connect()
            let started = ContinuousClock.now
            #expect(client.end().error == .reset, "\(pair.logs)")
            #expect(ContinuousClock.now - started < .seconds(1))
            let line = try pair.server.waitForLog("sub-connection-refused", where: ["reason": "node-away"])
            #expect(line["mapping"] == "1" && line["client"].hasPrefix("127.0.0.1:"), "\(line)")
            try pair.restartNode()
            try pair.connect().requireEcho()
        }
    }

    @Test func `while the server is away a client of the node is closed at once, with the reason logged`()
        throws
    {
        let echo = try TargetServer.echo()
        try withTunnel(.peerListener, to: echo.endpoint) { pair in
            try pair.connect().requireEcho()
            pair.server.kill()
            try pair.node.waitForLog("link-down")
            #expect(try pair.connect().end().error == .reset, "\(pair.logs)")
            try pair.node.waitForLog("sub-connection-refused", where: ["mapping": "1"])
            try pair.node.waitForLog("connect-failed")
            try pair.restartServer()
            try pair.connect().requireEcho()
        }
    }

    /// The node starts before there is a server, and gets its link when one comes.
    @Test func `a node waits for its server`() throws {
        let directory = try TemporaryDirectory()
        try directory.write("uuid", UUID().uuidString)
        let port = try freePort()
        let node = try Program.goproxy(
            "goproxy-node", ["-port", "\(port)", "-uuid-file", directory.file("uuid")])
        let line = try node.waitForLog("connect-failed")
        #expect(
            line["address"] == "127.0.0.1:\(port)" && line["error"].lowercased().contains("refused"),
            "\(line)")
        #expect(Int(line["retry-ms"]) != nil, "\(line)")
        let server = try Program.goproxy(
            "goproxy-server",
            [
                "-host", "127.0.0.1", "-port", "\(port)", "-uuid-file", directory.file("uuid"),
                "-data", directory.file("data"),
            ])
        try server.waitForLog("link-up")
        try node.waitForLog("link-up", within: .seconds(30))
    }

    @Test(arguments: Kind.allCases)
    func `a link that is cut comes back by itself, and its listeners keep their ports`(kind: Kind) throws {
        let echo = try TargetServer.echo()
        let relay = Locked<Relay?>(nil)
        try withTunnel(
            kind, to: echo.endpoint,
            { setup in
                setup.route = { server in
                    let made = try Relay(to: server)
                    relay.set(made)
                    return made.endpoint
                }
            }
        ) { pair in
            let entrance = try pair.entrance()
            for round in 1...3 {
                let client = try Socket.connect(to: entrance)
                try client.requireEcho()
                let (server, node) = (pair.server.mark, pair.node.mark)
                relay.get()?.cut()
                try #require(client.end().error == .reset, "round \(round)\n\(pair.logs)")
                try pair.server.waitForLog("link-down", after: server)
                try pair.node.waitForLog("link-up", after: node, within: .seconds(30))
                try pair.server.waitForLog("link-up", after: server)
                let again = try eventually("the entrance works again") {
                    let socket = try Socket.connect(to: entrance)
                    return (try? socket.requireEcho()).map { socket }
                }
                again.close()
            }
        }
    }

    @Test(arguments: [Relay.Direction.toTarget, .toClient])
    func `one flipped bit on the wire ends the link and reaches nobody`(direction: Relay.Direction) throws {
        let content = Content(seed: 11)
        let target = try TargetServer.endlessSource(content)
        let relay = Locked<Relay?>(nil)
        try withTunnel(
            .listener, to: target.endpoint,
            { setup in
                setup.route = { server in
                    let made = try Relay(to: server)
                    relay.set(made)
                    return made.endpoint
                }
            }
        ) { pair in
            let client = try pair.connect()
            try client.receive(content, 0..<2_000_000)
            relay.get()?.flip(direction)
            let (count, error) = try client.drain(content, from: 2_000_000)
            #expect(error == .reset, "after \(count) bytes\n\(pair.logs)")
            try pair.server.waitForLog("link-down")
            try pair.node.waitForLog("link-down")
        }
    }

    @Test(arguments: Kind.allCases)
    func `a second node with the same uuid takes over and the first is told`(kind: Kind) throws {
        let echo = try TargetServer.echo()
        try withTunnel(kind, to: echo.endpoint) { pair in
            let entrance = try pair.entrance()
            let old = try pair.connect()
            try old.requireEcho()
            let mark = pair.server.mark
            let second = try pair.startSecondNode()
            try second.waitForLog("link-up")
            try pair.node.waitForLog("link-down", where: ["reason": "replaced"])
            try pair.server.waitForLog("link-up", after: mark)
            #expect(old.end().error == .reset, "\(pair.logs)\n\(second.transcript)")
            if kind == .listener {
                let client = try Socket.connect(to: entrance)
                try client.requireEcho()
                // The first must not come back at once and take over in its turn, for ever.
                client.setLimit(.seconds(3))
                #expect(throws: SocketError.timedOut) { try client.receive(upTo: 1) }
                try client.requireEcho()
            } else {
                let active = try second.waitForLog("listener-active", where: ["mapping": "1"])
                try Socket.connect(to: .tcp(active["bound"])).requireEcho()
            }
            #expect(pair.node.isRunning, "\(pair.logs)")
        }
    }

    /// A dead peer is noticed after two minutes; the newest link does not wait for it.
    @Test func `a node behind a dead path takes over from its own old link`() throws {
        let echo = try TargetServer.echo()
        let relays = Locked<[Relay]>([])
        try withTunnel(
            .listener, to: echo.endpoint,
            { setup in
                setup.route = { server in
                    let made = try Relay(to: server)
                    relays.with { $0.append(made) }
                    return made.endpoint
                }
            }
        ) { pair in
            let entrance = try pair.entrance()
            try pair.connect().requireEcho()
            relays.get()[0].freeze()
            pair.node.kill()
            try pair.restartNode()
            #expect(try pair.entrance() == entrance)
            try pair.connect().requireEcho()
        }
    }
}

@Suite(.waiting)
struct DeadPeerTests {
    @Test func `a path that swallows everything is noticed by both sides after the time that was set`() throws
    {
        let echo = try TargetServer.echo()
        let relay = Locked<Relay?>(nil)
        try withTunnel(
            .listener, to: echo.endpoint,
            { setup in
                setup.serverFlags = ["-link-timeout", "20s"]
                setup.nodeFlags = ["-link-timeout", "20s"]
                setup.route = { server in
                    let made = try Relay(to: server)
                    relay.set(made)
                    return made.endpoint
                }
            }
        ) { pair in
            let client = try pair.connect()
            try client.requireEcho()
            relay.get()?.freeze()
            try pair.server.waitForLog("link-down", within: .seconds(65))
            try pair.node.waitForLog("link-down", within: .seconds(20))
            #expect(client.end().error == .reset)
        }
    }
}
