// LoadEcho: a small message back and forth on one connection, each time waiting for the answer: a keystroke.
import Charts
import Glibc

/// Round-trip times of one measurement, in nanoseconds.
struct RoundTrips {
    private var samples: [UInt32] = []

    init(expecting count: Int) {
        samples.reserveCapacity(count)
    }

    var count: Int { samples.count }

    mutating func append(_ nanoseconds: Int) {
        samples.append(UInt32(clamping: nanoseconds))
    }

    /// Microseconds below which `parts` per thousand of the round trips stay (nearest rank).
    func microseconds(_ parts: [Int]) -> [Double] {
        samples.ranked(parts).map { Double($0) / 1_000 }
    }
}

/// One connection whose messages the origin echoes.
struct EchoConnection {
    static let messageBytes = 64
    private static let mark = UInt8(ascii: "e")

    let socket: Socket

    init(to port: UInt16) throws(BenchError) {
        socket = try Socket.connected(to: port)
    }

    /// Fills `message` with what nobody sent before.
    static func compose(_ message: UnsafeMutableRawBufferPointer, _ number: Int) {
        message.initializeMemory(as: UInt8.self, repeating: UInt8(truncatingIfNeeded: number))
        message[0] = mark
        message.storeBytes(of: number, toByteOffset: 8, as: Int.self)
    }

    /// One message there and back, or an error when another one comes back.
    func exchange(_ number: Int) throws(BenchError) {
        try withBuffer(2 * Self.messageBytes) { (both) throws(BenchError) in
            try exchange(
                number, UnsafeMutableRawBufferPointer(rebasing: both[..<Self.messageBytes]),
                UnsafeMutableRawBufferPointer(rebasing: both[Self.messageBytes...]))
        }
    }

    /// Exchanges messages for `seconds`.
    func measure(seconds: Double) throws(BenchError) -> RoundTrips {
        // Room for one every 20 µs: growing in the middle of the measurement would be measured.
        var trips = RoundTrips(expecting: Int(seconds * 50_000))
        try withBuffer(2 * Self.messageBytes) { (both) throws(BenchError) in
            let message = UnsafeMutableRawBufferPointer(rebasing: both[..<Self.messageBytes])
            let answer = UnsafeMutableRawBufferPointer(rebasing: both[Self.messageBytes...])
            let end = monotonicNanoseconds() + Int(seconds * 1e9)
            var before = monotonicNanoseconds()
            while before < end {
                try exchange(trips.count, message, answer)
                let after = monotonicNanoseconds()
                trips.append(after - before)
                before = after
            }
        }
        return trips
    }

    private func exchange(
        _ number: Int, _ message: UnsafeMutableRawBufferPointer, _ answer: UnsafeMutableRawBufferPointer
    ) throws(BenchError) {
        Self.compose(message, number)
        try socket.send(UnsafeRawBufferPointer(message))
        try socket.fill(answer)
        try Self.check(message, answer)
    }

    static func check(
        _ message: UnsafeMutableRawBufferPointer, _ answer: UnsafeMutableRawBufferPointer
    ) throws(BenchError) {
        guard memcmp(message.baseAddress!, answer.baseAddress!, messageBytes) == 0 else {
            throw BenchError(subject: "echo", failed: "wrong content", why: "another message came back")
        }
    }
}
