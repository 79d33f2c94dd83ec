// Pattern: bytes that depend on their position, cheap to send and cheap to check.
import Glibc

/// A run of pseudo-random bytes that repeats after a prime number of them, so that a frame that is lost,
/// doubled or moved never lines up again. Kept once, with one chunk more than the period: the bytes of any
/// position are then contiguous and are sent as they lie.
struct Pattern: Sendable {
    /// Most bytes of one send or receive.
    static let chunkBytes = 262_144
    /// The largest prime below 2^18: pattern and its overhang stay in a core's cache.
    private static let period = 262_139
    /// One word of eight bytes is compared in each run of this many: a misplaced byte shifts all that follow,
    /// so a sparse look finds it, and the check costs under 1 % of the receive itself.
    private static let stride = 1_024

    static let shared = Pattern()

    private let bytes: [UInt8]

    private init() {
        var state: UInt64 = 0x9e37_79b9_7f4a_7c15
        let cycle = (0..<Self.period).map { _ in
            // xorshift64*: any generator without short cycles would do.
            state ^= state >> 12
            state ^= state << 25
            state ^= state >> 27
            return UInt8(truncatingIfNeeded: (state &* 0x2545_f491_4f6c_dd1d) >> 56)
        }
        bytes = cycle + (0..<Self.chunkBytes).map { cycle[$0 % Self.period] }
    }

    /// Hands out up to a chunk of the bytes at `position` of the stream whose pattern starts at `phase`.
    func withBytes<R, E: Error>(
        at position: Int, phase: Int, _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        let offset = (phase + position) % Self.period
        let count = Self.chunkBytes
        return try bytes.span.withUnsafeBytes { (all) throws(E) -> R in
            try body(UnsafeRawBufferPointer(rebasing: all[offset..<offset + count]))
        }
    }

    /// Whether `received`, at most a chunk, holds the bytes of `position`: compared at its start, its end and
    /// sparsely between.
    func matches(_ received: UnsafeRawBufferPointer, at position: Int, phase: Int) -> Bool {
        withBytes(at: position, phase: phase) { expected in
            guard received.count >= 8 else { return received.elementsEqual(expected.prefix(received.count)) }
            func equal(_ offset: Int) -> Bool {
                received.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                    == expected.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            }
            var offset = 0
            while offset <= received.count - 8 {
                guard equal(offset) else { return false }
                offset += Self.stride
            }
            return equal(received.count - 8)
        }
    }
}
