import Foundation
import HTTP
import Synchronization
import Testing

struct HTTPServerTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    @Test func `a request arrives whole, and the kernel says who sent it`() throws {
        let server = try HTTPServer(unixSocket: scratch.socket, handler: echo)
        defer { server.stop() }
        let answer = try HTTPClient.unix(scratch.socket).send(
            "PATCH", ["v1", "a/b", "ä 100%", ".."], query: [("tag", "k=v&w"), ("empty", "")],
            body: Array("hello".utf8))
        #expect(answer.status == 200 && answer.contentType == "text/plain")
        #expect(answer.text.contains("method PATCH\n"))
        #expect(answer.text.contains(#"path ["v1", "a/b", "ä 100%", ".."]"#))
        #expect(answer.text.contains(#"query ["empty=", "tag=k=v&w"]"#))
        #expect(answer.text.contains("body 5\n"))
        #expect(answer.text.contains("peer \(getuid()) \(getgid()) \(getpid())\n"))
    }

    @Test func `curl is a client like any other`() throws {
        let server = try HTTPServer(unixSocket: scratch.socket, handler: echo)
        defer { server.stop() }
        let (status, text) = try output(
            of: "curl", "-sS", "--max-time", "20", "--unix-socket", scratch.socket, "-X", "POST", "-d",
            "12345",
            "http://localhost/v1/nodes?state=enabled&name=a+b%2B")
        #expect(status == 0)
        #expect(text.contains("method POST") && text.contains(#"path ["v1", "nodes"]"#))
        #expect(text.contains(#"query ["name=a b+", "state=enabled"]"#) && text.contains("body 5"))
        #expect(text.contains("agent curl/"))
    }

    @Test func `any text is a segment and a value`() throws {
        let server = try HTTPServer(unixSocket: scratch.socket) { request in
            HTTPResponse(status: 200, body: Array((request.path[0] + "|" + (request.query["q"] ?? "")).utf8))
        }
        defer { server.stop() }
        for text in ["'; drop table nodes; --", "a\nb\u{1b}[31m", "𝕳\u{202e}", "?#&=+%2F/", "..", " "] {
            let answer = try HTTPClient.unix(scratch.socket).send("GET", [text], query: [("q", text)])
            #expect(answer.text == text + "|" + text)
        }
    }

    @Test func `the socket is its owner's alone`() throws {
        let server = try HTTPServer(unixSocket: scratch.socket, handler: echo)
        var status = stat()
        #expect(lstat(scratch.socket, &status) == 0)
        #expect(status.st_mode & S_IFMT == S_IFSOCK && status.st_mode & 0o7777 == 0o600)
        server.stop()
        #expect(lstat(scratch.socket, &status) != 0, "a server that stops takes its file along")
        let shared = try HTTPServer(unixSocket: scratch.socket, mode: 0o660, handler: echo)
        defer { shared.stop() }
        #expect(lstat(scratch.socket, &status) == 0 && status.st_mode & 0o7777 == 0o660)
    }

    @Test func `a file left by a killed server is replaced, a living server's is not`() throws {
        // Bound and closed without unlink is what SIGKILL leaves.
        let left = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(scratch.socket.utf8)) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(left, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(bound == 0 && listen(left, 1) == 0)
        close(left)
        let client = HTTPClient.unix(scratch.socket)
        #expect(throws: HTTPError.self) { try client.send("GET", []) }
        let server = try HTTPServer(unixSocket: scratch.socket, handler: echo)
        #expect(try client.send("GET", []).status == 200)
        let refused = #expect(throws: HTTPError.self) {
            try HTTPServer(unixSocket: scratch.socket, handler: echo)
        }
        #expect(refused?.kind == .inUse)
        #expect(try client.send("GET", []).status == 200, "the first still answers")
        server.stop()
    }

    @Test func `what is not a socket stays`() throws {
        try Data("precious".utf8).write(to: URL(filePath: scratch.socket))
        let error = #expect(throws: HTTPError.self) {
            try HTTPServer(unixSocket: scratch.socket, handler: echo)
        }
        #expect(error?.kind == .badPath)
        #expect(try String(contentsOfFile: scratch.socket, encoding: .utf8) == "precious")
        let long = scratch.path + "/" + String(repeating: "x", count: 100)
        let tooLong = #expect(throws: HTTPError.self) { try HTTPServer(unixSocket: long, handler: echo) }
        #expect(tooLong?.kind == .badPath)
        #expect(throws: HTTPError.self) { try HTTPClient.unix(long).send("GET", []) }
    }

    @Test func `a new server's file survives the old one's stop`() throws {
        let old = try HTTPServer(unixSocket: scratch.socket, handler: echo)
        unlink(scratch.socket)
        let new = try HTTPServer(unixSocket: scratch.socket, handler: echo)
        old.stop()
        #expect(try HTTPClient.unix(scratch.socket).send("GET", []).status == 200)
        new.stop()
    }
}
