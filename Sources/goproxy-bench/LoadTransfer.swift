// LoadTransfer: one bulk transfer, of which this process plays both ends.
import Glibc
import Synchronization

/// Which way the data of a transfer flows, seen from the client that connects.
enum Way: String, CaseIterable, Codable {
    /// From the origin to the client.
    case down
    /// From the client to the origin.
    case up
}

/// Sends patterned bytes until told to stop, ends the stream, and holds the receiver to the last byte.
///
/// The client names the transfer in its first 64 bytes; the origin finds it by that number. Both ends share
/// the object, so the control of a transfer needs no bytes of the connection that is being measured.
final class Transfer: Sendable {
    static let headerBytes = 64
    static let mark = UInt8(ascii: "T")
    private static let lastNumber = Atomic<UInt32>(0)

    let number: UInt32
    let way: Way
    private let stop = Atomic<Bool>(false)
    private let sent = Atomic<Int>(0)
    private let receivedBytes = Atomic<Int>(0)
    private let failure = Mutex<BenchError?>(nil)

    init(way: Way) {
        number = Self.lastNumber.wrappingAdd(1, ordering: .relaxed).newValue
        self.way = way
    }

    /// Bytes that have arrived and were found right.
    var received: Int { receivedBytes.load(ordering: .relaxed) }

    var error: BenchError? { failure.withLock { $0 } }

    func requestStop() { stop.store(true, ordering: .relaxed) }

    /// The client's end, from connect to the end of both streams. Runs on a thread of its own.
    func runClient(to port: UInt16) {
        record { () throws(BenchError) in
            let socket = try Socket.connected(to: port)
            try withBuffer(Self.headerBytes) { (header) throws(BenchError) in
                header.initializeMemory(as: UInt8.self, repeating: 0)
                header[0] = Self.mark
                header.storeBytes(of: number, toByteOffset: 4, as: UInt32.self)
                try socket.send(UnsafeRawBufferPointer(header))
            }
            switch way {
            case .down: try receiveAll(on: socket)
            case .up:
                try sendUntilStopped(on: socket)
                // The origin closes once it has read everything: its end of stream is the receipt.
                try awaitEnd(of: socket)
            }
        }
    }

    /// The origin's end, entered after the header. Runs on a thread of its own.
    func runOrigin(on socket: Socket) {
        record { () throws(BenchError) in
            switch way {
            case .down:
                try sendUntilStopped(on: socket)
                try awaitEnd(of: socket)
            case .up: try receiveAll(on: socket)
            }
        }
    }

    /// Different per transfer: bytes that reach the wrong connection do not match there.
    private var phase: Int { Int(number) &* 7_919 % 65_536 }

    private func sendUntilStopped(on socket: Socket) throws(BenchError) {
        var position = 0
        while !stop.load(ordering: .relaxed) {
            try Pattern.shared.withBytes(at: position, phase: phase) { (bytes) throws(BenchError) in
                try socket.send(bytes)
            }
            position += Pattern.chunkBytes
        }
        sent.store(position, ordering: .releasing)
        socket.endSending()
    }

    private func receiveAll(on socket: Socket) throws(BenchError) {
        try withBuffer(Pattern.chunkBytes) { (buffer) throws(BenchError) in
            var position = 0
            while true {
                let count = try socket.receive(into: buffer)
                if count == 0 { break }
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                guard Pattern.shared.matches(bytes, at: position, phase: phase) else {
                    throw broken("a wrong byte near position \(position)")
                }
                position += count
                receivedBytes.store(position, ordering: .relaxed)
            }
            let expected = sent.load(ordering: .acquiring)
            guard position == expected else { throw broken("\(position) bytes arrived of \(expected)") }
        }
    }

    private func awaitEnd(of socket: Socket) throws(BenchError) {
        try withBuffer(Self.headerBytes) { (buffer) throws(BenchError) in
            guard try socket.receive(into: buffer) == 0 else { throw broken("bytes came the other way") }
        }
    }

    private func broken(_ why: String) -> BenchError {
        BenchError(subject: "transfer \(way.rawValue)", failed: "wrong content", why: why)
    }

    private func record(_ body: () throws(BenchError) -> Void) {
        do { try body() } catch {
            failure.withLock { $0 = $0 ?? error }
        }
    }
}

/// Lends page-aligned memory for one call.
func withBuffer<R>(
    _ count: Int, _ body: (UnsafeMutableRawBufferPointer) throws(BenchError) -> R
) throws(BenchError) -> R {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 4_096)
    defer { buffer.deallocate() }
    return try body(buffer)
}
