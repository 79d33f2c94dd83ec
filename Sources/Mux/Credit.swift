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

    /// The first window of a stream opened while `open` others are. 32 × 256 KiB + 224 × 16 KiB + 768 × 2 KiB
    /// + 15,360 × 512 bytes is 20.5 MiB: with the growth pool it stays below `linkBytes`. When both ends open many at
    /// once, neither has heard of the other's yet, and twice as many get the larger ones: 13 MiB
    /// more at worst, and an opening that would not fit beside the growth pool is refused.
    package static func firstWindowBytes(openStreams open: Int) -> Int {
        if open < 32 { return 256 << 10 }
        if open < 256 { return 16 << 10 }
        if open < 1_024 { return 2 << 10 }
        return 512
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
    /// A round is over when a whole window has been returned.
    private var roundBytes = 0
    private var roundStart: UInt64
    /// A round has shown that the path, not the window, was the limit: from now on it grows by steps.
    private var hasSettled = false
    private var limitedRounds: UInt8 = 0

    /// Came, not yet consumed.
    var bufferedBytes: Int { limitBytes - grantedBytes - owedBytes }

    init(firstBytes: Int, now: UInt64) {
        self.firstBytes = firstBytes
        limitBytes = firstBytes
        grantedBytes = firstBytes
        roundStart = now
    }

    /// Takes arrived bytes from the grant; false if they exceed it.
    mutating func arrived(_ amount: Int) -> Bool {
        guard amount <= grantedBytes else { return false }
        grantedBytes -= amount
        return true
    }

    /// Bytes have left to the socket. True when it is time to return credit: an eighth of the window is owed, which is all that
    /// the sender has to do without; of a small one, half.
    mutating func consumed(_ amount: Int) -> Bool {
        precondition(amount <= bufferedBytes, "more consumed than came")
        owedBytes += amount
        return owedBytes >= limitBytes / (limitBytes < Credit.comfortableWindowBytes ? 2 : 8)
    }

    /// What to return now, and how large the window is to be.
    ///
    /// A sender that waits for credit uses a window each round trip, however small the window is: it doubles, out of `pool` as far
    /// as it is not `reserved`, and once it has been large enough grows by halves
    /// and eighths. A sender that the path holds back takes longer, and what the window lets it send beyond rate ×
    /// round trip stands in the path's queues, before every keystroke: a window that takes two and a half round trips shrinks by
    /// steps (less would starve a path whose round trip varies). What is used much more slowly is halved.
    mutating func takeIncrement(
        now: UInt64, roundTripNanoseconds: UInt64, pool: inout Int, reserved: Int
    ) -> Int {
        var increment = owedBytes
        owedBytes = 0
        roundBytes += increment
        let isSmall = limitBytes < Credit.comfortableWindowBytes
        if isSmall || roundBytes >= limitBytes {
            let elapsed = now - min(roundStart, now)
            (roundBytes, roundStart) = (0, now)
            let isLimited = isSmall || elapsed * 4 < roundTripNanoseconds * 5
            // The first rounds hold the stream's beginning and the path's own.
            if isLimited {
                limitedRounds = min(limitedRounds + 1, 3)
            } else if limitedRounds > 2 {
                hasSettled = true
            }
            if isLimited || elapsed * 2 < roundTripNanoseconds * 3 {
                let step = !isLimited ? limitBytes / 8 : hasSettled ? limitBytes / 2 : limitBytes
                // A large window takes at most half of what is left: some that lie idle do not leave all others at their first.
                let share = isSmall ? step : step * 2
                if limitBytes + step <= Credit.maximumWindowBytes, pool - reserved >= share {
                    pool -= step
                    increment += step
                    limitBytes += step
                }
            } else if elapsed * 2 > roundTripNanoseconds * 5 {
                let isIdle = elapsed / 32 > max(roundTripNanoseconds, 10_000_000)
                let floor = max(firstBytes, Credit.comfortableWindowBytes)
                let step = min(
                    isIdle ? limitBytes / 2 : limitBytes / 8, max(limitBytes - floor, 0), increment)
                limitBytes -= step
                pool += step
                increment -= step
            }
        }
        grantedBytes += increment
        return increment
    }
}
