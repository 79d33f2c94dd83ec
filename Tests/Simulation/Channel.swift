import Reactor

/// How a connection carries bytes.
package struct LineQuality {
    /// Nanoseconds that bytes are under way; each lot draws its own, and none overtakes another.
    package var latency: ClosedRange<UInt64>
    /// What both kernels hold of one direction before a writer has to wait.
    package var capacity: Int
    /// Bytes arrive in lots of 1 to 2^n; nil: all that is under way at once.
    package var lotBits: Int?

    package init(
        latency: ClosedRange<UInt64> = 10_000...50_000, capacity: Int = 64 << 10, lotBits: Int? = nil
    ) {
        self.latency = latency
        self.capacity = capacity
        self.lotBits = lotBits
    }

    /// Any line, most of them fast.
    package static func random(_ random: inout SeededRandom) -> LineQuality {
        let least = UInt64(random.size(bits: random.oneIn(8) ? 25 : 16))
        let most = least + UInt64(random.size(bits: 18))
        let capacity = random.size(bits: random.oneIn(4) ? 8 : 18)
        return LineQuality(
            latency: least...most, capacity: capacity, lotBits: random.oneIn(3) ? 1 + random.below(16) : nil)
    }
}

/// One direction of a connection: what its writer has sent and its reader has not read.
final class Channel {
    /// The writer's.
    let index: Int
    private var quality: LineQuality
    private var random: SeededRandom
    private var storage: [UInt8] = []
    private var head = 0
    private var lots = 0
    /// Of what is queued: what the reader can see.
    private(set) var arrived = 0
    private(set) var written = 0
    private(set) var hasEnd = false
    private(set) var endArrived = false
    var isArrivalPlanned = false
    var isDrainPlanned = false
    /// The writer has been refused and waits for room.
    var wantsRoom = false
    /// Nothing arrives before this time.
    var heldUntil: UInt64 = 0
    /// Nothing arrives any more, and nobody is told.
    var isSilent = false
    /// The end came from the line and not from the writer.
    private(set) var isEndedByLine = false
    /// The line breaks when so many bytes have arrived in all.
    var cutAfter: Int?
    private(set) var arrivedInAll = 0
    private var hasResetBehind = false

    init(index: Int, quality: LineQuality, seed: UInt64) {
        self.index = index
        self.quality = quality
        random = SeededRandom(seed: seed)
    }

    var queued: Int { storage.count - head }
    var room: Int { max(0, quality.capacity - queued) }
    /// A kernel does not wake a writer for a byte.
    var hasRoomWorthAWord: Bool { room > 0 && room >= quality.capacity / 3 }
    var isCut: Bool { cutAfter == arrivedInAll }

    func latency() -> UInt64 {
        let span = Int(quality.latency.upperBound - quality.latency.lowerBound) + 1
        return quality.latency.lowerBound + UInt64(random.below(span))
    }

    /// Between two lots of what is under way.
    func gap() -> UInt64 { UInt64(1 + random.below(20_000)) }

    func append(_ bytes: UnsafeRawBufferPointer) {
        if head > 0, head == storage.count {
            storage.removeAll(keepingCapacity: true)
            head = 0
        } else if head > 128 << 10 {
            storage.removeFirst(head)
            head = 0
        }
        storage.append(contentsOf: bytes)
        written += bytes.count
    }

    func end() {
        hasEnd = true
    }

    /// What is under way is lost, and the reader sees the end of the stream.
    func endByLine() {
        storage.removeLast(queued - arrived)
        isSilent = false
        cutAfter = nil
        isEndedByLine = true
        hasEnd = true
    }

    /// A lot arrives; answers its bytes.
    func arrive() -> Int {
        var count = queued - arrived
        if let bits = quality.lotBits { count = min(count, max(random.size(bits: bits), count / 16)) }
        // Lines of a byte at a time get better, so that no seed takes for ever.
        lots += 1
        if lots % 8 == 0 {
            quality.capacity = max(quality.capacity, min(quality.capacity * 2, 64 << 10))
            quality.lotBits = quality.lotBits.map { min($0 + 1, 17) }
        }
        if let cutAfter { count = min(count, cutAfter - arrivedInAll) }
        arrived += count
        arrivedInAll += count
        if arrived == queued, hasEnd, !isCut { endArrived = true }
        return count
    }

    var isAllArrived: Bool { arrived == queued && (!hasEnd || endArrived) }

    func read(_ count: Int, into target: UnsafeMutableRawPointer) {
        storage.withUnsafeBytes { target.copyMemory(from: $0.baseAddress! + head, byteCount: count) }
        head += count
        arrived -= count
    }

    /// What is under way is lost, an end too, and nothing more comes; what has arrived can still be read.
    func breakOff() {
        storage.removeLast(queued - arrived)
        isSilent = true
    }

    /// Some resets overtake what is under way, others come right behind it.
    func resetByWriter() {
        if random.oneIn(2) { breakOff() } else { hasResetBehind = true }
    }

    func resetArrives() {
        if hasResetBehind, !isSilent, cutAfter == nil {
            arrivedInAll += queued - arrived
            arrived = queued
            endArrived = hasEnd
        }
        breakOff()
    }

    func loseAll() {
        storage = []
        head = 0
        arrived = 0
    }
}
