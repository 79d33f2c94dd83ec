import Support
import Testing

/// What the server may make a node do, as the node's operator decides.
@Suite(.light)
struct AllowTests {
    @Test func `a target outside the allow-list is refused, one inside works`() throws {
        let (inside, outside) = (try TargetServer.echo(), try TargetServer.echo())
        let mappings = [
            (Kind.listener, Mapping(forward: inside.endpoint)),
            (Kind.listener, Mapping(forward: outside.endpoint)),
        ]
        let pair = try TunnelPair(mappings) { $0.nodeFlags = ["-allow", inside.endpoint.address] }
        try pair.explained {
            try pair.connect(1).requireEcho()
            #expect(try pair.connect(2).end().error == .reset)
            let line = try pair.node.waitForLog(
                "sub-connection-failed", where: ["mapping": "2", "reason": "not-allowed"])
            #expect(line["target"].contains(outside.endpoint.address), "\(line)")
            #expect(outside.accepted == 0, "the node dialled a target that its allow-list forbids")
        }
    }

    @Test func `networks, port ranges and lists are understood`() throws {
        let target = try TargetServer.echo()
        let port = target.endpoint.port
        let cases: [(allow: String, isInside: Bool)] = [
            ("127.0.0.0/8:\(port)", true), ("127.0.0.0/8:1-65535", true),
            ("10.0.0.0/8:80,127.0.0.1:\(port)", true),
            ("0.0.0.0/0:\(port)", true), ("127.0.0.0/8:\(port - 1)", false), ("127.0.0.2/32:\(port)", false),
            ("128.0.0.0/1:\(port)", false), ("10.0.0.0/8:1-65535,[::1]:\(port)", false),
        ]
        for (allow, isInside) in cases {
            let before = target.accepted
            try withTunnel(.listener, to: target.endpoint, { $0.nodeFlags = ["-allow", allow] }) { pair in
                let client = try pair.connect()
                if isInside {
                    try client.requireEcho()
                } else {
                    #expect(client.end().error == .reset, "-allow \(allow)")
                    try pair.node.waitForLog("sub-connection-failed", where: ["reason": "not-allowed"])
                    #expect(target.accepted == before, "-allow \(allow)")
                }
            }
        }
    }

    @Test func `a name is judged by the address that it resolves to`() throws {
        let target = try TargetServer.echo()
        let name = Endpoint.tcp("localhost:\(target.endpoint.port)")
        try withTunnel(.listener, to: name, { $0.nodeFlags = ["-allow", target.endpoint.address] }) { pair in
            try pair.connect().requireEcho()
        }
        try withTunnel(.listener, to: name, { $0.nodeFlags = ["-allow", "10.0.0.0/8:1-65535"] }) { pair in
            #expect(try pair.connect().end().error == .reset)
            try pair.node.waitForLog("sub-connection-failed", where: ["reason": "not-allowed"])
        }
        #expect(target.accepted == 1)
    }

    @Test func `a bind outside the allow-list is refused and reported, one inside works`() throws {
        let echo = try TargetServer.echo()
        let (inside, outside) = (try freePort(), try freePort())
        let mappings = [inside, outside].map {
            (Kind.peerListener, Mapping(listen: .tcp("127.0.0.1:\($0)"), forward: echo.endpoint))
        }
        let pair = try TunnelPair(mappings) { setup in
            setup.nodeFlags = ["-allow", "127.0.0.1:\(inside)"]
            setup.waitsForListeners = false
        }
        try pair.explained {
            for side in [pair.node, pair.server] {
                try side.waitForLog("listener-active", where: ["mapping": "1"])
                let line = try side.waitForLog(
                    "listener-failed", where: ["mapping": "2", "kind": "peer-listener"])
                #expect(line["error"].contains("allow"), "\(line)")
                #expect(line["listen"] == "tcp 127.0.0.1:\(outside)", "\(line)")
            }
            try pair.connect(1).requireEcho()
            #expect(throws: SocketError.refused) { try Socket.connect(to: .tcp("127.0.0.1:\(outside)")) }
        }
    }

    @Test func `what the server itself dials is not the node's to allow`() throws {
        let echo = try TargetServer.echo()
        try withTunnel(.peerListener, to: echo.endpoint, { $0.nodeFlags = ["-allow", "127.0.0.1:*"] }) {
            pair in
            try pair.connect().requireEcho()
        }
    }
}
