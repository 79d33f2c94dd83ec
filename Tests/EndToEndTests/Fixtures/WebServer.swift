import Support

/// Just enough HTTP/1.1 for curl: `GET /SEED/BYTES` answers so many bytes of that seed's content and closes;
/// `POST` reads until the client has shut down its writing, then answers `answerBytes` and how much came.
final class WebServer: Sendable {
    let target: TargetServer
    static let answer = Content(seed: 40_004)
    static let answerBytes = 4_000_000

    init() throws {
        target = try TargetServer(limit: .seconds(60)) { socket in
            let request = try Self.requestHead(socket)
            let words = request.head.split(separator: " ")
            guard words.count == 3 else { throw Failure("not a request: \(request.head.prefix(80))") }
            if words[0] == "POST" {
                let rest = try socket.receiveToEnd()
                let header = "HTTP/1.1 200 OK\r\nX-Received: \(request.extra.count + rest.count)\r\n\r\n"
                try socket.send(header)
                try socket.send(Self.answer, 0..<Self.answerBytes)
            } else {
                let path = words[1].split(separator: "/")
                guard path.count == 2, let seed = UInt64(path[0]), let count = Int(path[1]) else {
                    throw Failure("not a path: \(words[1])")
                }
                try socket.send("HTTP/1.1 200 OK\r\nContent-Length: \(count)\r\nConnection: close\r\n\r\n")
                try socket.send(Content(seed: seed), 0..<count)
            }
            try socket.shutdownWriting()
            _ = try socket.receiveToEnd()
        }
    }

    private static func requestHead(_ socket: Socket) throws -> (head: Substring, extra: ArraySlice<UInt8>) {
        var bytes: [UInt8] = []
        while true {
            let more = try socket.receive(upTo: 16_384)
            guard !more.isEmpty else { throw Failure("the request ended after \(bytes.count) bytes") }
            bytes += more
            if let end = bytes.indices.dropLast(3).first(where: {
                bytes[$0..<$0 + 4].elementsEqual("\r\n\r\n".utf8)
            }) {
                let line = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n")[0]
                return (line, bytes[(end + 4)...])
            }
        }
    }
}
