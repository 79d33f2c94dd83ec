import Digests

/// The key that seals are made with. It evolves with every seal and the one before is erased: whoever takes the machine over
/// can forge no seal that was made before.
///
/// K_0 is in `seal-verify.key` alone, which is made at the first start and is meant to be moved off the machine: it checks all
/// seals, and could forge them. Seal j is made with K_j = HMAC(K_(j-1), "next"), the first is 1; `seal-now.key` holds j and K_j
/// (``SealKeySlots``).
package struct SealKey: Sendable {
    package static let verifyName = "seal-verify.key"
    package static let nowName = "seal-now.key"
    package static let bytes = 32
    /// Ten years of a seal a minute: nothing honest is further ahead of a key.
    static let furthest: Int64 = 10 * 366 * 1_440

    /// Of the next seal.
    package private(set) var number: Int64
    private var key: [UInt8]

    /// K_0.
    package init(verification key: [UInt8]) {
        precondition(key.count == Self.bytes, "a seal's key has \(Self.bytes) bytes")
        number = 0
        self.key = key
    }

    init(number: Int64, key: [UInt8]) {
        self.number = number
        self.key = key
    }

    package mutating func evolve() {
        var next = hmacSHA256(key: key, Array("next".utf8))
        swap(&key, &next)
        erase(&next)
        number += 1
    }

    /// Forwards only: an old key is not to be had again.
    package mutating func evolve(to wanted: Int64) {
        while number < wanted { evolve() }
    }

    package func mac(_ sealed: [UInt8]) -> [UInt8] { hmacSHA256(key: key, sealed) }

    /// For its file alone: the number (8 bytes, big-endian), and the key.
    var fileBytes: [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } + key }
}

// Printing or dumping shows nothing of the key.
extension SealKey: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "SealKey \(number)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
