import Foundation
import HTTP
import Synchronization

/// A folder of its own for each test, removed with its owner.
final class Scratch: Sendable {
    let path: String
    var socket: String { path + "/control.sock" }

    init() throws {
        var name = Array("/tmp/goproxy-http-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { throw SystemFailure("mkdtemp") }
        path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

struct SystemFailure: Error {
    let what: String
    let code: Int32

    init(_ what: String, code: Int32 = errno) {
        self.what = what
        self.code = code
    }
}

/// Answers with what was asked, in lines.
@Sendable func echo(_ request: HTTPRequest) -> HTTPResponse {
    let query = request.query.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    let text = """
        method \(request.method)
        path \(request.path)
        query \(query)
        body \(request.body.count)
        peer \(request.peer.uid) \(request.peer.gid) \(request.peer.pid)
        agent \(request.headers["user-agent"] ?? "none")

        """
    return HTTPResponse(status: 200, contentType: "text/plain", body: Array(text.utf8))
}

extension HTTPResponse {
    var text: String { String(decoding: body, as: UTF8.self) }
}

/// Whether the condition comes true within the time.
func eventually(within seconds: Int = 20, _ holds: () -> Bool) -> Bool {
    let deadline = time(nil) + seconds
    while !holds() {
        if time(nil) >= deadline { return false }
        poll(nil, 0, 5)
    }
    return true
}

/// Ends the gate for handlers that a test holds up.
final class Gate: Sendable {
    let isOpen = Atomic<Bool>(false)
    let waiting = Atomic<Int>(0)

    func pass() {
        waiting.add(1, ordering: .relaxed)
        _ = eventually { isOpen.load(ordering: .relaxed) }
    }

    func open() { isOpen.store(true, ordering: .relaxed) }
}

/// A connection by hand, for what no well-behaved client sends.
final class RawConnection {
    private let descriptor: Int32

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let descriptor = descriptor
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw SystemFailure("connect") }
    }

    deinit { close(descriptor) }

    func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// What arrives until the other side closes or the condition holds; at most 20 s.
    func read(until isEnough: (String) -> Bool = { _ in false }) -> (text: String, isClosed: Bool) {
        var text = ""
        let deadline = time(nil) + 20
        while !isEnough(text), time(nil) < deadline {
            var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, 1_000) > 0 else { continue }
            var buffer = [UInt8](repeating: 0, count: 65_536)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { return (text, true) }
            text += String(decoding: buffer[..<count], as: UTF8.self)
        }
        return (text, false)
    }
}

/// Runs a program and answers what it printed on standard output.
func output(of command: String...) throws -> (status: Int32, text: String) {
    let process = Process()
    let pipe = Pipe()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = command
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: data, as: UTF8.self))
}
