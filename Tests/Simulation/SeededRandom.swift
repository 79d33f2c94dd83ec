// Simulation: a network and a clock in memory for the libraries that take theirs as a value (`EventLoop(poller:network:
// mailbox:)`), everything from one seed; and what test targets share to run seeds.
import Glibc

/// SplitMix64: all that a simulation does follows from one number.
package struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) {
        state = seed &* 0xd134_2543_de82_ef95 &+ 0x1234_5678_9abc_def1
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// 0 to `bound - 1`.
    package mutating func below(_ bound: Int) -> Int {
        Int(next() >> 33) % bound
    }

    package mutating func oneIn(_ number: Int) -> Bool { below(number) == 0 }

    /// 1 to 2^bits, small numbers as often as large ones.
    package mutating func size(bits: Int) -> Int {
        1 + below(1 << below(bits + 1))
    }

    package mutating func pick<T>(_ items: [T]) -> T { items[below(items.count)] }
}

/// What the sender `key` sends: first its key, 4 bytes, then bytes that each tell their sender and their position. Whoever
/// receives them knows from whom, and that nothing is missing, doubled or exchanged.
package enum Pattern {
    /// A prime, so that no window or frame size hides a shift.
    private static let period = 65_521
    package static let keyBytes = 4

    private static let bytes: [UInt8] = {
        var random = SeededRandom(seed: 925)
        let once = (0..<period).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        return once + once
    }()

    /// Writes the bytes from `position` on.
    package static func fill(_ target: UnsafeMutableRawBufferPointer, key: UInt32, from position: Int) {
        var done = 0
        while done < target.count {
            let count = min(target.count - done, period)
            let start = start(key, position + done)
            bytes.withUnsafeBytes { _ = memcpy(target.baseAddress! + done, $0.baseAddress! + start, count) }
            done += count
        }
        for place in position..<max(position, min(keyBytes, position + target.count)) {
            target[place - position] = UInt8(truncatingIfNeeded: key >> UInt32(8 * place))
        }
    }

    /// Whether these are the bytes from `position` on, those of the key left aside.
    package static func matches(_ received: UnsafeRawBufferPointer, key: UInt32, from position: Int) -> Bool {
        var done = min(received.count, max(0, keyBytes - position))
        while done < received.count {
            let count = min(received.count - done, period)
            let start = start(key, position + done)
            let isEqual = bytes.withUnsafeBytes {
                memcmp(received.baseAddress! + done, $0.baseAddress! + start, count) == 0
            }
            if !isEqual { return false }
            done += count
        }
        return true
    }

    private static func start(_ key: UInt32, _ position: Int) -> Int {
        (Int(key) &* 7_919 &+ position) % period
    }
}
