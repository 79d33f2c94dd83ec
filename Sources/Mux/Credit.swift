/// The numbers of flow control, and their reasons.
package enum Credit {
    /// What a link's receiver may be made to hold. It is above what all streams' windows can add up to, so it stops
    /// only an end that breaks the rules, never a well-behaved one with stalled streams.
    package static let linkBytes = 64 << 20
    /// Windows above their first size are paid from here.
    static let growthPoolBytes = 32 << 20
    /// 100 MB/s over 100 ms is 10 MB under way.
    static let maximumWindowBytes = 16 << 20
    /// Below this a window grows at its first use, whatever the round trip: small reads and writes cost more than memory.
    static let comfortableWindowBytes = 256 << 10
    /// Links whose round trip is not known yet.
    static let assumedRoundTripNanoseconds: UInt64 = 10_000_000

    /// The first window of a stream opened while `open` others are. 32 × 256 KiB + 480 × 16 KiB + 7,680 × 2 KiB
    /// is 30.5 MiB: with the growth pool it stays below `linkBytes`.
    package static func firstWindowBytes(openStreams open: Int) -> Int {
        if open < 32 { return 256 << 10 }
        if open < 512 { return 16 << 10 }
        return 2 << 10
    }
}

/// The receiving half of a stream's flow control. `granted + buffered + owed == limit` at every moment, where
/// buffered bytes are those that came and have not been consumed.
struct ReceiveWindow {
    /// What it began with; the rest of `limit` belongs to the link's growth pool.
    let firstBytes: Int
    private(set) var limitBytes: Int
    /// What the other end may still send.
    private(set) var grantedBytes: Int
    /// Consumed, not yet returned.
    private(set) var owedBytes = 0
    private var lastReturnNanoseconds: UInt64

    /// Came, not yet consumed.
    var bufferedBytes: Int { limitBytes - grantedBytes - owedBytes }

    init(firstBytes: Int, now: UInt64) {
        self.firstBytes = firstBytes
        limitBytes = firstBytes
        grantedBytes = firstBytes
        lastReturnNanoseconds = now
    }

    /// Takes arrived bytes from the grant; false if they exceed it.
    mutating func arrived(_ amount: Int) -> Bool {
        guard amount <= grantedBytes else { return false }
        grantedBytes -= amount
        return true
    }

    /// Bytes have left to the socket. True when it is time to return credit: half of the window is owed.
    mutating func consumed(_ amount: Int) -> Bool {
        precondition(amount <= bufferedBytes, "more consumed than came")
        owedBytes += amount
        return owedBytes >= limitBytes / 2
    }

    /// What to return now. Doubles the window if half of it was used within a round trip, out of `pool` as far as it
    /// is not `reserved`; halves it again if that took sixteen round trips and more.
    mutating func takeIncrement(
        now: UInt64, roundTripNanoseconds: UInt64, pool: inout Int, reserved: Int
    ) -> Int {
        let elapsed = now - min(lastReturnNanoseconds, now)
        lastReturnNanoseconds = now
        var increment = owedBytes
        owedBytes = 0
        let fast = elapsed < roundTripNanoseconds || limitBytes < Credit.comfortableWindowBytes
        let slow = elapsed / 16 > max(roundTripNanoseconds, 10_000_000)
        // A large window takes at most half of what is left: some that lie idle do not leave all others at their first.
        let share = limitBytes < Credit.comfortableWindowBytes ? limitBytes : limitBytes * 2
        if fast, limitBytes * 2 <= Credit.maximumWindowBytes, pool - reserved >= share {
            pool -= limitBytes
            increment += limitBytes
            limitBytes *= 2
        } else if slow, limitBytes > max(firstBytes, Credit.comfortableWindowBytes),
            increment >= limitBytes / 2
        {
            limitBytes /= 2
            pool += limitBytes
            increment -= limitBytes
        }
        grantedBytes += increment
        return increment
    }
}
