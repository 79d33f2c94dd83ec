// OriginProcess: the service behind the tunnel, in a process of its own: 10,000 connections are 10,000 descriptors at each
// end of the load, and a process may have only so many. One thread answers everything.
import CLinux
import Glibc

/// Listens on loopback until its first control connection ends. A connection is echoed, unless its first byte says that
/// it is a transfer (`TransferHeader.mark`) or the control (`OriginProcess.mark`).
struct OriginProcess {
    /// The only argument; the benchmark itself takes flags only, so nobody comes upon it by accident.
    static let argument = "serve-as-origin"
    static let listening = "origin-listening"
    static let mark = UInt8(ascii: "C")

    private enum Role {
        case new, echo, control
        case transfer(TransferEnd, isSending: Bool)
        /// A transfer whose sender has ended; its socket waits for the other end's.
        case ending
    }

    private struct Connection {
        let socket: Socket
        var role = Role.new
    }

    private let listener: Socket
    private let poller: Poller
    private var connections: [Connection?] = []
    private var account = OriginAccount()
    private var open = 0
    private var stalled: Set<Int> = []
    private var isOver = false
    private let scratch = UnsafeMutableRawBufferPointer.allocate(
        byteCount: Pattern.chunkBytes, alignment: 4_096)

    /// Serves, and returns when the benchmark is gone.
    static func run() throws(BenchError) {
        _ = IdleMemory.mostDescriptors()
        let (listener, port) = try Socket.listening()
        var origin = try OriginProcess(listener)
        complain("info \(listening) port=\(port)")
        while !origin.isOver {
            origin.poller.wait(milliseconds: -1) { number in origin.handle(number) }
        }
    }

    private init(_ listener: Socket) throws(BenchError) {
        self.listener = listener
        poller = try Poller()
        poller.add(listener, Int(listener.descriptor), .reading)
    }

    private mutating func handle(_ number: Int) {
        if number == Int(listener.descriptor) { acceptAll() } else { serve(number) }
    }

    private mutating func acceptAll() {
        while true {
            let flags = Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
            let descriptor = accept4(listener.descriptor, nil, nil, flags)
            guard descriptor >= 0 else { return }
            let socket = Socket(owning: descriptor)
            socket.tune()
            while connections.count <= Int(descriptor) { connections.append(nil) }
            connections[Int(descriptor)] = Connection(socket: socket)
            open += 1
            poller.add(socket, Int(descriptor), .reading)
            // The first bytes are often there already: this saves a turn of the loop.
            serve(Int(descriptor))
        }
    }

    private mutating func serve(_ number: Int) {
        guard let connection = connections[number] else { return }
        switch connection.role {
        case .new: begin(number, connection.socket)
        case .echo: echo(number, connection.socket, most: scratch.count / 4)
        case .control: control(number, connection.socket)
        case .transfer(let end, let isSending): move(number, end, isSending)
        case .ending:
            let count = recv(connection.socket.descriptor, scratch.baseAddress!, scratch.count, 0)
            if count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) { finish(number) }
        }
    }

    /// Looks at the first bytes and takes none but those of a control connection's mark and of a whole header.
    private mutating func begin(_ number: Int, _ socket: Socket) {
        let count = recv(socket.descriptor, scratch.baseAddress!, TransferHeader.bytes, Int32(MSG_PEEK))
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
        guard count > 0 else { return forget(number) }
        switch scratch[0] {
        case TransferHeader.mark:
            // It was sent at once; the rest of a header that came in two is there a moment later.
            guard count == TransferHeader.bytes else { return }
            _ = recv(socket.descriptor, scratch.baseAddress!, count, 0)
            beginTransfer(number, socket, TransferHeader(reading: UnsafeRawBufferPointer(scratch)))
        case Self.mark:
            _ = recv(socket.descriptor, scratch.baseAddress!, 1, 0)
            connections[number]?.role = .control
        default:
            connections[number]?.role = .echo
            echo(number, socket, most: scratch.count / 4)
        }
    }

    private mutating func echo(_ number: Int, _ socket: Socket, most: Int) {
        let count = recv(socket.descriptor, scratch.baseAddress!, most, 0)
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
        // Messages are small: a socket that does not take one has a client that does not read.
        let isSent =
            count > 0
            && send(socket.descriptor, scratch.baseAddress!, count, Int32(MSG_NOSIGNAL)) == count
        if !isSent { forget(number) }
    }

    private mutating func forget(_ number: Int) {
        connections[number] = nil
        open -= 1
    }

    // MARK: Transfers

    private mutating func beginTransfer(_ number: Int, _ socket: Socket, _ header: TransferHeader) {
        guard account.bytes.indices.contains(header.slot) else { return forget(number) }
        header.apply(to: socket)
        let isSending = header.way == .down
        connections[number]?.role = .transfer(TransferEnd(socket, header), isSending: isSending)
        if isSending { poller.change(socket, number, .writing) }
    }

    private mutating func move(_ number: Int, _ end: TransferEnd, _ isSending: Bool) {
        var end = end
        let step = isSending ? end.send() : end.receive(scratch)
        account.bytes[end.header.slot] = end.position
        connections[number]?.role = .transfer(end, isSending: isSending)
        switch step {
        case .moved:
            guard !isSending && end.position == end.header.stallsAfter else { return }
            stalled.insert(number)
            poller.change(end.socket, number, .nothing)
        case .wouldBlock: return
        case .ended: finish(number)
        case .wrongContent:
            account.wrong += 1
            finish(number)
        case .failed:
            account.broken += 1
            finish(number)
        }
    }

    private mutating func finish(_ number: Int) {
        stalled.remove(number)
        forget(number)
    }

    // MARK: Control

    private mutating func control(_ number: Int, _ socket: Socket) {
        let count = recv(socket.descriptor, scratch.baseAddress!, OriginRequest.bytes, 0)
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
        guard count == OriginRequest.bytes,
            let request = OriginRequest(reading: UnsafeRawBufferPointer(scratch))
        else {
            isOver = true
            return
        }
        switch request {
        case .prepare(let count): account = OriginAccount(count: count)
        case .read: break
        case .stopSending(let slot): stopSending(from: slot)
        case .resume:
            for number in stalled {
                if let socket = connections[number]?.socket { poller.change(socket, number, .reading) }
            }
            stalled = []
        }
        account.nanoseconds = monotonicNanoseconds()
        account.open = open - 1
        isOver = !account.send(to: socket.descriptor)
    }

    private mutating func stopSending(from slot: Int) {
        for (number, connection) in connections.enumerated() {
            guard let connection, case .transfer(let end, isSending: true) = connection.role,
                end.header.slot >= slot
            else { continue }
            connection.socket.endSending()
            poller.change(connection.socket, number, .reading)
            connections[number]?.role = .ending
        }
    }
}
