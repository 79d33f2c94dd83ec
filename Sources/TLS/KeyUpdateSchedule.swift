// When our own sending key is renewed, and when a peer renews its key too often. Counts and clock only.

/// One engine's key updates.
struct KeyUpdateSchedule {
    /// A quarter of the records that AES-GCM may protect with one key (2^24.5, RFC 8446, 5.5), and a bit
    /// less.
    var recordsPerKey: UInt64 = 1 << 22
    static let keyNanoseconds: UInt64 = 3_600 * 1_000_000_000
    /// A link of ours needs one a minute at 1 GB/s; each costs the receiver a key derivation.
    static let floodLimit = 16
    static let floodNanoseconds: UInt64 = 60 * 1_000_000_000

    private(set) var isFlooded = false
    private var recordsSent: UInt64 = 0
    private var keySince: UInt64?
    private var now: UInt64 = 0
    private var windowStart: UInt64 = 0
    private(set) var inWindow = 0

    /// True if a new key is due before the next record.
    var isDue: Bool {
        if recordsSent >= recordsPerKey { return true }
        guard let keySince else { return false }
        return elapsed(since: keySince) >= Self.keyNanoseconds
    }

    mutating func sentRecord() {
        recordsSent += 1
    }

    mutating func renewedKey() {
        recordsSent = 0
        keySince = now
    }

    /// Without ticks the first window never ends.
    mutating func tick(_ nanoseconds: UInt64) {
        now = max(now, nanoseconds)
        if keySince == nil { keySince = now }
    }

    mutating func peerRenewedKey() {
        if inWindow == 0 || elapsed(since: windowStart) >= Self.floodNanoseconds {
            windowStart = now
            inWindow = 0
        }
        inWindow += 1
        if inWindow > Self.floodLimit { isFlooded = true }
    }

    private func elapsed(since earlier: UInt64) -> UInt64 {
        now - earlier  // `now` only grows and every mark was a `now`.
    }
}
