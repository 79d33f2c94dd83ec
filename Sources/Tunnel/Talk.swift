/// Whether somebody talks on a link: keystrokes, questions, answers. While so, transfers take short turns, because each turn of
/// either end is what a keystroke waits for, and windows hold what the path needs and no more. When nobody does, both
/// may be larger, which moves a transfer up to half as fast again.
struct Talk {
    /// The most that a stream reads at a time, and lately, that counts as talk. A crowd's transfers, few bytes each, are none.
    private static let mostBytes = 2 << 10
    /// What a stream may read at its ease: 2 MB/s are forgotten.
    private static let nanosecondsEach: UInt64 = 500
    /// After the last word.
    private static let lingerNanoseconds: UInt64 = 20_000_000

    private var lastHeard: UInt64?

    func isOn(now: UInt64) -> Bool {
        guard let lastHeard else { return false }
        return now - min(lastHeard, now) < Self.lingerNanoseconds
    }

    mutating func heard(now: UInt64) { lastHeard = now }

    /// What one stream has read lately.
    struct Speaker {
        private var bytes = 0
        private var lastRead: UInt64 = 0

        /// Whether that was talk.
        mutating func said(_ count: Int, now: UInt64) -> Bool {
            let forgotten = Int(clamping: (now - min(lastRead, now)) / Talk.nanosecondsEach)
            bytes = max(bytes - forgotten, 0) + count
            lastRead = now
            return bytes <= Talk.mostBytes
        }
    }
}
