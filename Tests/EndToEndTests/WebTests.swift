import Support
import Testing

@Suite(.serialized, .heavy)
struct WebTests {
    @Test(.enabled(if: Tool.exist(Tool.curl), "needs curl"), arguments: Kind.allCases)
    func `curl gets a body of 1 GB, every byte of it right`(kind: Kind) throws {
        let server = try WebServer()
        let count = 1_000_000_000
        try withTunnel(kind, to: server.target.endpoint) { pair in
            let url = "http://\(try pair.entrance().address)/1000/\(count)"
            let body = pair.directory.file("body")
            let lines = try run(
                Tool.curl, ["-s", "-S", "-o", body, "-w", "%{http_code} %{size_download}\n", url],
                within: .seconds(100)
            ).succeeded()
            #expect(lines == ["200 \(count)"])
            try pair.directory.check("body", is: Content(seed: 1000), count: count)
        }
        #expect(server.target.failures == [])
    }

    @Test(.enabled(if: Tool.exist(Tool.curl), "needs curl"), arguments: Kind.allCases)
    func `curl gets 200 bodies at once, each its own`(kind: Kind) throws {
        let server = try WebServer()
        try withTunnel(kind, to: server.target.endpoint) { pair in
            let url = "http://\(try pair.entrance().address)/[1-200]/123457"
            let lines = try run(
                Tool.curl,
                [
                    "-s", "-S", "--parallel", "--parallel-immediate", "--parallel-max", "200",
                    "-o", pair.directory.file("body-#1"), "-w", "%{http_code} %{size_download}\n", url,
                ], within: .seconds(60)
            ).succeeded()
            #expect(lines == Array(repeating: "200 123457", count: 200))
            for seed in 1...200 {
                try pair.directory.check("body-\(seed)", is: Content(seed: UInt64(seed)), count: 123_457)
            }
        }
        #expect(server.target.accepted == 200)
        #expect(server.target.failures == [])
    }

    @Test(arguments: Kind.allCases)
    func `an upload that ends with a half-close gets its whole answer afterwards`(kind: Kind) throws {
        let server = try WebServer()
        try withTunnel(kind, to: server.target.endpoint) { pair in
            let client = try pair.connect()
            try client.send("POST /upload HTTP/1.1\r\nHost: test\r\n\r\n")
            try client.send(Content(seed: 8), 0..<20_000_000)
            try client.shutdownWriting()
            let header = "HTTP/1.1 200 OK\r\nX-Received: 20000000\r\n\r\n"
            #expect(String(decoding: try client.receive(exactly: header.utf8.count), as: UTF8.self) == header)
            try client.receiveToEnd(WebServer.answer, 0..<WebServer.answerBytes)
        }
        #expect(server.target.failures == [])
    }
}

@Suite(.waiting)
struct IdleTests {
    /// The same over five minutes is a simulation's, whose clock can be driven.
    @Test(arguments: Kind.allCases)
    func `a connection that is silent for a minute still works`(kind: Kind) throws {
        let target = try TargetServer.echo(limit: .seconds(120))
        try withTunnel(kind, to: target.endpoint) { pair in
            let client = try pair.connect(limit: .seconds(20))
            try client.requireEcho(of: Array("hello".utf8))
            client.setLimit(.seconds(60))
            #expect(throws: SocketError.timedOut) { try client.receive(upTo: 1) }
            client.setLimit(.seconds(5))
            try client.requireEcho(of: Array("still there".utf8))
            #expect(
                pair.server.logged("link-down").isEmpty && pair.node.logged("link-down").isEmpty,
                "\(pair.logs)")
        }
    }
}
