// Socket: a blocking TCP socket on loopback whose every wait is bounded.
import CLinux
import Glibc

/// Closes its descriptor when the last reference ends. Sends and receives block for at most
/// `Deadline.patienceSeconds`.
final class Socket: Sendable {
    static let loopback: UInt32 = 0x7f00_0001

    let descriptor: Int32

    init(owning descriptor: Int32) {
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
    }

    /// Listens on a free port.
    static func listening() throws(BenchError) -> (socket: Socket, port: UInt16) {
        let socket = try make(SOCK_NONBLOCK.rawValue)
        guard socket.bind(Self.loopback), listen(socket.descriptor, 4_096) == 0 else {
            throw .system("origin", "cannot listen on loopback")
        }
        return (socket, socket.localPort)
    }

    /// Connects to `port`. `source` is any address of 127/8: an address has 28,000 ports, and a closed
    /// connection keeps its port for a minute.
    static func connected(to port: UInt16, from source: UInt32 = loopback) throws(BenchError) -> Socket {
        let socket = try make(0)
        socket.tune()
        socket.boundWaits()
        if source != loopback {
            // Leaves the port to connect, which can share it between destinations.
            socket.set(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            guard socket.bind(source) else { throw .system("load", "cannot bind to a loopback address") }
        }
        let code = withAddress(loopback, port) { connect(socket.descriptor, $0, $1) }
        guard code == 0 else { throw .system("127.0.0.1:\(port)", "cannot connect") }
        return socket
    }

    /// Begins to connect; the socket does not block, and is writable when it is connected or has failed.
    static func connecting(to port: UInt16, from source: UInt32) throws(BenchError) -> Socket {
        let socket = try make(SOCK_NONBLOCK.rawValue)
        socket.tune()
        socket.set(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        guard socket.bind(source) else { throw .system("load", "cannot bind to a loopback address") }
        let code = withAddress(loopback, port) { connect(socket.descriptor, $0, $1) }
        guard code == 0 || errno == EINPROGRESS else {
            throw .system("127.0.0.1:\(port)", "cannot connect")
        }
        return socket
    }

    /// The error that the kernel keeps for this socket, nil when there is none.
    var pendingError: Int32? {
        var number: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &number, &size)
        return number == 0 ? nil : number
    }

    private static func make(_ flags: UInt32) throws(BenchError) -> Socket {
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | flags
        let descriptor = Glibc.socket(AF_INET, Int32(kind), 0)
        guard descriptor >= 0 else { throw .system("load", "cannot open a socket") }
        return Socket(owning: descriptor)
    }

    /// What the load's own sockets are like, at both ends: no delay for small messages, and no pacing. Where the system's
    /// congestion control is bbr, each burst would wait for a timer, and the load would cost more than the tunnel.
    func tune() {
        set(IPPROTO_TCP, TCP_NODELAY, 1)
        _ = "reno".utf8.withContiguousStorageIfAvailable { name in
            setsockopt(
                descriptor, Int32(IPPROTO_TCP), TCP_CONGESTION, name.baseAddress!, socklen_t(name.count))
        }
    }

    /// Makes each wait of a blocking socket end with EAGAIN after the common patience.
    func boundWaits() {
        var time = timeval(tv_sec: Deadline.patienceSeconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, size)
    }

    func set(_ level: Int, _ option: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, Int32(level), option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Sends all of `bytes`.
    func send(_ bytes: UnsafeRawBufferPointer) throws(BenchError) {
        var sent = 0
        while sent < bytes.count {
            let count = Glibc.send(
                descriptor, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw .system("load", "cannot send") }
            sent += count
        }
    }

    /// Receives what is there, or waits for it; 0 is the end of the stream.
    func receive(into buffer: UnsafeMutableRawBufferPointer) throws(BenchError) -> Int {
        while true {
            let count = recv(descriptor, buffer.baseAddress!, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw .system("load", "cannot receive") }
            return count
        }
    }

    /// Receives exactly as many bytes as `buffer` holds.
    func fill(_ buffer: UnsafeMutableRawBufferPointer) throws(BenchError) {
        var filled = 0
        while filled < buffer.count {
            let count = try receive(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            guard count > 0 else {
                throw BenchError(subject: "load", failed: "connection ended early", why: "end of stream")
            }
            filled += count
        }
    }

    /// Tells the other end that no more bytes come; receiving goes on.
    func endSending() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    private func bind(_ address: UInt32) -> Bool {
        Self.withAddress(address, 0) { Glibc.bind(descriptor, $0, $1) } == 0
    }

    private var localPort: UInt16 {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutableBytes(of: &address) { bytes in
            _ = getsockname(descriptor, bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), &size)
        }
        return UInt16(bigEndian: address.sin_port)
    }

    private static func withAddress(
        _ address: UInt32, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var value = sockaddr_in()
        value.sin_family = sa_family_t(AF_INET)
        value.sin_port = port.bigEndian
        value.sin_addr.s_addr = address.bigEndian
        return withUnsafeBytes(of: &value) { bytes in
            body(bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
    }
}
