import Foundation
import Mux
import Records
import Support
import Testing

/// Every connection is on record: who, through what, to where, how much, and how it ended.
@Suite(.light)
struct HistoryTests {
    @Test(arguments: Kind.allCases)
    func `a connection's record tells everything of it`(kind: Kind) throws {
        try withFleet { fleet in
            let echo = try TargetServer.echo()
            let (_, node) = try fleet.joinNode("edge-07")
            let mapping = try fleet.open(kind, of: "edge-07", name: "web", to: echo.endpoint)
            let client = try Socket.connect(to: mapping.entrance)
            let port = try client.localPort()
            try client.requireAlive(String(repeating: "x", count: 10_000))
            let open = try fleet.history().first { $0.clientPort == port }
            #expect(open != nil && open?.end == nil)
            try client.shutdownWriting()
            #expect(try client.receiveToEnd().isEmpty)
            client.close()

            let record = try fleet.record(of: port)
            #expect(record.node == "edge-07" && record.kind == kind.rawValue && record.mapping == mapping.id)
            #expect(record.mappingName == "web" && record.target == echo.endpoint.address)
            let id = try fleet.node("edge-07").text("id").filter { $0 != "-" }
            #expect(record.identity.map { String(format: "%02x", $0) }.joined() == id)
            let end = try #require(record.end)
            #expect(end.reason == "client-eof" && end.flags == 0)
            #expect(end.up == 10_000 && end.down == 10_000)
            #expect(end.nodeUp == 10_000 && end.nodeDown == 10_000)
            #expect(end.durationMicroseconds > 0 && end.durationMicroseconds < 60_000_000)
            #expect(node.isRunning)
        }
    }

    @Test(arguments: Kind.allCases)
    func `each way of ending has its word`(kind: Kind) throws {
        try withFleet { fleet in
            let echo = try TargetServer.echo(limit: .seconds(60))
            let (_, node) = try fleet.joinNode("edge-07")
            let mapping = try fleet.open(kind, of: "edge-07", to: echo.endpoint)
            func connected() throws -> (socket: Socket, port: Int) {
                let socket = try Socket.connect(to: mapping.entrance)
                try socket.requireAlive()
                return (socket, try socket.localPort())
            }
            func expectEnd(_ reason: String, of port: Int) throws {
                let record = try fleet.record(of: port)
                #expect(record.end?.reason == reason, "\(record)")
                #expect(record.end.map { $0.flags & 2 } == 0, "\(record)")
            }

            let reset = try connected()
            reset.socket.reset()
            try expectEnd("client-reset", of: reset.port)

            let goodbye = try TargetServer { socket in try socket.send("bye") }
            let leaving = try fleet.open(kind, of: "edge-07", to: goodbye.endpoint)
            let left = try Socket.connect(to: leaving.entrance)
            let leftPort = try left.localPort()
            #expect(try left.receiveToEnd() == Array("bye".utf8))
            left.close()
            try expectEnd("target-eof", of: leftPort)

            let nobody = try fleet.open(kind, of: "edge-07", to: .tcp("127.0.0.1:\(try freePort())"))
            let refused = try Socket.connect(to: nobody.entrance)
            try refused.requireEnd()
            #expect(try fleet.record(of: refused.localPort()).end?.reason == "target-refused")

            let removed = try connected()
            try fleet.remove(kind, mapping.id)
            try removed.socket.requireEnd()
            try expectEnd("mapping-removed", of: removed.port)

            let again = try fleet.open(kind, of: "edge-07", to: echo.endpoint)
            func connectedAgain() throws -> (socket: Socket, port: Int) {
                let socket = try Socket.connect(to: again.entrance)
                try socket.requireAlive()
                return (socket, try socket.localPort())
            }
            let lost = try connectedAgain()
            node.kill()
            try lost.socket.requireEnd()
            try expectEnd("link-lost", of: lost.port)
        }
    }

    @Test(arguments: Kind.allCases)
    func `disabling a node, and stopping the server, are on record`(kind: Kind) throws {
        try withFleet(["-drain", "0s"]) { fleet in
            let echo = try TargetServer.echo(limit: .seconds(60))
            let (_, _) = try fleet.joinNode("edge-07")
            let (_, _) = try fleet.joinNode("edge-08")
            let one = try fleet.open(kind, of: "edge-07", to: echo.endpoint)
            let two = try fleet.open(kind, of: "edge-08", to: echo.endpoint)
            let first = try Socket.connect(to: one.entrance)
            let second = try Socket.connect(to: two.entrance)
            for socket in [first, second] { try socket.requireAlive() }
            let ports = try [first.localPort(), second.localPort()]
            _ = try fleet.disable(node: "edge-07")
            try first.requireEnd()
            #expect(try fleet.record(of: ports[0]).end?.reason == "revoked")
            try second.requireAlive()
            try fleet.stopServer()
            #expect(try fleet.record(of: ports[1]).end?.reason == "server-stop")
            #expect(try fleet.notes("stop") == 1 && fleet.notes("gap") == 0)
            try fleet.resumeServer()
            #expect(try fleet.notes("gap", "server-stop") == 1 && fleet.notes("start") == 2)
        }
    }

    @Test(arguments: Kind.allCases)
    func `no byte passes, in either direction, before the opening is on disk`(kind: Kind) throws {
        try withFleet { fleet in
            // It speaks first, so both directions have something to say at once.
            let heard = Locked<[UInt8]>([])
            let target = try TargetServer(limit: .seconds(60)) { socket in
                try socket.send("hello")
                while true {
                    let bytes = try socket.receive()
                    if bytes.isEmpty { return }
                    heard.with { $0 += bytes }
                }
            }
            let (_, _) = try fleet.joinNode("edge-07")
            let mapping = try fleet.open(kind, of: "edge-07", to: target.endpoint)
            let lock = try fleet.lockDatabase()
            let client = try Socket.connect(to: mapping.entrance, limit: .seconds(1))
            try client.send("secret")
            // The dial does not wait.
            _ = try eventually("the target is dialled") { target.accepted == 1 ? true : nil }
            #expect(throws: SocketError.timedOut) { try client.receive(upTo: 1) }
            #expect(heard.get().isEmpty)
            #expect(try fleet.history().isEmpty)
            try lock.release()
            client.setLimit(.seconds(20))
            #expect(try client.receive(exactly: 5) == Array("hello".utf8))
            _ = try eventually("the target hears") { heard.get() == Array("secret".utf8) ? true : nil }
            #expect(try fleet.history().count == 1)
        }
    }

    @Test func `with best effort bytes do not wait for the disk`() throws {
        try withFleet(["-audit", "best-effort"]) { fleet in
            let echo = try TargetServer.echo()
            let (_, _) = try fleet.joinNode("edge-07")
            let mapping = try fleet.open(.listener, of: "edge-07", to: echo.endpoint)
            let lock = try fleet.lockDatabase()
            let client = try Socket.connect(to: mapping.entrance)
            let port = try client.localPort()
            try client.requireAlive()
            #expect(try fleet.history().isEmpty)
            try lock.release()
            client.close()
            let record = try fleet.record(of: port)
            #expect(record.end.map { $0.flags & 4 } == 4, "\(record)")
        }
    }

    @Test func `what has ended is shown as open, with its counts, until its end is on disk`() throws {
        try withFleet { fleet in
            let echo = try TargetServer.echo(limit: .seconds(60))
            let (_, _) = try fleet.joinNode("edge-07")
            let mapping = try fleet.open(.listener, of: "edge-07", to: echo.endpoint)
            let client = try Socket.connect(to: mapping.entrance)
            let port = try client.localPort()
            try client.requireAlive("twelve bytes")
            let lock = try fleet.lockDatabase()
            client.close()
            _ = try eventually("it has ended") {
                try fleet.admin("conn", "list").list().isEmpty ? true : nil
            }
            // The audit cannot have the look, so it is in the log.
            let shown = try fleet.control.ask("GET", "/v1/history?open=true")
            #expect("\(shown)".contains(":\(port)") && "\(shown)".contains("12"), "\(shown)")
            try lock.release()
            #expect(try fleet.record(of: port).end?.up == 12)
            _ = try eventually("nothing is open") {
                "\(try fleet.control.ask("GET", "/v1/history?open=true"))".contains(":\(port)") ? nil : true
            }
        }
    }

    @Test(arguments: Kind.allCases)
    func `kill -9 of the server leaves the counts, and says that it did`(kind: Kind) throws {
        try withFleet { fleet in
            let echo = try TargetServer.echo(limit: .seconds(60))
            let (_, _) = try fleet.joinNode("edge-07")
            let mapping = try fleet.open(kind, of: "edge-07", to: echo.endpoint)
            let client = try Socket.connect(to: mapping.entrance)
            let port = try client.localPort()
            try client.requireAlive(String(repeating: "y", count: 54_321))
            fleet.server.kill()
            try fleet.resumeServer()
            let record = try fleet.record(of: port)
            #expect(record.end?.reason == "server-crash" && record.end?.isRecovered == true)
            #expect(record.end?.up == 54_321 && record.end?.down == 54_321)
            #expect(record.end?.nodeUp == nil)
            // As long as the server lived, to the second.
            let gap = try #require(try fleet.gaps("server-crash").first)
            let ended = try #require(try fleet.endedAt(record.id))
            #expect((gap.from...gap.to).contains(ended), "\(ended - gap.from) \(gap.to - gap.from)")
            #expect(try fleet.notes("gap", "server-crash") == 1 && fleet.notes("stop") == 0)
        }
    }
}

@Suite(.light)
struct RefusalCountTests {
    @Test func `who got nothing is counted by cause, also when the server is killed`() throws {
        try withFleet { fleet in
            let (_, node) = try fleet.joinNode("edge-07")
            let nobody = try fleet.open(.listener, of: "edge-07", to: .tcp("127.0.0.1:\(try freePort())"))
            for _ in 0..<3 { try Socket.connect(to: nobody.entrance).requireEnd() }
            let stranger = try fleet.startNode(UUID().uuidString.lowercased())
            try fleet.server.waitForLog("handshake-failed", where: ["reason": "unknown credential"])
            stranger.kill()
            node.kill()
            try fleet.server.waitForLog("link-down")
            for _ in 0..<5 { try Socket.connect(to: nobody.entrance).requireEnd() }
            fleet.server.kill()
            try fleet.resumeServer()
            #expect(try fleet.refusals("target-refused") == 3)
            #expect(try fleet.refusals("node-away") == 5)
            #expect(try fleet.refusals("unknown-node") >= 1)
            #expect(try fleet.refusals("wrong-credential") == 0)
        }
    }
}

@Suite
struct ReasonTests {
    @Test func `each reason of the wire has the same word in the records`() {
        for reason in CloseReason.allCases {
            #expect(EndReason(rawValue: reason.description) != nil, "\(reason)")
        }
    }
}
