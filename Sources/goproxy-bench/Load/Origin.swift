// Origin: the origin's process as the benchmark holds it, and what passes between the two about transfers.
import CLinux
import Glibc
import Synchronization

/// What the benchmark asks of the origin; every request is answered with an account.
enum OriginRequest {
    static let bytes = 9

    /// Transfers of a new load: so many slots, all at 0.
    case prepare(count: Int)
    case read
    /// Every transfer downward from this slot on sends its end of stream.
    case stopSending(from: Int)
    /// Those that have stopped receiving go on.
    case resume

    init?(reading buffer: UnsafeRawBufferPointer) {
        let number = buffer.loadUnaligned(fromByteOffset: 1, as: Int.self)
        switch buffer[0] {
        case UInt8(ascii: "p") where (0...100_000).contains(number): self = .prepare(count: number)
        case UInt8(ascii: "r"): self = .read
        case UInt8(ascii: "s") where number >= 0: self = .stopSending(from: number)
        case UInt8(ascii: "g"): self = .resume
        default: return nil
        }
    }

    func write(to buffer: UnsafeMutableRawBufferPointer) {
        let (code, number): (UInt8, Int) =
            switch self {
            case .prepare(let count): (UInt8(ascii: "p"), count)
            case .read: (UInt8(ascii: "r"), 0)
            case .stopSending(let slot): (UInt8(ascii: "s"), slot)
            case .resume: (UInt8(ascii: "g"), 0)
            }
        buffer[0] = code
        buffer.storeBytes(of: number, toByteOffset: 1, as: Int.self)
    }
}

/// The origin's side of a load at one moment.
struct OriginAccount {
    private static let headWords = 5

    /// When it was true, by the clock that both processes have.
    var nanoseconds = 0
    /// Connections that are open, this one not counted.
    var open = 0
    /// Transfers that received what was not sent to them, and that a system call ended.
    var wrong = 0
    var broken = 0
    /// By slot: sent (down) or received (up).
    var bytes: [Int] = []

    init(count: Int = 0) {
        bytes = Array(repeating: 0, count: count)
    }

    /// Sends all of it, waiting for a reader that is slow; false when there is none any more.
    func send(to descriptor: Int32) -> Bool {
        let words = [nanoseconds, open, wrong, broken, bytes.count] + bytes
        return words.withUnsafeBytes { all in
            var sent = 0
            while sent < all.count {
                let count = Glibc.send(
                    descriptor, all.baseAddress! + sent, all.count - sent, Int32(MSG_NOSIGNAL))
                if count > 0 { sent += count } else if errno != EAGAIN && errno != EINTR { return false }
            }
            return true
        }
    }

    init(from socket: Socket) throws(BenchError) {
        let head = try Self.words(Self.headWords, from: socket)
        (nanoseconds, open, wrong, broken) = (head[0], head[1], head[2], head[3])
        bytes = try Self.words(head[4], from: socket)
    }

    private static func words(_ count: Int, from socket: Socket) throws(BenchError) -> [Int] {
        guard count > 0 else { return [] }
        return try withBuffer(count * 8) { (buffer) throws(BenchError) in
            try socket.fill(buffer)
            return (0..<count).map { buffer.load(fromByteOffset: $0 * 8, as: Int.self) }
        }
    }
}

final class Origin: Sendable {
    let port: UInt16
    let process: Program
    private let control: Mutex<Socket>

    /// Starts this program once more, as the origin.
    init() throws(BenchError) {
        process = try Program.start(
            "origin", path: "/proc/self/exe", arguments: [OriginProcess.argument], echoLog: false)
        guard let port = try process.await(OriginProcess.listening)["port"].flatMap({ UInt16($0) }) else {
            throw process.failed("reported no port")
        }
        self.port = port
        let socket = try Socket.connected(to: port)
        var mark = OriginProcess.mark
        try withUnsafeBytes(of: &mark) { (bytes) throws(BenchError) in try socket.send(bytes) }
        control = Mutex(socket)
    }

    func ask(_ request: OriginRequest) throws(BenchError) -> OriginAccount {
        try control.withLock { (socket) throws(BenchError) in
            try withBuffer(OriginRequest.bytes) { (buffer) throws(BenchError) in
                request.write(to: buffer)
                try socket.send(UnsafeRawBufferPointer(buffer))
            }
            return try OriginAccount(from: socket)
        }
    }

    /// Waits until all connections are closed here too: what a tunnel holds for them is then on its way out.
    func awaitNone() throws(BenchError) {
        try Deadline(seconds: 30).wait("origin", "connections stay open") { () throws(BenchError) in
            try ask(.read).open == 0
        }
    }
}
