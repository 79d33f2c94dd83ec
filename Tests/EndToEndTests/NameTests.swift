import Foundation
import Support
import Testing

/// Names, beside a direct connection's: what one name server does not say must cost only those who ask it.
@Suite(.light, .enabled(if: canHaveOwnNetwork, "needs root, for a name server"))
struct NameTests {
    private static let hosts =
        "127.0.0.1 localhost\n127.0.0.1 gw.example\n::1 dual.example\n127.0.0.1 dual.example\n"

    /// `dead` is never answered, `half` only for IPv4, `turn` with another address each time.
    private func withNames(_ body: () throws -> Void) throws {
        try withOwnNetwork(hosts: Self.hosts) {
            let turn = Locked(0)
            let server = try NameServer { name, kind in
                let isFour = kind == .address4
                switch name.prefix(while: { $0 != "." }) {
                case "good": return isFour ? ["127.77.2.21"] : []
                case "half": return isFour ? ["127.77.2.21"] : nil
                case "turn":
                    let number = turn.with { turn in
                        turn = (turn + 1) % 3
                        return turn
                    }
                    return isFour ? ["127.77.2.\(21 + number)"] : []
                default: return nil
                }
            }
            try body()
            withExtendedLifetime(server) {}
        }
    }

    /// One port, on every address that the names stand for.
    private func targets() throws -> (port: Int, [TargetServer]) {
        let first = try TargetServer.echo()
        let port = first.endpoint.port
        return (
            port, [first] + (try (21...23).map { try TargetServer.echo(on: .tcp("127.77.2.\($0):\(port)")) })
        )
    }

    @Test(arguments: Kind.allCases)
    func `a silent name costs those who ask it, and no other`(kind: Kind) throws {
        try withNames {
            let (port, targets) = try targets()
            let names = [
                "dead.example:80", "localhost:\(port)", "good.example:\(port)", "half.example:\(port)",
            ]
            let pair = try TunnelPair(names.map { (kind, Mapping(forward: .tcp($0))) })
            try pair.explained {
                let waiting = try (0..<20).map { _ in try pair.connect(1) }
                for mapping in 2...4 { try pair.connect(mapping).requireEcho() }
                // They went ahead: those of the silent name have not ended yet.
                for client in waiting {
                    client.setLimit(.milliseconds(1))
                    #expect(throws: SocketError.timedOut) { try client.receive(upTo: 1) }
                }
                #expect(pair.dialing(kind).logged("sub-connection-failed").isEmpty)
            }
            withExtendedLifetime(targets) {}
        }
    }

    @Test(arguments: ["gw.example", "good.example"])
    func `a link comes back by its name while others are not answered`(name: String) throws {
        try withNames {
            let server = name == "gw.example" ? "127.0.0.1" : "0.0.0.0"
            let pair = try TunnelPair([(.listener, Mapping(forward: .tcp("dead.example:80")))]) {
                $0.serverHost = server
                $0.route = { $0.at(name) }
            }
            try pair.explained {
                let waiting = try (0..<20).map { _ in try pair.connect(1) }
                try pair.restartServer()
                let failed = pair.node.logged("connect-failed").map { $0["error"] }
                #expect(failed.allSatisfy { $0.contains("refused") }, "\(failed)")
                withExtendedLifetime(waiting) {}
            }
        }
    }

    @Test func `a dead name in the allow-list keeps none that is alive`() throws {
        try withNames {
            let (port, targets) = try targets()
            let address = "127.77.2.22:\(port)"
            let pair = try TunnelPair([
                (.listener, Mapping(forward: .tcp("good.example:\(port)"))),
                // Which is one of a name's that is allowed.
                (.listener, Mapping(forward: .tcp("127.77.2.21:\(port)"))),
                (.listener, Mapping(forward: .tcp(address))),
            ]) {
                $0.nodeFlags = ["-allow", "old.example:\(port),GOOD.example:\(port)", "-dial-timeout", "3s"]
            }
            try pair.explained {
                try pair.connect(1).requireEcho()
                try pair.connect(2).requireEcho()
                #expect(try pair.connect(3).end().error == .reset)
                let line = try pair.node.waitForLog("sub-connection-failed", where: ["mapping": "3"])
                #expect(line["reason"] == "not-allowed" && line["error"].contains(address), "\(line)")
                #expect(targets[2].accepted == 0)
            }
        }
    }

    @Test func `a name in the allow-list may have other addresses each time`() throws {
        try withNames {
            let (port, targets) = try targets()
            let name = "turn.example:\(port)"
            let pair = try TunnelPair([(.listener, Mapping(forward: .tcp(name)))]) {
                $0.nodeFlags = ["-allow", name]
            }
            try pair.explained {
                for _ in 0..<12 { try pair.connect().requireEcho() }
            }
            withExtendedLifetime(targets) {}
        }
    }

    @Test func `the domain tcp4 asks for no other addresses`() throws {
        let asked = Locked<Set<NameServer.Kind>>([])
        try withOwnNetwork {
            let server = try NameServer { _, kind in
                asked.with { _ = $0.insert(kind) }
                return kind == .address4 ? ["127.0.0.1"] : nil
            }
            let echo = try TargetServer.echo()
            let forward = Endpoint("tcp4", "four.example:\(echo.endpoint.port)")
            try withTunnel(.listener, to: forward) { try $0.connect().requireEcho() }
            withExtendedLifetime(server) {}
        }
        #expect(asked.get() == [.address4])
    }

    /// Where every other address is IPv4, the system's resolver leaves ::1 out if it is asked for what the machine has.
    @Test(arguments: Kind.allCases)
    func `localhost is also ::1 on a machine whose other addresses are all IPv4`(kind: Kind) throws {
        try withOwnNetwork {
            try command("ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1")
            try command("sysctl", "-qw", "net.ipv6.conf.d0.disable_ipv6=1")
            try command("ip", "addr", "add", "10.77.7.1/24", "dev", "d0")
            try command("sysctl", "-qw", "net.ipv6.conf.d1.disable_ipv6=1")
            for end in ["d0", "d1"] { try command("ip", "link", "set", end, "up") }
            for host in ["[::1]", "127.0.0.1"] {
                let echo = try TargetServer.echo(on: .tcp("\(host):0"))
                let port = echo.endpoint.port
                let domains = ["tcp", host == "[::1]" ? "tcp6" : "tcp4"]
                let pair = try TunnelPair(
                    domains.map { (kind, Mapping(forward: Endpoint($0, "localhost:\(port)"))) })
                try pair.explained {
                    for mapping in 1...domains.count { try pair.connect(mapping).requireEcho() }
                }
            }
        }
    }

    /// To a name whose IPv6 address leads nowhere.
    @Test(arguments: Kind.allCases)
    func `an address that does not answer costs a quarter of a second`(kind: Kind) throws {
        try withNames {
            let echo = try TargetServer.echo()
            let hole = try Blackhole(on: .tcp("[::1]:\(echo.endpoint.port)"))
            try withTunnel(
                kind, to: .tcp("dual.example:\(echo.endpoint.port)"),
                {
                    $0.serverFlags = ["-dial-timeout", "30m"]
                    $0.nodeFlags = ["-dial-timeout", "30m"]
                }
            ) { pair in
                // Not before the other one is given up, in half an hour or when the kernel does.
                try pair.connect(limit: .seconds(60)).requireEcho()
            }
            withExtendedLifetime(hole) {}
        }
    }
}
