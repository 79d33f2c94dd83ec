import Glibc
import Reactor
import Simulation
import Testing

@Suite struct SocketTests {
    private let real: RealLoop
    private static let loopback = SocketAddress(ipv4: 0x7f00_0001, port: 0)

    init() throws {
        real = try RealLoop()
    }

    private func listen(
        _ address: SocketAddress = SocketTests.loopback, onlyIPv6: Bool = false
    ) throws -> RecordingListener {
        try RecordingListener(at: address, onlyIPv6: onlyIPv6, in: real.loop.network)
    }

    private func connect(_ address: SocketAddress) throws -> Recorder {
        Recorder(try real.loop.network.connect(to: address).get())
    }

    /// A connection, both ends.
    private func pair(_ address: SocketAddress = SocketTests.loopback) throws -> (Recorder, Recorder) {
        let listener = try listen(address)
        defer { listener.close() }
        let client = try connect(listener.address)
        try #require(real.until { listener.accepted.count == 1 && client.isConnected })
        return (client, listener.accepted[0])
    }

    @Test(arguments: [
        SocketTests.loopback, SocketAddress(ipv6: 0, 1, port: 0),
        SocketAddress(unix: "@goproxy-test-\(getpid())"),
    ])
    func `bytes and both ends pass, whatever the family`(address: SocketAddress) throws {
        let (client, server) = try pair(address)
        let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        client.send(bytes)
        client.end()
        #expect(real.until { server.hasHeardEnd })
        #expect(server.received == bytes)
        server.send(bytes)
        server.end()
        #expect(real.until { client.hasHeardEnd })
        #expect(client.received == bytes)
        client.close()
        server.close()
    }

    @Test func `an end that arrives with the last bytes is heard after short reads`() throws {
        let (client, server) = try pair()
        server.isReading = false
        server.readBytes = 7
        client.send([UInt8](repeating: 1, count: 1_000))
        client.end()
        // Everything is there before the first read.
        #expect(real.until { server.transport.isReadable })
        _ = real.until(seconds: 0.05) { false }
        server.isReading = true
        #expect(server.received.count == 1_000)
        #expect(server.hasHeardEnd)
        client.close()
        server.close()
    }

    @Test func `a reader that stops holds the writer, and lets it go on`() throws {
        let (client, server) = try pair()
        server.isReading = false
        client.send([UInt8](repeating: 1, count: 30 << 20))
        _ = real.until(seconds: 0.2) { client.unsentBytes == 0 }
        #expect(client.unsentBytes > 0)
        server.isReading = true
        #expect(real.until { server.received.count == 30 << 20 })
        client.close()
        server.close()
    }

    @Test func `a crowd of connections leaves, memory goes back, and those that stay and come go on`() throws
    {
        let listener = try listen()
        defer { listener.close() }
        var crowd: [Recorder] = []
        for count in 1...60 {
            crowd.append(try connect(listener.address))
            try #require(real.until { listener.accepted.count == count })
        }
        let (first, last) = (crowd.removeFirst(), crowd.removeLast())
        for recorder in crowd + listener.accepted[1..<59] { recorder.close() }
        var isGiven = false
        real.loop.giveBackMemory(after: 1) { isGiven = true }
        #expect(real.until { isGiven })
        crowd = [first, last, try connect(listener.address)]
        try #require(real.until { listener.accepted.count == 61 })
        for (client, server) in zip(crowd, [0, 59, 60].map { listener.accepted[$0] }) {
            client.send("hello")
            server.send("you")
            #expect(real.until { server.text == "hello" && client.text == "you" })
            client.close()
            server.close()
        }
    }

    @Test func `a reset is a failure at the other end`() throws {
        let (client, server) = try pair()
        client.send("never mind")
        client.reset()
        #expect(real.until { server.failure != nil })
        #expect(server.failure == SystemError(ECONNRESET))
    }

    @Test func `a connection that has found itself is known`() throws {
        let (client, server) = try pair()
        #expect(!client.transport.isConnectedToItself(at: try #require(client.transport.peerAddress)))
        client.close()
        server.close()
        // What the kernel does by chance, on purpose: the port that is dialled is the dialling socket's.
        let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        try withUnsafeMutablePointer(to: &address) {
            try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try #require(bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0)
                try #require(Glibc.connect(descriptor, $0, size) == 0)
            }
        }
        let itself = StreamSocket(descriptor, family: AF_INET, isConnected: true, poller: try EpollPoller())
        let port = UInt16(bigEndian: address.sin_port)
        #expect(itself.isConnectedToItself(at: SocketAddress(ipv4: 0x7f00_0001, port: port)))
        #expect(!itself.isConnectedToItself(at: SocketAddress(ipv4: 0x7f00_0001, port: port ^ 1)))
        itself.close()
    }

    @Test func `accepted connections ask for their client's machine as their listener was told`() throws {
        for seconds in [nil, 7, 0] {
            let listener = try listen()
            if let seconds { listener.socket?.keepAlive(every: seconds) }
            _ = try connect(listener.address)
            try #require(real.until { listener.accepted.count == 1 })
            let socket = try #require(listener.accepted[0].transport as? StreamSocket)
            let expected: [Int32]? = seconds == 0 ? nil : [Int32(seconds ?? 15), Int32(seconds ?? 15), 9]
            #expect(socket.keepAliveTimes == expected)
            listener.close()
        }
    }

    @Test func `nobody at a port is a refusal`() throws {
        let listener = try listen()
        let address = listener.address
        listener.close()
        // On this machine it is known at once.
        let refusal = #expect(throws: SystemError(ECONNREFUSED)) { try connect(address) }
        #expect(refusal?.description == "connection refused")
    }

    @Test func `a port in use is an error`() throws {
        let listener = try listen()
        #expect(throws: SystemError(EADDRINUSE)) { try listen(listener.address) }
        listener.close()
        #expect(throws: Never.self) { try listen(listener.address).close() }
    }

    @Test func `every address of both families, or of one`() throws {
        let both = try listen(SocketAddress(ipv6: 0, 0, port: 0))
        let four = try connect(SocketAddress(ipv4: 0x7f00_0001, port: both.address.port))
        #expect(real.until { both.accepted.count == 1 })
        // People know the client as 127.0.0.1 and not as ::ffff:127.0.0.1.
        #expect(both.clients.first?.host == "127.0.0.1")
        let six = try connect(SocketAddress(ipv6: 0, 1, port: both.address.port))
        #expect(real.until { both.accepted.count == 2 })
        #expect(both.clients.last?.host == "::1")
        let only = try listen(SocketAddress(ipv6: 0, 0, port: 0), onlyIPv6: true)
        #expect(throws: SystemError(ECONNREFUSED)) {
            try connect(SocketAddress(ipv4: 0x7f00_0001, port: only.address.port))
        }
        for recorder in [four, six] + both.accepted { recorder.close() }
        both.close()
        only.close()
    }

    @Test func `addresses are known at both ends`() throws {
        let listener = try listen()
        let client = try connect(listener.address)
        #expect(real.until { listener.accepted.count == 1 && client.isConnected })
        #expect(client.transport.peerAddress == listener.address)
        #expect(listener.accepted[0].transport.peerAddress == listener.clients[0])
        client.close()
        listener.accepted[0].close()
        listener.close()
    }

    // MARK: In a crowd

    @Test func `in a crowd a receive buffer is small until its reader takes more at once`() throws {
        let network = try #require(real.loop.network as? SystemNetwork)
        network.crowdDescriptor = 0
        let listener = try listen()
        let client = try connect(listener.address)
        #expect(real.until { listener.accepted.count == 1 && client.isConnected })
        let server = listener.accepted[0]
        let sockets = try [client, server].map { try #require($0.transport as? StreamSocket) }
        let bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        for (from, to, socket) in [(client, server, sockets[1]), (server, client, sockets[0])] {
            #expect(socket.receiveBufferBytes <= 32 << 10)
            to.readBytes = 4 << 10
            from.send(bytes)
            #expect(real.until { to.received.count == bytes.count })
            #expect(to.received == bytes)
            #expect(socket.receiveBufferBytes <= 32 << 10)
            to.readBytes = 64 << 10
            from.send(bytes + bytes + bytes)
            #expect(real.until { to.received.count == 4 * bytes.count })
            #expect(socket.receiveBufferBytes > 32 << 10)
        }
        network.crowdDescriptor = .max
        let other = try connect(listener.address)
        #expect(real.until { listener.accepted.count == 2 })
        for recorder in [other, listener.accepted[1]] {
            let socket = try #require(recorder.transport as? StreamSocket)
            #expect(socket.receiveBufferBytes > 32 << 10)
        }
        for recorder in [client, other] + listener.accepted { recorder.close() }
        listener.close()
    }

    // MARK: Unix

    private func temporaryPath() -> String {
        "/tmp/goproxy-\(getpid())-\(UInt32.random(in: 0...(.max))).sock"
    }

    @Test func `a socket file that nobody listens on any more is replaced`() throws {
        let path = temporaryPath()
        defer { unlink(path) }
        // As a killed program leaves it: bound, and closed without unlink.
        let left = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(left, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(result == 0)
        close(left)
        #expect(access(path, F_OK) == 0)
        let listener = try listen(SocketAddress(unix: path))
        let client = try connect(SocketAddress(unix: path))
        #expect(real.until { listener.accepted.count == 1 })
        #expect(listener.clients[0].description == "unix")
        client.close()
        listener.accepted[0].close()
        listener.close()
        #expect(access(path, F_OK) != 0, "the file goes with its listener")
    }

    @Test func `a socket file that somebody listens on, and any other file, stays`() throws {
        let path = temporaryPath()
        let listener = try listen(SocketAddress(unix: path))
        #expect(throws: SystemError(EADDRINUSE)) { try listen(SocketAddress(unix: path)) }
        let client = try connect(SocketAddress(unix: path))
        #expect(real.until { listener.accepted.count > 0 }, "the first still listens")
        client.close()
        for recorder in listener.accepted { recorder.close() }
        listener.close()
        let file = temporaryPath()
        defer { unlink(file) }
        close(open(file, O_CREAT | O_WRONLY, 0o600))
        #expect(throws: SystemError(EADDRINUSE)) { try listen(SocketAddress(unix: file)) }
        #expect(access(file, F_OK) == 0)
    }

    @Test func `nobody at a path is a refusal, no path an error`() throws {
        #expect(throws: SystemError(ENOENT)) {
            try connect(SocketAddress(unix: "/tmp/no-such-socket-\(getpid())"))
        }
        #expect(throws: SystemError(ENOENT)) { try listen(SocketAddress(unix: "/no-such-folder/x.sock")) }
    }

    // MARK: Names and signals

    @Test func `names are looked up off the loop, and answered on it`() throws {
        var answers: [Result<[SocketAddress], ResolveError>] = []
        real.loop.network.resolve(Name("127.0.0.1", port: 5)) { answers.append($0.result) }
        #expect(
            answers == [.success([SocketAddress(ipv4: 0x7f00_0001, port: 5)])], "a number needs no lookup")
        real.loop.network.resolve(Name("localhost", port: 7)) { answers.append($0.result) }
        real.loop.network.resolve(Name("no-such-name.invalid", port: 7)) { answers.append($0.result) }
        #expect(answers.count == 1)
        try #require(real.until(seconds: 30) { answers.count == 3 })
        let found = answers.compactMap { try? $0.get() }
        #expect(
            found.count == 2
                && found[1].allSatisfy { $0.port == 7 && ["127.0.0.1", "::1"].contains($0.host) })
    }

    @Test func `a signal is an event of the loop`() throws {
        Signals.block([SIGUSR1])
        var received: [Int32] = []
        let signals = try Signals([SIGUSR1], on: real.loop) { received.append($0) }
        raise(SIGUSR1)
        withExtendedLifetime(signals) {
            #expect(real.until { received == [SIGUSR1] })
        }
    }
}
