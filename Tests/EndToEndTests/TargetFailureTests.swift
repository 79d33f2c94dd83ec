import Foundation
import Support
import Testing

/// Targets that cannot be had: the client gets what a direct connection would give, the log says why.
struct TargetFailureTests {
    @Test(.light, arguments: Kind.allCases)
    func `a target that refuses is a reset at the client and a line in the log`(kind: Kind) throws {
        let nobody = Endpoint.tcp("127.0.0.1:\(try freePort())")
        try withTunnel(kind, to: nobody) { pair in
            let client = try pair.connect()
            let end = client.end()
            #expect(end.error == .reset && end.bytes == 0, "\(end)\n\(pair.logs)")
            let line = try pair.dialing(kind).waitForLog(
                "sub-connection-failed", where: ["mapping": "1", "reason": "target-refused"])
            #expect(line["target"].contains(nobody.address))
            #expect(line["error"].lowercased().contains("refused"))
        }
    }

    @Test(.waiting, arguments: Kind.allCases)
    func `a blackholed target ends the client after the connect timeout`(kind: Kind) throws {
        let hole = try Blackhole()
        try withTunnel(kind, to: hole.endpoint) { pair in
            let client = try pair.connect()
            let started = ContinuousClock.now
            let end = client.end(within: .seconds(25))
            let elapsed = ContinuousClock.now - started
            #expect(end.error == .reset && end.bytes == 0, "\(end)\n\(pair.logs)")
            #expect(elapsed > .seconds(7) && elapsed < .seconds(20), "after \(elapsed)")
            try pair.dialing(kind).waitForLog(
                "sub-connection-failed", where: ["mapping": "1", "reason": "target-timeout"])
        }
    }

    @Test(.light, arguments: Kind.allCases)
    func `a target that does not exist is a reset and names what is missing`(kind: Kind) throws {
        try withTunnel(kind, to: .unix("/nonexistent/goproxy.sock")) { pair in
            #expect(try pair.connect().end().error == .reset, "\(pair.logs)")
            let line = try pair.dialing(kind).waitForLog("sub-connection-failed", where: ["mapping": "1"])
            #expect(line["error"].lowercased().contains("no such file"), "\(line)")
        }
    }

    /// The client cancels while the dial is pending; the stream's slot and the dial have to go.
    @Test(.light, arguments: Kind.allCases)
    func `clients that give up on a blackholed target leave the tunnel whole`(kind: Kind) throws {
        let hole = try Blackhole()
        let echo = try TargetServer.echo()
        let pair = try TunnelPair([
            (kind, Mapping(forward: hole.endpoint)), (kind, Mapping(forward: echo.endpoint)),
        ])
        try pair.explained {
            try pair.connect(2).requireEcho()
            _ = try eventually("the target's connection ends") { echo.open == 0 ? true : nil }
            let before = pair.dialing(kind).openFiles
            for _ in 0..<50 { try pair.connect(1).reset() }
            // Well before the dials would time out.
            _ = try eventually("no dial is left", within: .seconds(5)) {
                pair.dialing(kind).openFiles <= before ? true : nil
            }
            try pair.connect(2).requireEcho()
            try pair.requireAlive()
        }
    }

    /// connect(2) of a direct client waits for room in the backlog; that of a program that must not wait says EAGAIN.
    @Test(.light, arguments: Kind.allCases)
    func `a unix target whose backlog is full for a while serves all who wait`(kind: Kind) throws {
        let directory = try TemporaryDirectory()
        let busy = Endpoint.unix(directory.file("busy"))
        let listening = try Socket.listening(on: busy, backlog: 2)
        // Clients that are not dialled again would be waited for without an end.
        listening.setLimit(.seconds(30))
        let echo = try TargetServer.echo()
        let pair = try TunnelPair([(kind, Mapping(forward: busy)), (kind, Mapping(forward: echo.endpoint))])
        try pair.explained {
            let clients = try (0..<30).map { _ in try pair.connect(1) }
            // One link, in order: by now the others have been dialled too.
            try pair.connect(2).requireEcho()
            let direct = Locked<String?>(nil)
            Thread.detachNewThread {
                let bytes = try? Socket.connect(to: busy).receiveToEnd()
                direct.set(bytes.map { String(decoding: $0, as: UTF8.self) })
            }
            for _ in 0...clients.count {
                let accepted = accept(listening.descriptor, nil, nil)
                try #require(accepted >= 0)
                try Socket(owning: accepted).send("served")
            }
            for client in clients { #expect(try client.receiveToEnd() == Array("served".utf8)) }
            _ = try eventually("the direct client is served as well") {
                direct.get() == "served" ? true : nil
            }
        }
    }

    /// A free port that the kernel may give to the dial itself, which has then found itself.
    @Test(.light, arguments: Kind.allCases)
    func `nobody is never the dialling program itself`(kind: Kind) throws {
        guard canHaveOwnNetwork else { return }
        try withOwnNetwork {
            let ports = [40_000, 40_001]
            let pair = try TunnelPair(
                ports.map {
                    (
                        kind,
                        Mapping(listen: .tcp("127.0.0.1:\($0 - 30_000)"), forward: .tcp("127.0.0.1:\($0)"))
                    )
                })
            try pair.explained {
                // Few ports, so that it happens soon.
                try command("sysctl", "-qw", "net.ipv4.ip_local_port_range=40000 40007")
                for number in 0..<40 {
                    let from = Endpoint.tcp("127.0.0.1:\(11_000 + number)")
                    let client = try Socket.connect(to: try pair.entrance(1 + number % 2), from: from)
                    let end = client.end()
                    try #require(end.error == .reset && end.bytes == 0, "\(end)")
                }
            }
        }
    }

    @Test(.light, arguments: Kind.allCases)
    func `a target that comes up later is reached`(kind: Kind) throws {
        let port = try freePort()
        let address = Endpoint.tcp("127.0.0.1:\(port)")
        try withTunnel(kind, to: address) { pair in
            #expect(try pair.connect().end().error == .reset)
            let echo = try TargetServer.echo(on: address)
            try pair.connect().requireEcho()
            _ = echo
        }
    }

    /// What came before the target answered waits for it: data and the end of the client's direction.
    @Test(.light, arguments: Kind.allCases)
    func `a target that answers late gets all that the client has said`(kind: Kind) throws {
        let hole = try Blackhole()
        try withTunnel(kind, to: hole.endpoint) { pair in
            let client = try pair.connect()
            try client.send(Content(seed: 4), 0..<50_000)
            try client.shutdownWriting()
            // Neither an end nor a reset while the dial is pending.
            client.setLimit(.milliseconds(300))
            #expect(throws: SocketError.timedOut) { try client.receive(upTo: 1) }
            client.setLimit(.seconds(20))
            let connection = try hole.open()
            try connection.receiveToEnd(Content(seed: 4), 0..<50_000)
            try connection.send("late")
            try connection.shutdownWriting()
            #expect(try client.receiveToEnd() == Array("late".utf8))
        }
    }

    @Test(.light, arguments: Kind.allCases)
    func `with -verbose each sub-connection has its two lines, counts and reason`(kind: Kind) throws {
        let target = try TargetServer { socket in
            _ = try socket.receiveToEnd()
            try socket.send(Content(seed: 1), 0..<5_000)
        }
        try withTunnel(
            kind, to: target.endpoint,
            { setup in
                setup.serverFlags = ["-verbose"]
                setup.nodeFlags = ["-verbose"]
            }
        ) { pair in
            let client = try pair.connect()
            try client.send(Content(seed: 2), 0..<1_234)
            try client.shutdownWriting()
            try client.receiveToEnd(Content(seed: 1), 0..<5_000)
            for program in [pair.server, pair.node] {
                let opened = try program.waitForLog("sub-connection-opened", where: ["mapping": "1"])
                #expect(opened["client"].hasPrefix("127.0.0.1:"), "\(opened)")
                // A node that listens is not told where the server forwards to.
                let knows = program === pair.server || kind == .listener
                #expect(opened["target"] == (knows ? target.endpoint.description : "-"), "\(opened)")
                let closed = try program.waitForLog("sub-connection-closed", where: ["mapping": "1"])
                #expect(closed["target"] == opened["target"], "\(closed)")
                #expect(closed["up"] == "1234" && closed["down"] == "5000", "\(closed)")
                #expect(
                    closed["client"] == opened["client"] && Int(closed["duration-ms"]) != nil, "\(closed)")
                #expect(["client-eof", "target-eof"].contains(closed["reason"]), "\(closed)")
            }
        }
    }
}
