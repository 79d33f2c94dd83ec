import Foundation
import Support

/// The server's control socket, spoken to byte by byte: a second opinion on its HTTP.
struct ControlSocket: Sendable {
    let path: String

    struct Answer: Sendable, CustomStringConvertible {
        let status: Int
        let body: [UInt8]

        var description: String { "\(status) \(String(decoding: body.prefix(2_000), as: UTF8.self))" }
        func json() throws -> JSON { try JSON(body) }
    }

    /// `path` is what stands in the request line; escapes are the caller's.
    func send(_ method: String, _ path: String, _ body: [UInt8] = [], limit: Duration = .seconds(40)) throws
        -> Answer
    {
        let head = """
            \(method) \(path) HTTP/1.1\r\nHost: control\r\nConnection: close\r\n\
            Content-Type: application/json\r\nContent-Length: \(body.count)\r\n\r\n
            """
        return try send(raw: Array(head.utf8) + body, limit: limit)
    }

    func send(raw: [UInt8], limit: Duration = .seconds(40)) throws -> Answer {
        let socket = try Socket.connect(to: .unix(self.path), limit: limit)
        // A refusal may come before the whole body has gone.
        do { try socket.send(raw) } catch SocketError.brokenPipe {}
        return try Self.parse(try socket.receiveToEnd())
    }

    /// What a correct request answers; anything but 2xx is a failure.
    @discardableResult
    func ask(_ method: String, _ path: String, _ body: String = "") throws -> JSON {
        let answer = try send(method, path, Array(body.utf8))
        guard (200..<300).contains(answer.status) else {
            throw Failure("\(method) \(path) \(body): \(answer)")
        }
        return try answer.json()
    }

    private static func parse(_ bytes: [UInt8]) throws -> Answer {
        let blank = Array("\r\n\r\n".utf8)
        guard let end = bytes.indices.first(where: { bytes[$0...].starts(with: blank) }),
            let line = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n").first,
            let status = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { throw SocketError.ended(after: bytes.count, of: bytes.count + 1) }
        return Answer(status: status, body: Array(bytes[(end + 4)...]))
    }
}

extension String {
    /// As one segment of a path or one value of a query.
    var escaped: String {
        utf8.map { byte in
            let character = Character(Unicode.Scalar(byte))
            if byte < 128, character.isLetter || character.isNumber || "-._~".contains(character) {
                return String(character)
            }
            return (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
        }.joined()
    }
}
