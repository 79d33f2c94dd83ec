import Foundation
import Support
import Testing

/// How a connection breaks: what a direct connection gives in the same test, a mapping of either kind gives, in either direction.
struct DirectConnectionTests {
    /// How an end read to the end: its bytes, and the error behind them.
    private struct Seen: Equatable, CustomStringConvertible {
        let bytes: Int
        let error: SocketError?

        init(_ end: (bytes: Int, error: SocketError?)) { (bytes, error) = end }

        var description: String { "\(bytes) bytes, then \(error.map { "\($0)" } ?? "an orderly end")" }
    }

    private static let tries = 20

    /// What each way shows: first the direct one, then the tunnel's.
    private func compare(
        _ kind: Kind, to target: Endpoint, _ expected: Seen, _ look: (Endpoint) throws -> Seen
    ) throws {
        for number in 1...Self.tries { #expect(try look(target) == expected, "direct, \(number)") }
        try withTunnel(kind, to: target) { pair in
            let entrance = try pair.entrance()
            for number in 1...Self.tries { #expect(try look(entrance) == expected, "\(kind), \(number)") }
        }
    }

    enum Farewell: String, CaseIterable, CustomTestStringConvertibleByRawValue {
        case answer = "an answer to an upload whose body stays unread"
        case banner = "a banner while a greeting stays unread"
        case reset = "much, and a reset"

        var question: Int { self == .answer ? 2_000 : self == .banner ? 30 : 0 }
        var words: Int { self == .answer ? 500 : self == .banner ? 60 : 50_000 }

        func say(to socket: Socket) throws {
            if self == .answer { _ = try socket.receive(exactly: 1_000) }
            if question > 0 { try socket.waitForUnread() }
            try socket.send([UInt8](repeating: 7, count: words))
            if self == .reset { socket.reset() } else { socket.close() }
        }
    }

    @Test(.light, arguments: Kind.allCases, Farewell.allCases)
    func `what a target says before it resets arrives, and then the reset`(
        kind: Kind, farewell: Farewell
    ) throws {
        let target = try TargetServer { try farewell.say(to: $0) }
        try compare(kind, to: target.endpoint, Seen((farewell.words, .reset))) { endpoint in
            let client = try Socket.connect(to: endpoint)
            try client.send([UInt8](repeating: 1, count: farewell.question))
            return Seen(client.end())
        }
    }

    @Test(.light, arguments: Kind.allCases, [Farewell.answer, .banner])
    func `and so does what a target on a Unix socket says`(kind: Kind, farewell: Farewell) throws {
        let directory = try TemporaryDirectory()
        let target = try TargetServer(on: .unix(directory.file("target.sock"))) { try farewell.say(to: $0) }
        try compare(kind, to: target.endpoint, Seen((farewell.words, .reset))) { endpoint in
            let client = try Socket.connect(to: endpoint)
            try client.send([UInt8](repeating: 1, count: farewell.question))
            return Seen(client.end())
        }
    }

    /// A Unix socket has no reset: its client gets all, and an end.
    @Test(.light, arguments: Kind.allCases, Farewell.allCases)
    func `a client on a Unix socket gets all that a target says before it resets`(
        kind: Kind, farewell: Farewell
    ) throws {
        let directory = try TemporaryDirectory()
        let target = try TargetServer { try farewell.say(to: $0) }
        let listen = Endpoint.unix(directory.file("client.sock"))
        let pair = try TunnelPair([(kind, Mapping(listen: listen, forward: target.endpoint))])
        try pair.explained {
            for _ in 1...Self.tries {
                let client = try pair.connect()
                try client.send([UInt8](repeating: 1, count: farewell.question))
                #expect(client.end().bytes == farewell.words)
            }
        }
    }

    @Test(.light, arguments: Kind.allCases, ["tcp", "unix"])
    func `what a client says before it resets reaches the target`(kind: Kind, domain: String) throws {
        let directory = try TemporaryDirectory()
        let seen = Locked([Seen]())
        let endpoint: Endpoint = domain == "unix" ? .unix(directory.file("target.sock")) : .anyPort
        let target = try TargetServer(on: endpoint) { socket in
            let end = Seen(socket.end())
            seen.with { $0.append(end) }
        }
        // Closed by the program that reads, a Unix socket ends in order, whatever is behind it.
        let tunnelled = Seen((1_000, domain == "unix" ? nil : .reset))
        func speak(to endpoint: Endpoint, _ expected: Seen, _ way: String) throws {
            seen.with { $0 = [] }
            for _ in 1...Self.tries {
                let client = try Socket.connect(to: endpoint)
                try client.send([UInt8](repeating: 1, count: 1_000))
                client.reset()
            }
            let all = try eventually("the target has seen all", evidence: { "\(seen.get())" }) {
                seen.get().count == Self.tries ? seen.get() : nil
            }
            #expect(all.allSatisfy { $0 == expected }, "\(way): \(all)")
        }
        if domain == "tcp" { try speak(to: target.endpoint, Seen((1_000, .reset)), "direct") }
        try withTunnel(kind, to: target.endpoint) { pair in
            try speak(to: try pair.entrance(), tunnelled, "\(kind)")
        }
    }

    /// More than its own system takes: the tunnel keeps it until the client has it, and resets it only then.
    @Test(.light, arguments: Kind.allCases)
    func `a client that reads late gets all that was said before the reset`(kind: Kind) throws {
        let words = 200_000
        let target = try TargetServer { socket in
            try socket.send([UInt8](repeating: 7, count: words))
            try socket.waitUntilAcknowledged()
            socket.reset()
        }
        try withTunnel(
            kind, to: target.endpoint, { ($0.serverFlags, $0.nodeFlags) = (["-verbose"], ["-verbose"]) }
        ) { pair in
            let client = try pair.connect(receiveBuffer: 4_096)
            try pair.dialing(kind).waitForLog("sub-connection-closed", where: ["reason": "target-reset"])
            #expect(Seen(client.end()) == Seen((words, .reset)))
        }
    }

    @Test(.light, arguments: Kind.allCases)
    func `a target that accepts and resets at once is on record as one that reset`(kind: Kind) throws {
        let target = try TargetServer { $0.reset() }
        try withTunnel(
            kind, to: target.endpoint, { ($0.serverFlags, $0.nodeFlags) = (["-verbose"], ["-verbose"]) }
        ) { pair in
            for _ in 1...100 {
                let seen = Seen(try pair.connect().end())
                #expect(seen == Seen((0, .reset)))
            }
            let lines = try eventually("all are closed", evidence: { pair.logs }) {
                let lines = pair.dialing(kind).logged("sub-connection-closed")
                return lines.count == 100 ? lines : nil
            }
            #expect(lines.allSatisfy { $0["reason"] == "target-reset" })
            #expect(pair.dialing(kind).logged("sub-connection-failed").isEmpty)
        }
    }

    enum Victim: String, CaseIterable, CustomTestStringConvertibleByRawValue { case server, node }

    enum Way: String, CaseIterable, CustomTestStringConvertibleByRawValue { case down, up }

    @Test(.light, arguments: Victim.allCases, Way.allCases)
    func `a killed program is a reset for who reads what it carried, and not an end`(
        victim: Victim, way: Way
    ) throws {
        for kind in Kind.allCases {
            let heard = Locked(Seen?.none)
            let target = try TargetServer { socket in
                guard way == .up else {
                    while (try? socket.send([UInt8](repeating: 7, count: 10_000))) != nil {}
                    return
                }
                try socket.send("go")
                let end = Seen(socket.end(within: .seconds(30)))
                heard.with { $0 = end }
            }
            let pair = try TunnelPair([(kind, Mapping(forward: target.endpoint))])
            let client = try pair.connect()
            _ = try client.receive(exactly: way == .down ? 300_000 : 2)
            if way == .up { try client.send([UInt8](repeating: 1, count: 100_000)) }
            (victim == .server ? pair.server : pair.node).kill()
            let end = Seen(client.end(within: .seconds(30)))
            #expect(end.error == .reset, "the client over a \(kind): \(end)")
            guard way == .up else { continue }
            let seen = try eventually("the target over a \(kind) hears it") { heard.get() }
            #expect(seen.error == .reset, "the target over a \(kind): \(seen)")
        }
    }

    /// The byte stays in its place among the others; its mark is lost.
    @Test(.light, arguments: Kind.allCases)
    func `an urgent byte and what stands behind it arrive, both ways`(kind: Kind) throws {
        let echo = try TargetServer { socket in
            socket.keepUrgentBytes()
            let request = try socket.receive(exactly: 7)
            try socket.send("abc")
            try socket.sendUrgent(33)
            try socket.send("def")
            try socket.send(request)
            _ = try socket.receiveToEnd()
        }
        func look(_ endpoint: Endpoint) throws -> String {
            let client = try Socket.connect(to: endpoint)
            client.keepUrgentBytes()
            try client.send("xyz")
            try client.sendUrgent(63)
            try client.send("uvw")
            return String(decoding: try client.receive(exactly: 14), as: UTF8.self)
        }
        for _ in 1...Self.tries { #expect(try look(echo.endpoint) == "abc!defxyz?uvw") }
        try withTunnel(kind, to: echo.endpoint) { pair in
            let entrance = try pair.entrance()
            for _ in 1...Self.tries { #expect(try look(entrance) == "abc!defxyz?uvw") }
        }
    }
}
