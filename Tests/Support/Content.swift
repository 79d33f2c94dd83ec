import Foundation

/// Endless bytes that a seed decides, cheap to make and to compare even in a debug build.
///
/// They repeat after 262,139 bytes, a prime: no frame, buffer or window of the product is a multiple of it, so a
/// lost, doubled or swapped piece shows.
package struct Content: Sendable {
    package let seed: UInt64
    private let block: [UInt8]

    package init(seed: UInt64) {
        self.seed = seed
        var random = SeededRandom(seed: seed)
        let period = 262_139
        block = [UInt8](unsafeUninitializedCapacity: period + 8) { buffer, filled in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            for offset in stride(from: 0, to: period, by: 8) {
                raw.storeBytes(of: random.next(), toByteOffset: offset, as: UInt64.self)
            }
            filled = period
        }
    }

    package func bytes(_ range: Range<Int>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(range.count)
        forEachPiece(of: range) { bytes.append(contentsOf: $0) }
        return bytes
    }

    /// The position of the first byte that is not the stream's at `offset`.
    package func firstDifference(in received: UnsafeRawBufferPointer, at offset: Int) -> Int? {
        var position = 0
        var difference: Int?
        forEachPiece(of: offset..<offset + received.count) { piece in
            guard difference == nil, let base = received.baseAddress else { return }
            if let expected = piece.baseAddress, memcmp(base + position, expected, piece.count) != 0 {
                difference =
                    offset + position
                    + (0..<piece.count).prefix { received[position + $0] == piece[$0] }.count
            }
            position += piece.count
        }
        return difference
    }

    func forEachPiece(of range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        try block.withUnsafeBytes { block in
            var offset = range.lowerBound
            while offset < range.upperBound {
                let start = offset % block.count
                let count = min(block.count - start, range.upperBound - offset)
                try body(UnsafeRawBufferPointer(rebasing: block[start..<start + count]))
                offset += count
            }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a whole generator in one word, so that a seed replays a test.
package struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

extension Socket {
    package func send(_ content: Content, _ range: Range<Int>) throws {
        try content.forEachPiece(of: range) { try send($0) }
    }

    /// Takes the bytes of `range`, then the end of the stream: one byte more is a failure, one fewer too.
    package func receiveToEnd(_ content: Content, _ range: Range<Int>) throws {
        try receive(content, range)
        let more = try receive(upTo: 1)
        guard more.isEmpty else { throw Failure("a byte too many after \(range.upperBound)") }
    }

    /// Compares what arrives until the connection ends, and tells how it ended: `nil` is a clean end.
    package func drain(_ content: Content, from start: Int = 0) throws -> (count: Int, end: SocketError?) {
        do {
            try receive(content, start..<Int.max)
            return (Int.max, nil)
        } catch Ended.clean(let count) {
            return (count, nil)
        } catch Ended.error(let count, let error) {
            return (count, error)
        }
    }

    /// Takes exactly the bytes of `range` and compares each.
    package func receive(_ content: Content, _ range: Range<Int>) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 131_072, alignment: 16)
        defer { buffer.deallocate() }
        var offset = range.lowerBound
        while offset < range.upperBound {
            let room = UnsafeMutableRawBufferPointer(
                rebasing: buffer[..<min(buffer.count, range.upperBound - offset)])
            let count: Int
            do {
                count = try receive(into: room)
            } catch let error as SocketError {
                throw Ended.error(offset - range.lowerBound, error)
            }
            guard count > 0 else { throw Ended.clean(offset - range.lowerBound) }
            if let wrong = content.firstDifference(
                in: UnsafeRawBufferPointer(rebasing: room[..<count]), at: offset)
            {
                throw Failure("wrong byte at \(wrong) of the stream with seed \(content.seed)")
            }
            offset += count
        }
    }
}

/// A stream that stopped before its range did, with how many bytes were right until then.
package enum Ended: Error, Equatable, CustomStringConvertible {
    case clean(Int)
    case error(Int, SocketError)

    package var description: String {
        switch self {
        case .clean(let count): "the stream ended cleanly after \(count) right bytes, more were due"
        case .error(let count, let error): "the stream broke after \(count) right bytes: \(error)"
        }
    }
}
