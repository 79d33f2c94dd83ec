// One end of a connection in memory: an engine, its queue, and what a loop would do with them.
import Buffers
import Glibc
import TLS

let identity = Array("a node's 16 byte".utf8)
let psk = [UInt8]((0..<32).map { $0 &* 7 &+ 1 })

final class End {
    let engine: TLSEngine
    private(set) var received = [UInt8]()
    private(set) var failure: TLSFailure?
    private(set) var isEstablished = false
    private(set) var isClosed = false
    private let pool = ChunkPool()
    private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 16_384, alignment: 16)

    init(_ context: TLSContext) throws {
        engine = try TLSEngine(context: context, output: ByteQueue(pool: pool))
    }

    deinit {
        scratch.deallocate()
    }

    static func server(_ keys: [[UInt8]: [UInt8]] = [identity: psk]) throws -> End {
        try End(.server { keys[Array($0)] })
    }

    static func client(identity: [UInt8] = identity, psk: [UInt8] = psk) throws -> End {
        try End(.client(identity: identity, psk: psk))
    }

    /// Feeds `bytes` in the given slices and reads out all that they hold.
    func give(_ bytes: [UInt8], slice: () -> Int = { .max }) {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            repeat {
                let part = rest.prefix(slice())
                rest = rest.dropFirst(part.count)
                engine.feed(UnsafeRawBufferPointer(rebasing: part))
                run()
            } while !rest.isEmpty && failure == nil && !isClosed
        }
    }

    /// What a loop does when input came, or at the start.
    func run() {
        if !isEstablished {
            switch engine.handshake() {
            case .wantsInput: return
            case .failed(let reason):
                failure = reason
                return
            case .done: isEstablished = true
            }
        }
        while true {
            switch engine.read(into: scratch) {
            case .bytes(let count): received += scratch[..<count]
            case .wantsInput: return
            case .closed:
                isClosed = true
                return
            case .failed(let reason):
                failure = reason
                return
            }
        }
    }

    func write(_ bytes: [UInt8]) -> TLSFailure? {
        bytes.withUnsafeBytes { engine.write($0) }
    }

    func takeOutput() -> [UInt8] {
        TLSTests.take(engine.output)
    }

    func takeReceived() -> [UInt8] {
        defer { received = [] }
        return received
    }
}

/// All of a queue's bytes, removed.
func take(_ queue: ByteQueue) -> [UInt8] {
    var out = [UInt8]()
    var vector = [iovec()]
    while !queue.isEmpty {
        vector.withUnsafeMutableBufferPointer { _ = queue.describe(in: $0) }
        out += UnsafeRawBufferPointer(start: vector[0].iov_base, count: vector[0].iov_len)
        queue.discard(vector[0].iov_len)
    }
    return out
}

/// Carries bytes between two ends until neither has any.
func pump(_ one: End, _ other: End, slice: () -> Int = { .max }) {
    one.run()
    other.run()
    while true {
        let toOther = one.takeOutput()
        let toOne = other.takeOutput()
        if toOther.isEmpty && toOne.isEmpty { return }
        if !toOther.isEmpty { other.give(toOther, slice: slice) }
        if !toOne.isEmpty { one.give(toOne, slice: slice) }
    }
}

/// Two ends after a good handshake.
func pair() throws -> (client: End, server: End) {
    let client = try End.client()
    let server = try End.server()
    pump(client, server)
    return (client, server)
}
