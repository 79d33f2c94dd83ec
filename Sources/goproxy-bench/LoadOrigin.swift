// LoadOrigin: the service behind the tunnel. One thread answers echoes, short and idle connections; a bulk
// transfer gets a thread of its own.
import CLinux
import Glibc
import Synchronization

/// Listens on loopback for as long as the process lives. A connection whose first byte is `Transfer.mark`
/// becomes the far end of the transfer it names; every other one is echoed.
final class Origin: Sendable {
    let port: UInt16
    private let transfers = Mutex<[UInt32: Transfer]>([:])

    init() throws(BenchError) {
        let (listener, port) = try Socket.listening()
        self.port = port
        let loop = try OriginLoop.Start(listener: listener)
        try WorkThread { [self] in
            var loop = OriginLoop(loop, origin: self)
            loop.run()
        }.detach()
    }

    /// Announces a transfer that a client is about to ask for.
    func expect(_ transfer: Transfer) {
        transfers.withLock { $0[transfer.number] = transfer }
    }

    /// Takes over a connection that began with `head`, which holds the mark and perhaps not yet the whole
    /// header.
    fileprivate func beginTransfer(on socket: Socket, head: [UInt8]) {
        let serve: @Sendable () -> Void = { [self] in
            var head = head
            _ = fcntl(socket.descriptor, F_SETFL, 0)
            socket.boundWaits()
            while head.count < Transfer.headerBytes {
                var byte: UInt8 = 0
                guard recv(socket.descriptor, &byte, 1, 0) == 1 else { return }
                head.append(byte)
            }
            let number = head.withUnsafeBytes { $0.load(fromByteOffset: 4, as: UInt32.self) }
            transfers.withLock { $0.removeValue(forKey: number) }?.runOrigin(on: socket)
        }
        // Without a thread the connection closes and its client reports it.
        if let thread = try? WorkThread(serve) { thread.detach() }
    }
}

/// The echoing thread's state: an epoll descriptor and the open connections by descriptor.
private struct OriginLoop {
    struct Start: Sendable {
        let listener: Socket
        let epoll: Int32

        init(listener: Socket) throws(BenchError) {
            self.listener = listener
            epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
            guard epoll >= 0 else { throw .system("origin", "cannot make an epoll descriptor") }
        }
    }

    private struct Connection {
        let socket: Socket
        var isNew = true
    }

    private let start: Start
    private let origin: Origin
    private var connections: [Connection?] = []
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 4_096)

    init(_ start: Start, origin: Origin) {
        self.start = start
        self.origin = origin
        watch(start.listener.descriptor)
    }

    mutating func run() {
        let events = UnsafeMutableBufferPointer<epoll_event>.allocate(capacity: 256)
        while true {
            let count = epoll_wait(start.epoll, events.baseAddress, Int32(events.count), -1)
            for index in 0..<max(0, Int(count)) {
                let descriptor = events[index].data.fd
                if descriptor == start.listener.descriptor { acceptAll() } else { serve(descriptor) }
            }
        }
    }

    private mutating func acceptAll() {
        while true {
            let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
            let descriptor = accept4(start.listener.descriptor, nil, nil, flags)
            guard descriptor >= 0 else { return }
            let socket = Socket(owning: descriptor)
            socket.set(IPPROTO_TCP, TCP_NODELAY, 1)
            while connections.count <= Int(descriptor) { connections.append(nil) }
            connections[Int(descriptor)] = Connection(socket: socket)
            watch(descriptor)
            // The first bytes are often there already: this saves a turn of the loop.
            serve(descriptor)
        }
    }

    /// Reads once and echoes it; the kernel reports again what is left.
    private mutating func serve(_ descriptor: Int32) {
        guard let connection = connections[Int(descriptor)] else { return }
        // Never beyond a header: what follows one belongs to the transfer's own thread.
        let most = connection.isNew ? Transfer.headerBytes : buffer.count
        let count = recv(descriptor, buffer.baseAddress!, most, 0)
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
        guard count > 0 else { return forget(descriptor) }
        if connection.isNew {
            if buffer[0] == Transfer.mark {
                let taken = connection.socket
                epoll_ctl(start.epoll, EPOLL_CTL_DEL, descriptor, nil)
                forget(descriptor)
                return origin.beginTransfer(on: taken, head: Array(buffer[..<count]))
            }
            connections[Int(descriptor)]!.isNew = false
        }
        if send(descriptor, buffer.baseAddress!, count, Int32(MSG_NOSIGNAL)) != count { forget(descriptor) }
    }

    private mutating func forget(_ descriptor: Int32) {
        connections[Int(descriptor)] = nil
    }

    private func watch(_ descriptor: Int32) {
        var event = epoll_event()
        event.events = goproxy_EPOLLIN
        event.data.fd = descriptor
        epoll_ctl(start.epoll, EPOLL_CTL_ADD, descriptor, &event)
    }
}
