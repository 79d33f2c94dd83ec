// LoadShort: connect, one small echo, close, and again: what a web page or a health check does.
import CLinux
import Glibc

/// Keeps a number of short connections under way from one thread, so that the load is cheap beside the
/// tunnel.
struct ShortLoad {
    private struct Slot {
        let socket: Socket
        let number: Int
        let begun: Int
    }

    private let port: UInt16
    private let epoll: Socket
    private var slots: [Slot?]
    private var begun = 0
    private let message = UnsafeMutableRawBufferPointer.allocate(
        byteCount: EchoConnection.messageBytes, alignment: 64)
    private let answer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: EchoConnection.messageBytes, alignment: 64)

    /// Runs for `seconds` and returns the time each connection took from connect to the echoed message.
    static func measure(to port: UInt16, atOnce: Int, seconds: Double) throws(BenchError) -> RoundTrips {
        var load = try ShortLoad(port: port, atOnce: atOnce)
        defer { load.release() }
        return try load.run(seconds: seconds)
    }

    private init(port: UInt16, atOnce: Int) throws(BenchError) {
        self.port = port
        let descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw .system("load", "cannot make an epoll descriptor") }
        epoll = Socket(owning: descriptor)
        slots = Array(repeating: nil, count: atOnce)
    }

    private func release() {
        message.deallocate()
        answer.deallocate()
    }

    private mutating func run(seconds: Double) throws(BenchError) -> RoundTrips {
        var trips = RoundTrips(expecting: Int(seconds * 50_000))
        let events = UnsafeMutableBufferPointer<epoll_event>.allocate(capacity: slots.count)
        defer { events.deallocate() }
        let end = monotonicNanoseconds() + Int(seconds * 1e9)
        for index in slots.indices { try begin(index) }
        while monotonicNanoseconds() < end {
            let count = epoll_wait(
                epoll.descriptor, events.baseAddress, Int32(events.count),
                Int32(Deadline.patienceSeconds * 1_000))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                throw BenchError(
                    subject: "short connections", failed: "no answer",
                    why: "nothing moved within \(Deadline.patienceSeconds) s")
            }
            for event in events[..<Int(count)] {
                let index = Int(event.data.u32)
                trips.append(try finish(index))
                try begin(index)
            }
        }
        return trips
    }

    private mutating func begin(_ index: Int) throws(BenchError) {
        let started = monotonicNanoseconds()
        begun += 1
        // 200 addresses, each with ports enough for the minute that the kernel keeps a closed connection in
        // mind.
        let socket = try Socket.connected(to: port, from: Socket.loopback + 1 + UInt32(begun % 200))
        EchoConnection.compose(message, begun)
        try socket.send(UnsafeRawBufferPointer(message))
        var event = epoll_event()
        event.events = goproxy_EPOLLIN
        event.data.u32 = UInt32(index)
        epoll_ctl(epoll.descriptor, EPOLL_CTL_ADD, socket.descriptor, &event)
        slots[index] = Slot(socket: socket, number: begun, begun: started)
    }

    /// Takes the answer and closes; returns how long it took in nanoseconds.
    private mutating func finish(_ index: Int) throws(BenchError) -> Int {
        guard let slot = slots[index] else { preconditionFailure("an event for an empty slot") }
        try slot.socket.fill(answer)
        let took = monotonicNanoseconds() - slot.begun
        EchoConnection.compose(message, slot.number)
        try EchoConnection.check(message, answer)
        slots[index] = nil
        return took
    }
}
