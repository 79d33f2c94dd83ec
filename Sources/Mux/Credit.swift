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

    /// What a system takes in for a program that reads nothing, or a page and no more: Linux begins with a window of 64 KiB.
    static let unreadBytes = 256 << 10
    /// Of the pool: what is for the first growth of each stream, and how much that is.
    static let beginnersBytes = 9 << 20
    static let beginnerBytes = 16 << 10

    /// The first window of a stream opened while `open` others are. 32 × 256 KiB + 224 × 16 KiB + 768 × 4 KiB
    /// + 15,360 × 512 bytes is 22 MiB: with the growth pool it stays below `linkBytes`. When both ends open many at
    /// once, neither has heard of the other's yet, and twice as many get the larger ones: 14.5 MiB
    /// more at worst, and an opening that would not fit beside the growth pool is refused.
    package static func firstWindowBytes(openStreams open: Int) -> Int {
        if open < 32 { return 256 << 10 }
        if open < 256 { return 16 << 10 }
        if open < 1_024 { return 4 << 10 }
        return 512
    }
}

/// What windows grow out of, and for whom.
///
/// The growth of a stream that has stalled is full of bytes and cannot be called back, and whoever reaches a listener can have as many of
/// them as there are streams, alike those that move until they stop. So nobody grows on trust: all streams together that have delivered
/// less than so much hold less than a part of the pool, and with each doubling of what was delivered that part rises. The
/// rest is always free for those that go on moving. (And the first growth of each, with which it gets there, has a part of its own.)
struct GrowthPool {
    /// What all streams have, by their class, without what they have as beginners.
    private var lent: InlineArray<13, Int> = .init(repeating: 0)
    private(set) var beginnersBytes = 0
    private(set) var lentBytes = 0

    var isFull: Bool { lentBytes == 0 }

    /// By doublings of what has been delivered; 0: not yet more than somebody who never reads.
    static func grade(of deliveredBytes: Int) -> Int {
        let doubled = deliveredBytes / Credit.unreadBytes
        return min(Int.bitWidth - doubled.leadingZeroBitCount, 12)
    }

    /// What those of this grade and of all below hold together at most: 3 MiB for those that have delivered 256 KiB, and with each
    /// doubling 2 MiB more.
    static func mostBytes(below grade: Int) -> Int {
        grade == 0 ? 0 : min((1 + 2 * grade) << 20, Credit.growthPoolBytes - Credit.beginnersBytes)
    }

    /// By how much the window may grow as a beginner's.
    func roomForBeginner(_ window: borrowing ReceiveWindow) -> Int {
        let left = Credit.beginnersBytes - beginnersBytes + window.beginnerBytes
        return max(min(Credit.beginnerBytes, left / 64) - window.beginnerBytes, 0)
    }

    /// What is left for streams of this grade.
    func room(atGrade wanted: Int) -> Int {
        var room = Int.max
        var held = 0
        for grade in 0..<lent.count {
            held += lent[grade]
            if grade >= wanted { room = min(room, Self.mostBytes(below: grade) - held) }
        }
        return max(room, 0)
    }

    mutating func change(_ grade: Int, by bytes: Int, beginner: Int) {
        lent[grade] += bytes
        beginnersBytes += beginner
        lentBytes += bytes + beginner
    }

    func lent(_ grade: Int) -> Int { lent[grade] }
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
    /// What has reached whoever is behind the socket.
    private(set) var deliveredBytes = 0
    private var returnedAt: UInt64
    /// A round is over when a whole window has been returned.
    private var roundBytes = 0
    private var roundStart: UInt64
    /// A round has shown that the path, not the window, was the limit: from now on it grows by steps.
    private var hasSettled = false
    private var limitedRounds: UInt8 = 0

    /// Came, not yet consumed.
    var bufferedBytes: Int { limitBytes - grantedBytes - owedBytes }
    /// What it has from the pool: the first of it as every beginner, then for what it has delivered.
    private(set) var beginnerBytes = 0
    var grownBytes: Int { limitBytes - firstBytes }
    var lentBytes: Int { grownBytes - beginnerBytes }
    private(set) var grade = 0
    /// It is time to return credit: an eighth of the window is owed, which is all that the sender has to do without; of a small
    /// one, half.
    var isDue: Bool { owedBytes >= limitBytes / (limitBytes < Credit.comfortableWindowBytes ? 2 : 8) }

    init(firstBytes: Int, now: UInt64) {
        self.firstBytes = firstBytes
        limitBytes = firstBytes
        grantedBytes = firstBytes
        roundStart = now
        returnedAt = now
    }

    /// Takes arrived bytes from the grant; false if they exceed it.
    mutating func arrived(_ amount: Int) -> Bool {
        guard amount <= grantedBytes else { return false }
        grantedBytes -= amount
        return true
    }

    /// Bytes have left to the socket.
    mutating func consumed(_ amount: Int) {
        precondition(amount <= bufferedBytes, "more consumed than came")
        owedBytes += amount
    }

    mutating func delivered(_ total: Int, _ pool: inout GrowthPool) {
        deliveredBytes = max(deliveredBytes, total)
        let next = GrowthPool.grade(of: deliveredBytes)
        guard next != grade else { return }
        pool.change(grade, by: -lentBytes, beginner: 0)
        pool.change(next, by: lentBytes, beginner: 0)
        grade = next
    }

    /// What to return now, and how large the window is to be.
    ///
    /// A sender that waits for credit uses a window each round trip, however small the window is: it doubles, out of `pool` as far
    /// as it is not `reserved` and the stream has delivered enough, and once it has been large enough grows by halves
    /// and eighths. A sender that the path holds back takes longer, and what the window lets it send beyond rate ×
    /// round trip stands in the path's queues, before every keystroke: a window that takes two and a half round trips shrinks by
    /// steps (less would starve a path whose round trip varies). What is used much more slowly is halved. What somebody slow
    /// leaves full gives back all that leaves.
    mutating func takeIncrement(
        now: UInt64, roundTripNanoseconds: UInt64, pool: inout GrowthPool, reserved: Int
    ) -> Int {
        let isStalling = isStalling(now: now, roundTripNanoseconds: roundTripNanoseconds)
        returnedAt = now
        var increment = owedBytes
        owedBytes = 0
        roundBytes += increment
        let isSmall = limitBytes < Credit.comfortableWindowBytes
        if isStalling {
            increment -= giveBack(min(increment, grownBytes), &pool)
            (roundBytes, roundStart) = (0, now)
        } else if isSmall || roundBytes >= limitBytes {
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
                let wanted = !isLimited ? limitBytes / 8 : hasSettled ? limitBytes / 2 : limitBytes
                increment += grow(by: wanted, &pool, reserved: reserved)
            } else if elapsed * 2 > roundTripNanoseconds * 5 {
                let isIdle = elapsed / 32 > max(roundTripNanoseconds, 10_000_000)
                let floor = max(firstBytes, Credit.comfortableWindowBytes)
                let step = min(
                    isIdle ? limitBytes / 2 : limitBytes / 8, max(limitBytes - floor, 0), increment)
                increment -= giveBack(step, &pool)
            }
        }
        grantedBytes += increment
        return increment
    }

    /// By so much, or by what there is if that is worth it; answers by how much.
    private mutating func grow(by wanted: Int, _ pool: inout GrowthPool, reserved: Int) -> Int {
        let wanted = min(wanted, Credit.maximumWindowBytes - limitBytes)
        let first = min(pool.roomForBeginner(self), wanted)
        var lent = min(wanted - first, max((deliveredBytes - Credit.unreadBytes) * 2 - lentBytes, 0))
        // A large window takes at most half of what is left: some that lie idle do not leave all others at their first.
        let left = pool.room(atGrade: grade)
        if limitBytes < Credit.comfortableWindowBytes {
            lent = min(lent, left)
        } else if limitBytes >= 8 << 20 || lent * 2 <= left {
            // The largest takes a part of what it wants.
            lent = min(lent, left / 2)
        } else {
            lent = 0
        }
        let step = first + lent
        guard step > 0, step >= min(wanted, limitBytes / 8),
            Credit.growthPoolBytes - pool.lentBytes - reserved >= step
        else { return 0 }
        beginnerBytes += first
        limitBytes += step
        pool.change(grade, by: lent, beginner: first)
        return step
    }

    private mutating func giveBack(_ step: Int, _ pool: inout GrowthPool) -> Int {
        let lent = min(step, lentBytes)
        limitBytes -= step
        beginnerBytes -= step - lent
        pool.change(grade, by: -lent, beginner: lent - step)
        return step
    }

    /// All of it: the stream receives no more.
    mutating func giveBackAll(_ pool: inout GrowthPool) {
        pool.change(grade, by: -lentBytes, beginner: -beginnerBytes)
    }

    /// What has come stands, and leaves more slowly than a window in two and a half round trips.
    private func isStalling(now: UInt64, roundTripNanoseconds: UInt64) -> Bool {
        guard bufferedBytes >= limitBytes / 2 else { return false }
        let took = min(now - min(returnedAt, now), 60_000_000_000)
        return took * UInt64(limitBytes) * 2 > max(roundTripNanoseconds, 10_000_000) * UInt64(owedBytes) * 5
    }
}
