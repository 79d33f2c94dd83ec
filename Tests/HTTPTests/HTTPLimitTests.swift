import Foundation
import HTTP
import Synchronization
import Testing

struct HTTPLimitTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    @Test(arguments: [1 << 20, (1 << 20) + 1, 3 << 20])
    func `a body of more than 1 MiB is refused`(bytes: Int) throws {
        let server = try HTTPServer(unixSocket: scratch.socket, handler: echo)
        defer { server.stop() }
        let body = [UInt8](repeating: 7, count: bytes)
        let answer = try HTTPClient.unix(scratch.socket).send("POST", ["x"], body: body)
        #expect(answer.status == (bytes > 1 << 20 ? 413 : 200))
        #expect(answer.text.contains(bytes > 1 << 20 ? #""code":"too-large""# : "body \(bytes)\n"))
    }

    @Test func `a body whose length is not announced is counted`() throws {
        let server = try HTTPServer(unixSocket: scratch.socket, handler: echo)
        defer { server.stop() }
        let connection = try RawConnection(scratch.socket)
        connection.write("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        let chunk = "10000\r\n" + String(repeating: "x", count: 65_536) + "\r\n"
        for _ in 0..<17 { connection.write(chunk) }
        connection.write("0\r\n\r\n")
        let (text, _) = connection.read { $0.contains("}}") }
        #expect(text.hasPrefix("HTTP/1.1 413 "))
    }

    @Test(arguments: [
        "nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /?a=1&a=2 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    ])
    func `a malformed request is answered or cut off, and the next is served`(text: String) throws {
        let reached = Atomic<Int>(0)
        let server = try HTTPServer(unixSocket: scratch.socket) { request in
            reached.add(1, ordering: .relaxed)
            return echo(request)
        }
        defer { server.stop() }
        let connection = try RawConnection(scratch.socket)
        connection.write(text)
        let (answer, isClosed) = connection.read { $0.contains("\r\n\r\n") }
        #expect(
            answer.hasPrefix("HTTP/1.1 4") || answer.hasPrefix("HTTP/1.0 4") || isClosed && answer.isEmpty)
        #expect(reached.load(ordering: .relaxed) == 0, "the handler never saw it")
        #expect(try HTTPClient.unix(scratch.socket).send("GET", []).status == 200)
    }

    @Test func `a head without end is refused`() throws {
        let server = try HTTPServer(unixSocket: scratch.socket, handler: echo)
        defer { server.stop() }
        let connection = try RawConnection(scratch.socket)
        connection.write("GET / HTTP/1.1\r\nHost: a\r\n")
        for index in 0..<2_000 { connection.write("X-\(index): \(String(repeating: "y", count: 50))\r\n") }
        let (answer, isClosed) = connection.read { $0.contains("\r\n\r\n") }
        #expect(answer.hasPrefix("HTTP/1.1 431 ") || isClosed)
    }

    @Test func `a client that says nothing is dropped, one that waits for its answer is not`() throws {
        var limits = HTTPServer.Limits()
        limits.idleSeconds = 1
        let gate = Gate()
        let server = try HTTPServer(unixSocket: scratch.socket, limits: limits) { request in
            gate.pass()
            return echo(request)
        }
        defer { server.stop() }
        let waiting = try RawConnection(scratch.socket)
        waiting.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(eventually { gate.waiting.load(ordering: .relaxed) == 1 })
        let silent = try RawConnection(scratch.socket)
        let slow = try RawConnection(scratch.socket)
        slow.write("GET / HT")
        #expect(silent.read().isClosed && slow.read().isClosed)
        gate.open()
        #expect(waiting.read().text.hasPrefix("HTTP/1.1 200 "))
    }

    @Test func `clients beyond the limit are refused while answers are made for all others`() throws {
        var limits = HTTPServer.Limits()
        limits.connections = 4
        let gate = Gate()
        let server = try HTTPServer(unixSocket: scratch.socket, limits: limits) { request in
            gate.pass()
            return echo(request)
        }
        defer { server.stop() }
        var held: [RawConnection] = []
        for _ in 0..<4 {
            let connection = try RawConnection(scratch.socket)
            connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            held.append(connection)
        }
        #expect(eventually { gate.waiting.load(ordering: .relaxed) == 4 })
        let error = #expect(throws: HTTPError.self) {
            try HTTPClient.unix(scratch.socket).send("GET", [], timeout: .seconds(10))
        }
        #expect(error?.kind == .failed, "it is closed at once")
        gate.open()
        for connection in held {
            #expect(connection.read { $0.contains("agent") }.text.hasPrefix("HTTP/1.1 200 "))
        }
        #expect(eventually { (try? HTTPClient.unix(scratch.socket).send("GET", []).status) == 200 })
    }

    @Test(arguments: ["", "GET / HT", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1", "answered"])
    func `connections that say nothing, or half of it, keep nobody out`(text: String) throws {
        let server = try HTTPServer(unixSocket: scratch.socket, handler: echo)
        defer { server.stop() }
        var silent: [RawConnection] = []
        for _ in 0..<200 {
            let connection = try RawConnection(scratch.socket)
            if text == "answered" {
                connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                _ = connection.read { $0.contains("agent") }
            } else {
                connection.write(text)
            }
            silent.append(connection)
        }
        // The limit is 64, and none of these is over by its own time for a minute. A place is free as soon as a thread has woken.
        let client = HTTPClient.unix(scratch.socket)
        for _ in 0..<10 {
            #expect(eventually { (try? client.send("GET", []).status) == 200 })
        }
        #expect(silent.count == 200)
    }

    @Test func `a stop under load answers what has begun`() throws {
        let gate = Gate()
        let server = try HTTPServer(unixSocket: scratch.socket) { request in
            if request.path == ["slow"] { gate.pass() }
            return echo(request)
        }
        let client = HTTPClient.unix(scratch.socket)
        let answered = Atomic<Int>(0)
        let refused = Atomic<Int>(0)
        let wrong = Atomic<Int>(0)
        let slow = (0..<8).map { _ in
            Thread {
                let isRight = (try? client.send("GET", ["slow"]).status) == 200
                if isRight { answered.add(1, ordering: .relaxed) } else { wrong.add(1, ordering: .relaxed) }
            }
        }
        let isOver = Atomic<Bool>(false)
        let quick = (0..<4).map { _ in
            Thread {
                while !isOver.load(ordering: .relaxed) {
                    do throws(HTTPError) {
                        let answer = try client.send("GET", ["quick"])
                        if answer.status != 200 && answer.status != 503 { wrong.add(1, ordering: .relaxed) }
                    } catch {
                        refused.add(1, ordering: .relaxed)
                    }
                }
            }
        }
        for thread in slow + quick { thread.start() }
        #expect(eventually { gate.waiting.load(ordering: .relaxed) == 8 })
        Thread { gate.open() }.start()
        server.stop()
        server.stop()
        #expect(eventually { answered.load(ordering: .relaxed) == 8 }, "all eight were answered")
        #expect(eventually { refused.load(ordering: .relaxed) > 0 })
        isOver.store(true, ordering: .relaxed)
        #expect(eventually { (slow + quick).allSatisfy(\.isFinished) })
        #expect(wrong.load(ordering: .relaxed) == 0)
    }

    @Test func `a server that hangs costs the client its timeout only`() throws {
        let gate = Gate()
        let server = try HTTPServer(unixSocket: scratch.socket) { request in
            gate.pass()
            return echo(request)
        }
        let started = time(nil)
        let error = #expect(throws: HTTPError.self) {
            try HTTPClient.unix(scratch.socket).send("GET", [], timeout: .milliseconds(200))
        }
        #expect(error?.kind == .timedOut && time(nil) - started < 15)
        gate.open()
        server.stop()
        let gone = #expect(throws: HTTPError.self) { try HTTPClient.unix(scratch.socket).send("GET", []) }
        #expect(gone?.kind == .noServer)
    }
}
