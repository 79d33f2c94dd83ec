import Glibc

/// SplitMix64: all that a simulation does follows from one number.
struct SimulationRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed &* 0xd134_2543_de82_ef95 &+ 0x1234_5678_9abc_def1
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int {
        Int(next() >> 33) % bound
    }

    mutating func oneIn(_ number: Int) -> Bool { below(number) == 0 }

    /// 1 to 2^bits, small numbers as often as large ones.
    mutating func size(bits: Int) -> Int {
        1 + below(1 << below(bits + 1))
    }

    mutating func pick<T>(_ items: [T]) -> T { items[below(items.count)] }
}

/// What stream `key` carries in one direction: a byte tells its stream, its direction and its position.
enum Pattern {
    /// A prime, so that no window or frame size hides a shift.
    private static let period = 65_521
    private static let bytes: [UInt8] = {
        var random = SimulationRandom(seed: 925)
        let once = (0..<period).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        return once + once
    }()

    private static func start(_ key: Int, _ position: Int) -> Int {
        (key &* 7_919 &+ position) % period
    }

    static func append(_ count: Int, key: Int, from position: Int, to target: inout [UInt8]) {
        let start = start(key, position)
        target.append(contentsOf: bytes[start..<start + count])
    }

    static func matches(_ payload: UnsafeRawBufferPointer, key: Int, from position: Int) -> Bool {
        let start = start(key, position)
        return bytes.withUnsafeBytes { pattern in
            let expected = UnsafeRawBufferPointer(rebasing: pattern[start..<start + payload.count])
            return memcmp(expected.baseAddress!, payload.baseAddress!, payload.count) == 0
        }
    }
}
