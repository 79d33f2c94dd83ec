import Foundation
import Support
import Testing

/// Every form of address that a mapping may have, and a main link over IPv6.
@Suite(.light)
struct DomainTests {
    @Test(arguments: Kind.allCases)
    func `a unix socket can be listened on and dialled`(kind: Kind) throws {
        let directory = try TemporaryDirectory()
        let target = try TargetServer.echo(on: .unix(directory.file("target")))
        let listen = Endpoint.unix(directory.file("entrance"))
        let pair = try TunnelPair([
            (kind, Mapping(listen: listen, forward: target.endpoint)),
            (kind, Mapping(forward: target.endpoint)),
        ])
        try pair.explained {
            for mapping in [1, 2] {
                let client = try pair.connect(mapping)
                try client.requireEcho()
                try client.send(Content(seed: 5), 0..<100_000)
                try client.shutdownWriting()
                try client.receiveToEnd(Content(seed: 5), 0..<100_000)
            }
            let stopping = pair.listening(kind)
            stopping.send(SIGTERM)
            try stopping.waitForExit()
            #expect(
                !FileManager.default.fileExists(atPath: listen.address), "the socket's file is left behind")
        }
    }

    @Test func `a unix socket left behind by a killed server does not keep the next one out`() throws {
        let directory = try TemporaryDirectory()
        let echo = try TargetServer.echo()
        let listen = Endpoint.unix(directory.file("entrance"))
        let pair = try TunnelPair([(.listener, Mapping(listen: listen, forward: echo.endpoint))])
        try pair.explained {
            try pair.restartServer()
            try pair.connect().requireEcho()
        }
    }

    @Test func `a file that is no socket is never removed to listen`() throws {
        let directory = try TemporaryDirectory()
        let echo = try TargetServer.echo()
        let path = try directory.write("precious", "keep me")
        let pair = try TunnelPair([(.listener, Mapping(listen: .unix(path), forward: echo.endpoint))]) {
            $0.waitsForListeners = false
        }
        try pair.server.waitForLog("listener-failed", where: ["mapping": "1"])
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "keep me")
    }

    struct Form: Sendable, CustomStringConvertible {
        let listen: Endpoint
        let answers: [String]
        let refuses: [String]

        var description: String { listen.description }
    }

    static let forms: [Form] = [
        Form(listen: Endpoint("tcp4", "127.0.0.1:0"), answers: ["127.0.0.1"], refuses: ["127.0.0.2", "::1"]),
        Form(listen: Endpoint("tcp6", "[::1]:0"), answers: ["::1"], refuses: ["127.0.0.1"]),
        Form(listen: Endpoint("tcp", "[::1]:0"), answers: ["::1"], refuses: ["127.0.0.1"]),
        Form(listen: Endpoint("tcp", ":0"), answers: ["127.0.0.1", "::1"], refuses: []),
        Form(listen: Endpoint("tcp", "[::]:0"), answers: ["127.0.0.1", "::1"], refuses: []),
        Form(listen: Endpoint("tcp", "0.0.0.0:0"), answers: ["127.0.0.1"], refuses: ["::1"]),
        Form(listen: Endpoint("tcp4", ":0"), answers: ["127.0.0.1"], refuses: ["::1"]),
        Form(listen: Endpoint("tcp6", ":0"), answers: ["::1"], refuses: ["127.0.0.1"]),
        Form(listen: Endpoint("tcp6", "[::]:0"), answers: ["::1"], refuses: ["127.0.0.1"]),
        Form(listen: Endpoint("tcp4", "localhost:0"), answers: ["127.0.0.1"], refuses: ["::1"]),
    ]

    @Test(.enabled(if: hasIPv6, "needs IPv6 on the loopback"), arguments: forms, Kind.allCases)
    func `each form of address listens where it says, and only there`(form: Form, kind: Kind) throws {
        let echo = try TargetServer.echo()
        let pair = try TunnelPair([(kind, Mapping(listen: form.listen, forward: echo.endpoint))])
        try pair.explained {
            let active = try pair.listening(kind).waitForLog("listener-active")
            #expect(active["listen"] == form.listen.description, "\(active)")
            let bound = Endpoint.tcp(active["bound"])
            #expect(bound.port > 0, "\(active)")
            for host in form.answers { try Socket.connect(to: bound.at(host)).requireEcho() }
            for host in form.refuses {
                #expect(throws: SocketError.refused, "\(form) answers on \(host)") {
                    try Socket.connect(to: bound.at(host))
                }
            }
        }
    }

    @Test(.enabled(if: hasIPv6, "needs IPv6 on the loopback"), arguments: ["tcp", "tcp6"], Kind.allCases)
    func `a target has an IPv6 address`(domain: String, kind: Kind) throws {
        let echo = try TargetServer.echo(on: .tcp("[::1]:0"))
        try withTunnel(kind, to: Endpoint(domain, echo.endpoint.address)) { try $0.connect().requireEcho() }
    }

    @Test(arguments: Kind.allCases)
    func `a target has a name`(kind: Kind) throws {
        let echo = try TargetServer.echo()
        try withTunnel(kind, to: .tcp("localhost:\(echo.endpoint.port)")) { try $0.connect().requireEcho() }
    }

    @Test(
        .enabled(if: hasIPv6, "needs IPv6 on the loopback"),
        arguments: [("::1", "::1"), ("::", "127.0.0.1"), ("::", "::1"), ("127.0.0.1", "localhost")])
    func `the main link goes over IPv6, IPv4 and by name`(host: String, dialled: String) throws {
        let directory = try TemporaryDirectory()
        try directory.write("uuid", UUID().uuidString)
        let server = try Program.goproxy(
            "goproxy-server",
            [
                "-host", host, "-port", "0", "-uuid-file", directory.file("uuid"), "-data",
                directory.file("data"),
            ])
        let port = Endpoint.tcp(try server.waitForLog("server-listening")["address"]).port
        let node = try Program.goproxy(
            "goproxy-node", ["-host", dialled, "-port", "\(port)", "-uuid-file", directory.file("uuid")])
        try node.waitForLog("link-up", within: .seconds(15))
        try server.waitForLog("link-up")
    }
}

private let hasIPv6 = (try? Socket.listening(on: .tcp("[::1]:0"), backlog: 1)) != nil
