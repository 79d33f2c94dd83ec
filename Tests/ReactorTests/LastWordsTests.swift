import Foundation
import Reactor
import Simulation
import Support
import Testing

/// What has been said is read to its end, whatever the kernel stops at: a mark, descriptors, a reset.
@Suite struct LastWordsTests {
    private let real: RealLoop
    private let directory: TemporaryDirectory

    init() throws {
        real = try RealLoop()
        directory = try TemporaryDirectory()
    }

    /// A peer that speaks without a loop, and who hears it on one.
    private func speaker(_ domain: String = "tcp") throws -> (Socket, RecordingListener) {
        let path = directory.file("socket")
        let address =
            domain == "unix" ? SocketAddress(unix: path) : SocketAddress(ipv4: 0x7f00_0001, port: 0)
        let listener = try RecordingListener(at: address, in: real.loop.network)
        let endpoint = domain == "unix" ? Support.Endpoint.unix(path) : .tcp("\(listener.address)")
        return (try Socket.connect(to: endpoint), listener)
    }

    @Test(arguments: ["tcp", "unix"])
    func `an urgent byte and what stands behind it are read, and nothing else is said`(domain: String) throws
    {
        let (speaker, listener) = try speaker(domain)
        try speaker.send("abc")
        try speaker.sendUrgent(33)
        try speaker.send("def")
        #expect(real.until { listener.accepted.first?.text == "abc!def" })
        // Again, in the middle of a connection: the mark is heard of with the bytes before it, or after them.
        for round in 1...50 {
            let before = listener.accepted[0].received.count
            try speaker.send("ghi")
            if round % 2 == 0 { _ = real.until(seconds: 0.001) { false } }
            try speaker.sendUrgent(63)
            try speaker.send("jkl")
            try #require(real.until { listener.accepted[0].received.count == before + 7 }, "round \(round)")
        }
        listener.accepted[0].close()
        listener.close()
    }

    @Test func `bytes behind descriptors on a Unix socket are read`() throws {
        let (speaker, listener) = try speaker("unix")
        // cmsghdr: its length, SOL_SOCKET, SCM_RIGHTS; then a descriptor (cmsg(3)).
        var control: [UInt64] = [20, 1 | 1 << 32, UInt64(STDERR_FILENO)]
        var text = Array("abc".utf8)
        let sent = text.withUnsafeMutableBytes { text in
            control.withUnsafeMutableBytes { control in
                var part = iovec(iov_base: text.baseAddress, iov_len: text.count)
                return withUnsafeMutablePointer(to: &part) { part in
                    var message = msghdr()
                    (message.msg_iov, message.msg_iovlen) = (part, 1)
                    (message.msg_control, message.msg_controllen) = (control.baseAddress, control.count)
                    return sendmsg(speaker.descriptor, &message, 0)
                }
            }
        }
        try #require(sent == 3)
        try speaker.send("def")
        #expect(real.until { listener.accepted.first?.text == "abcdef" })
        listener.accepted[0].close()
        listener.close()
    }

    @Test func `what was said before a reset is read, and then the reset`() throws {
        let (speaker, listener) = try speaker()
        let bytes = [UInt8](repeating: 7, count: 40_000)
        try speaker.send(bytes)
        speaker.reset()
        listener.onAccept = { $0.readBytes = 70 }
        #expect(real.until { listener.accepted.first?.failure != nil })
        #expect(listener.accepted[0].received == bytes)
        #expect(listener.accepted[0].failure == SystemError(ECONNRESET))
        listener.close()
    }

    /// The kernel tells the failure once, to whoever asks first; here that is a write.
    @Test func `a write that fails takes nothing from what can still be read`() throws {
        let (speaker, listener) = try speaker()
        listener.onAccept = { $0.isReading = false }
        try #require(real.until { listener.accepted.count == 1 })
        let transport = listener.accepted[0].transport
        try speaker.send("abc")
        speaker.reset()
        var bytes: [UInt8] = [0, 0, 0]
        let written = bytes.withUnsafeMutableBytes { transport.write($0) }
        #expect(written == .failed(SystemError(ECONNRESET)))
        let read = bytes.withUnsafeMutableBytes { transport.read(into: $0) }
        #expect(read == .bytes(3) && bytes == Array("abc".utf8))
        #expect(transport.isReadable)
        let last = bytes.withUnsafeMutableBytes { transport.read(into: $0) }
        #expect(last == .failed(SystemError(ECONNRESET)))
        transport.close()
        listener.close()
    }

    /// A blocking question would wait for as long as the owner does not accept, and this loop with it.
    @Test func `a path whose owner is busy is in use, and nobody waits for the owner`() throws {
        let path = directory.file("busy")
        let owner = try Socket.listening(on: .unix(path), backlog: 0)
        let filler = try Socket.connect(to: .unix(path))
        // Frees a loop that does wait, so that the test can tell.
        let didWait = Locked(false)
        let isDone = DispatchSemaphore(value: 0)
        let rescue = Thread {
            guard isDone.wait(timeout: .now() + 10) == .timedOut else { return }
            didWait.with { $0 = true }
            close(accept(owner.descriptor, nil, nil))
        }
        rescue.start()
        #expect(throws: SystemError(EADDRINUSE)) {
            try RecordingListener(at: SocketAddress(unix: path), in: real.loop.network)
        }
        isDone.signal()
        #expect(!didWait.get())
        filler.close()
    }
}
