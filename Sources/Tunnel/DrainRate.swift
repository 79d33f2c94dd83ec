/// How fast a link takes bytes while it is the link that holds them back, and how many may therefore wait for it. What waits in
/// order stands before every keystroke: on a link of 5 MB/s, 256 KiB are 50 ms.
struct DrainRate {
    /// What may wait, as time.
    private static let patience: UInt64 = 4_000_000
    /// Shorter ones say more of the kernel's steps than of the link.
    private static let sampleNanoseconds: UInt64 = 10_000_000
    /// One record; less would leave the link without work between two turns.
    static let leastBytes = 16 << 10

    private var bytesPerSecond: UInt64?
    /// Since when the link has not been without something to do, and what it took since.
    private var since: UInt64?
    private var bytes: UInt64 = 0

    /// After each attempt to send: `isFull` when the link has not taken everything.
    mutating func note(_ written: Int, isFull: Bool, now: UInt64) {
        guard let start = since else {
            if isFull { (since, bytes) = (now, 0) }
            return
        }
        bytes += UInt64(written)
        let elapsed = now - min(start, now)
        if elapsed >= Self.sampleNanoseconds {
            let sample = bytes * 1_000_000_000 / elapsed
            // Quick to follow, and not led by one pause.
            bytesPerSecond = bytesPerSecond.map { ($0 * 3 + sample) / 4 } ?? sample
            (since, bytes) = (now, 0)
        }
        if !isFull { since = nil }
    }

    /// Of `most`, what the link takes in the time that may pass.
    func queueBytes(most: Int) -> Int {
        guard let bytesPerSecond else { return most }
        let bytes = bytesPerSecond / 1_000_000 * Self.patience / 1_000
        return max(min(Int(clamping: bytes), most), Self.leastBytes)
    }
}
