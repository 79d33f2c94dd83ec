// Transfer: what client and origin agree on about a bulk transfer. A connection to the origin whose first byte is the
// mark begins with a header that says what is wanted; everything after it is the transfer's own.
import CLinux
import Glibc

/// Which way the data of a transfer flows, seen from the client that connects.
enum Way: String, CaseIterable, Codable {
    /// From the origin to the client.
    case down
    /// From the client to the origin.
    case up
}

struct TransferHeader {
    static let bytes = 64
    static let mark = UInt8(ascii: "T")

    let way: Way
    /// The receiver takes this much and then stops until it is told to go on; 0 is never.
    var stallsAfter = 0
    /// The size of each end's socket buffers, or 0 for what the system gives.
    var socketBuffers = 0
    /// The transfer's place in its load.
    var slot = 0

    func write(to buffer: UnsafeMutableRawBufferPointer) {
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
        buffer[0] = Self.mark
        buffer[1] = way == .down ? 0 : 1
        buffer.storeBytes(of: slot, toByteOffset: 8, as: Int.self)
        buffer.storeBytes(of: stallsAfter, toByteOffset: 16, as: Int.self)
        buffer.storeBytes(of: socketBuffers, toByteOffset: 24, as: Int.self)
    }

    init(way: Way) { self.way = way }

    init(reading buffer: UnsafeRawBufferPointer) {
        way = buffer[1] == 0 ? .down : .up
        slot = buffer.loadUnaligned(fromByteOffset: 8, as: Int.self)
        stallsAfter = buffer.loadUnaligned(fromByteOffset: 16, as: Int.self)
        socketBuffers = buffer.loadUnaligned(fromByteOffset: 24, as: Int.self)
    }

    /// Different per transfer: bytes that reach the wrong connection do not match there.
    var phase: Int { (slot + 1) &* 7_919 % 65_536 }

    func apply(to socket: Socket) {
        guard socketBuffers > 0 else { return }
        for option in [SO_SNDBUF, SO_RCVBUF] { socket.set(Int(SOL_SOCKET), option, Int32(socketBuffers)) }
    }
}

/// One end's part of a transfer: a position in the pattern that only moves on. Both ends use it, each in its own
/// process.
struct TransferEnd {
    enum Step {
        case moved, wouldBlock
        /// The other end has sent its last byte.
        case ended
        case failed(errno: Int32)
        case wrongContent
    }

    let socket: Socket
    let header: TransferHeader
    /// Bytes sent, or received and found right.
    private(set) var position = 0

    init(_ socket: Socket, _ header: TransferHeader) {
        self.socket = socket
        self.header = header
    }

    /// Sends up to a chunk, once: turns between connections are taken by the caller.
    mutating func send() -> Step {
        let count = Pattern.shared.withBytes(at: position, phase: header.phase) { bytes in
            Glibc.send(socket.descriptor, bytes.baseAddress!, bytes.count, Int32(MSG_NOSIGNAL))
        }
        guard count >= 0 else { return Self.failure() }
        position += count
        return .moved
    }

    /// Receives up to a chunk, once, into `scratch`, and compares it.
    mutating func receive(_ scratch: UnsafeMutableRawBufferPointer) -> Step {
        let left = header.stallsAfter > position ? header.stallsAfter - position : scratch.count
        let count = recv(socket.descriptor, scratch.baseAddress!, min(left, scratch.count), 0)
        guard count >= 0 else { return Self.failure() }
        guard count > 0 else { return .ended }
        let bytes = UnsafeRawBufferPointer(rebasing: scratch[..<count])
        guard Pattern.shared.matches(bytes, at: position, phase: header.phase) else { return .wrongContent }
        position += count
        return .moved
    }

    private static func failure() -> Step {
        errno == EAGAIN || errno == EINTR ? .wouldBlock : .failed(errno: errno)
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
