// What the tests need of the system: memory in use, the openssl program, and a socket that is pumped by hand.
import Glibc
import Synchronization

struct SystemFailure: Error {
    let what: String
    let code: Int32

    init(_ what: String, code: Int32 = errno) {
        self.what = what
        self.code = code
    }
}

func residentBytes() throws -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { throw SystemFailure("statm") }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 200)
    guard fgets(&line, 200, file) != nil else { throw SystemFailure("statm") }
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let fields = text.split(separator: " ")
    guard fields.count > 1, let pages = Int(fields[1]) else { throw SystemFailure("statm", code: 0) }
    return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
}

/// A child with pipes; killed, if it still runs, when its owner ends.
final class Program {
    let pid: pid_t
    private let input: Int32
    private let output: Int32
    private(set) var printed = ""

    init(_ arguments: [String]) throws {
        var child: pid_t = 0
        var pipes: (input: Int32, output: Int32) = (-1, -1)
        // One at a time: between pipe and fcntl another test's child would inherit our ends and keep them open.
        let result = try Self.spawning.withLock { _ in try Self.spawn(arguments, &child, &pipes) }
        (input, output) = pipes
        guard result == 0 else { throw SystemFailure(arguments[0], code: result) }
        pid = child
        signal(SIGPIPE, SIG_IGN)
    }

    private static let spawning = Mutex(())

    private static func spawn(
        _ arguments: [String], _ child: inout pid_t, _ pipes: inout (input: Int32, output: Int32)
    ) throws -> Int32 {
        var toChild: [Int32] = [0, 0]
        var fromChild: [Int32] = [0, 0]
        guard pipe(&toChild) == 0, pipe(&fromChild) == 0 else { throw SystemFailure("pipe") }
        for descriptor in toChild + fromChild { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
        posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
        posix_spawn_file_actions_adddup2(&actions, fromChild[1], 2)
        var pointers = arguments.map { strdup($0) } + [nil]
        defer { pointers.forEach { free($0) } }
        let result = posix_spawnp(&child, arguments[0], &actions, nil, &pointers, environ)
        close(toChild[0])
        close(fromChild[1])
        pipes = (toChild[1], fromChild[0])
        return result
    }

    deinit {
        close(input)
        close(output)
        kill(pid, SIGKILL)
        waitpid(pid, nil, 0)
    }

    func type(_ text: String) {
        _ = text.withCString { Glibc.write(input, $0, strlen($0)) }
    }

    /// Waits until the condition holds for all that was printed; nil when the program ended or 20 s passed.
    func printed<Value>(_ find: (String) -> Value?) -> Value? {
        let deadline = time(nil) + 20
        while true {
            if let value = find(printed) { return value }
            var poll = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, 1_000) >= 0, time(nil) < deadline else { return nil }
            if poll.revents == 0 { continue }
            var buffer = [UInt8](repeating: 0, count: 65_536)
            let count = Glibc.read(output, &buffer, buffer.count)
            guard count > 0 else { return find(printed) }
            printed += String(decoding: buffer[..<count], as: UTF8.self)
        }
    }

    /// All that it prints until it ends.
    func outcome() -> String {
        _ = printed { _ in nil as Bool? }
        return printed
    }
}

/// A certificate and its key in files, made by the openssl program and removed with their owner.
final class CertificateFiles {
    private let directory: String
    var certificate: String { directory + "/certificate.pem" }
    var key: String { directory + "/key.pem" }

    init() throws {
        var name = Array("/tmp/goproxy-tls-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { throw SystemFailure("mkdtemp") }
        directory = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        _ = try Program([
            "openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=impostor",
            "-keyout", key, "-out", certificate,
        ]).outcome()
    }

    deinit {
        unlink(certificate)
        unlink(key)
        rmdir(directory)
    }
}

/// A blocking loopback connection that one of our ends speaks over.
struct Wire: ~Copyable {
    private let descriptor: Int32

    init(connectedTo port: UInt16) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = loopback(port)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
        }
        guard result == 0 else { throw SystemFailure("connect") }
    }

    fileprivate init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
    }

    /// Carries bytes until the condition holds, the end fails or closes, or the peer is gone; at most 20 s.
    func carry(_ end: End, until done: () -> Bool) {
        let deadline = time(nil) + 20
        end.run()
        while true {
            let bytes = end.takeOutput()
            if !bytes.isEmpty { _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
            if done() || end.failure != nil || end.isClosed || time(nil) >= deadline { return }
            var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, 1_000) > 0 else { continue }
            var buffer = [UInt8](repeating: 0, count: 65_536)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { return }
            end.give(Array(buffer[..<count]))
        }
    }
}

/// A listener on a free loopback port.
struct Door: ~Copyable {
    private let descriptor: Int32
    let port: UInt16

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = loopback(0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let fd = descriptor
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(fd, $0, size) == 0 && listen(fd, 8) == 0 && getsockname(fd, $0, &size) == 0
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        guard bound else { throw SystemFailure("bind") }
    }

    deinit {
        close(descriptor)
    }

    func accept() throws -> Wire {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard Glibc.poll(&poll, 1, 20_000) == 1 else { throw SystemFailure("nobody came") }
        let accepted = Glibc.accept(descriptor, nil, nil)
        guard accepted >= 0 else { throw SystemFailure("accept") }
        _ = fcntl(accepted, F_SETFD, FD_CLOEXEC)
        return Wire(descriptor: accepted)
    }
}

private func loopback(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
}
