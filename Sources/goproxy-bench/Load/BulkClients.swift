// BulkClients: the clients of a bulk load. They take turns by readiness, a chunk each.
import Glibc

struct BulkClients {
    private enum Stage {
        case connecting, moving, stalled
        /// Everything is sent; the origin's end of stream is the receipt.
        case awaitingEnd
    }

    private struct Client {
        var end: TransferEnd
        var stage = Stage.connecting
    }

    /// More at once would overflow the queue of those that wait to be accepted.
    private static let mostConnecting = 64

    private let wish: BulkLoad.Wish
    private let firstSlot: Int
    private let poller: Poller
    private var clients: [Client?]
    private var begun = 0
    private var connecting = 0
    private var left: Int
    private var hasStopped = false
    private var hasResumed = false
    private let scratch = UnsafeMutableRawBufferPointer.allocate(
        byteCount: Pattern.chunkBytes, alignment: 4_096)

    init(_ wish: BulkLoad.Wish, firstSlot: Int) throws(BenchError) {
        self.wish = wish
        self.firstSlot = firstSlot
        poller = try Poller()
        clients = Array(repeating: nil, count: wish.connections)
        left = wish.connections
    }

    func release() { scratch.deallocate() }

    var isDone: Bool { left == 0 }

    /// One look at what is ready. `report` gets a client's index and how many bytes it has moved.
    mutating func turn(
        isStopping: Bool, isResumed: Bool, _ report: (Int, Int) -> Void
    ) throws(BenchError) {
        while begun < clients.count && connecting < Self.mostConnecting { try begin() }
        if isResumed && !hasResumed { resume() }
        if isStopping && !hasStopped && connecting == 0 { stop() }
        var failure: BenchError?
        poller.wait(milliseconds: 5) { index in
            do throws(BenchError) { try step(index, report) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    private mutating func begin() throws(BenchError) {
        // 200 addresses: one has 28,000 ports, and a closed connection keeps its port for a minute.
        let source = Socket.loopback + 1 + UInt32(begun % 200)
        let socket = try Socket.connecting(to: wish.ports[begun % wish.ports.count], from: source)
        var header = TransferHeader(way: wish.way)
        header.slot = firstSlot + begun
        header.stallsAfter = wish.stallsAfter
        header.socketBuffers = wish.socketBuffers
        header.apply(to: socket)
        clients[begun] = Client(end: TransferEnd(socket, header))
        poller.add(socket, begun, .writing)
        begun += 1
        connecting += 1
    }

    private mutating func step(_ index: Int, _ report: (Int, Int) -> Void) throws(BenchError) {
        guard var client = clients[index] else { return }
        let result: TransferEnd.Step
        switch client.stage {
        case .connecting: return try connected(index)
        case .stalled: return
        case .awaitingEnd:
            let count = recv(client.end.socket.descriptor, scratch.baseAddress!, 1, 0)
            guard count <= 0 else { throw broken("wrong content", "bytes came the other way") }
            result = count == 0 ? .ended : .failed(errno: errno)
        case .moving:
            result = wish.way == .down ? client.end.receive(scratch) : client.end.send()
        }
        switch result {
        case .moved: moved(index, &client, report)
        case .wouldBlock, .failed(EAGAIN), .failed(EINTR): return
        case .ended:
            clients[index] = nil
            left -= 1
        case .wrongContent: throw broken("wrong content", "near position \(client.end.position)")
        case .failed(let number):
            throw broken("ended after \(client.end.position) bytes", String(cString: strerror(number)))
        }
    }

    private mutating func moved(_ index: Int, _ client: inout Client, _ report: (Int, Int) -> Void) {
        if wish.way == .down && client.end.position == wish.stallsAfter && !hasResumed {
            client.stage = .stalled
            poller.change(client.end.socket, index, .nothing)
        }
        report(index, client.end.position)
        clients[index] = client
    }

    private mutating func connected(_ index: Int) throws(BenchError) {
        guard let client = clients[index] else { return }
        if let number = client.end.socket.pendingError {
            throw broken("cannot connect", String(cString: strerror(number)))
        }
        try withBuffer(TransferHeader.bytes) { (buffer) throws(BenchError) in
            client.end.header.write(to: buffer)
            try client.end.socket.send(UnsafeRawBufferPointer(buffer))
        }
        connecting -= 1
        clients[index]?.stage = .moving
        if wish.way == .down { poller.change(client.end.socket, index, .reading) }
    }

    private mutating func resume() {
        hasResumed = true
        for (index, client) in clients.enumerated() {
            guard let client, case .stalled = client.stage else { continue }
            clients[index]?.stage = .moving
            poller.change(client.end.socket, index, .reading)
        }
    }

    /// Upward the end of stream is sent here; downward the origin sends it.
    private mutating func stop() {
        hasStopped = true
        guard wish.way == .up else { return }
        for (index, client) in clients.enumerated() {
            guard let client else { continue }
            client.end.socket.endSending()
            clients[index]?.stage = .awaitingEnd
            poller.change(client.end.socket, index, .reading)
        }
    }

    private func broken(_ failed: String, _ why: String) -> BenchError {
        BenchError(subject: "transfer \(wish.way.rawValue)", failed: failed, why: why)
    }
}
