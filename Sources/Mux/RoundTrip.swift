/// How long the path takes by itself, from answers that may have stood behind what was under way.
///
/// A longer answer than the shortest comes from our own bytes in the path's queues, or from a path that has changed; which of the two is
/// found out by letting the queues run empty. When the shortest has not been seen again for a while, the receiver withholds
/// its credit and asks until the path says what it takes by itself, as BBR does (draft-ietf-ccwg-bbr, ProbeRTT). The other end, which
/// sends, asks at the same time, and believes longer answers that nothing was under way with.
struct RoundTrip {
    private(set) var shortest = Credit.assumedRoundTripNanoseconds
    /// Credit is withheld, and questions follow each other.
    private(set) var isProbing = false
    private var isKnown = false
    private var seenAt: UInt64 = 0
    private var probedAt: UInt64 = 0
    private var answers = 0
    private var best = UInt64.max
    private var lastQuiet: UInt64?

    private static let patience: UInt64 = 10_000_000_000
    /// Far longer than before, and more than a busy machine makes of it: the path has changed.
    private static let shortPatience: UInt64 = 3_000_000_000
    /// On a short path a pause of one of the programs is no path.
    private static let mostAnswers = 5
    private static let enoughNanoseconds: UInt64 = 20_000_000
    /// A time beyond any path's says that the other end was stopped.
    private static let longest: UInt64 = 10_000_000_000

    /// The answer to a question took so long. `isQuiet`: no DATA was sent or came meanwhile; `wasQuiet`: nor between the question before
    /// and this one. True: ask again at once.
    mutating func answered(
        _ took: UInt64, now: UInt64, isQuiet: Bool, wasQuiet: Bool, isReceiving: Bool
    ) -> Bool {
        let took = min(took, Self.longest)
        if !isKnown || took < shortest { return found(took, now) }
        if isProbing {
            // Before the first of them comes what was under way, and behind it what credit there still was.
            answers += 1
            if answers > 1 { best = min(best, took) }
            let isEnough = isQuiet && now - min(probedAt, now) > Self.enoughNanoseconds
            return answers < 2 || (answers < Self.mostAnswers && !isEnough) || found(best, now)
        }
        if isQuiet, wasQuiet {
            defer { lastQuiet = took }
            // Twice: once it may have been a program's pause.
            return lastQuiet.map { found(max(min($0, took), shortest), now) } ?? false
        }
        let isFar = took > 2 * shortest + 10_000_000
        guard isReceiving, now - min(seenAt, now) >= (isFar ? Self.shortPatience : Self.patience),
            now - min(probedAt, now) >= Self.patience
        else { return false }
        (isProbing, probedAt, answers, best) = (true, now, 0, .max)
        return true
    }

    /// Always false, as the answer of `answered`.
    private mutating func found(_ time: UInt64, _ now: UInt64) -> Bool {
        (shortest, seenAt, lastQuiet) = (time, now, nil)
        (isKnown, isProbing) = (true, false)
        return false
    }
}
