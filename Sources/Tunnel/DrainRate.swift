/// How fast a link takes bytes while it is the link that holds them back, and how many may therefore wait for it. What waits in
/// order stands before every keystroke: on a link of 5 MB/s, 256 KiB are 50 ms.
package struct DrainRate {
    /// What may wait, as time.
    private static let patience: UInt64 = 4_000_000
    /// Shorter ones say more of the kernel's steps than of the link.
    private static let sampleNanoseconds: UInt64 = 10_000_000
    /// What a link takes without being full is a lower bound, over a time in which its buffers play no part.
    private static let freeNanoseconds: UInt64 = 100_000_000
    /// One record; less would leave the link without work between two turns.
    static let leastBytes = 16 << 10

    private var bytesPerSecond: UInt64?
    /// Since when the link has not been without something to do, and what it took since.
    private var since: UInt64?
    private var bytes: UInt64 = 0
    /// Since when the link has taken all that there was, and how much.
    private var freeSince: UInt64?
    private var freeBytes: UInt64 = 0

    package init() {}

    /// After each attempt to send: `isFull` when the link has not taken everything.
    package mutating func note(_ written: Int, isFull: Bool, now: UInt64) {
        noteFree(written, isFull: isFull, now: now)
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

    /// A rate that was measured too low (one long pause is enough) would keep the queue so short that the link is never full
    /// again, and the rate never measured again.
    private mutating func noteFree(_ written: Int, isFull: Bool, now: UInt64) {
        guard let known = bytesPerSecond, !isFull, let start = freeSince else {
            return (freeSince, freeBytes) = (isFull ? nil : now, 0)
        }
        freeBytes += UInt64(written)
        let elapsed = now - min(start, now)
        guard elapsed >= Self.freeNanoseconds else { return }
        bytesPerSecond = max(known, freeBytes * 1_000_000_000 / elapsed)
        (freeSince, freeBytes) = (now, 0)
    }

    /// Of `most`, what the link takes in the time that may pass.
    package func queueBytes(most: Int) -> Int {
        guard let bytesPerSecond else { return most }
        let bytes = bytesPerSecond / 1_000_000 * Self.patience / 1_000
        return max(min(Int(clamping: bytes), most), Self.leastBytes)
    }
}
