import Glibc

/// `DIR/connections.slots`: what the numbers of running connections are, kept by the kernel when the process is killed.
///
/// A header of 4,096 bytes, then a slot of 64 bytes for each connection; all in words of 8 bytes, in the machine's order. A
/// slot's id is written last and cleared first, so a slot with an id is whole.
enum SlotFile {
    static let name = "connections.slots"
    static let headerBytes = 4_096
    static let slotBytes = 64
    static let slotWords = 8
    /// "gopxslot" as it stands in the file.
    static let magic: UInt64 = 0x746f_6c73_7870_6f67
    static let version: UInt64 = 1

    /// Words of the header.
    enum Header {
        static let magic = 0
        static let version = 1
        /// 36 bytes of text.
        static let boot = 2
        /// Microseconds since the epoch; nanoseconds of the monotonic clock.
        static let heartbeatAt = 7
        static let heartbeatMonotonic = 8
        /// Every connection with a lower id has its closing on disk.
        static let closedBelow = 9
        /// The highest id that was in a slot.
        static let highest = 10
        /// Which of the two blocks of refusals counts.
        static let current = 11
        /// A block: from when, until when (microseconds), and a counter for each cause.
        static let blocks = [16, 32]
        static let counters = 2
    }

    /// Words of a slot.
    enum Slot {
        static let id = 0
        static let up = 1
        static let down = 2
        static let moved = 3
        static let openedMonotonic = 4
        static let openedAt = 5
        static let reason = 6
        static let closedMonotonic = 7
    }

    struct Entry {
        let id: Int64
        let up: Int64
        let down: Int64
        let movedMonotonic: UInt64
        let openedMonotonic: UInt64
        let openedAt: Timestamp
        let reason: EndReason?
        let closedMonotonic: UInt64
    }

    struct Refusals {
        let from: Timestamp
        let until: Timestamp
        let counts: [(cause: Refusal, count: Int64)]

        init?(_ word: (Int) -> UInt64, block: Int) {
            guard word(block) != 0 else { return nil }
            from = Timestamp(microseconds: Int64(bitPattern: word(block)))
            until = Timestamp(microseconds: Int64(bitPattern: word(block + 1)))
            counts = Refusal.allCases.compactMap { cause in
                let count = Int64(clamping: word(block + Header.counters + cause.index))
                return count > 0 ? (cause, count) : nil
            }
        }

        func notes(at now: Timestamp) -> [Note] {
            counts.map {
                Note(
                    at: now, kind: .refusals, from: from, to: until, count: $0.count,
                    detail: $0.cause.rawValue)
            }
        }
    }

    struct Content {
        let heartbeatAt: Timestamp
        let heartbeatMonotonic: UInt64
        let closedBelow: Int64
        let highest: Int64
        let entries: [Entry]
        let refusals: [Refusals]
    }

    static func path(_ directory: String) -> String { "\(directory)/\(name)" }

    /// Nil when there is none, or none that can be understood: then all that is known is in the database.
    static func read(_ directory: String) -> Content? {
        let descriptor = open(path(directory), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            status.st_size >= headerBytes, status.st_size <= ConnectionSlots.fileBytesLimit
        else { return nil }
        let size = Int(status.st_size) / slotBytes * slotBytes
        var words = [UInt64](repeating: 0, count: size / 8)
        let isRead = words.withUnsafeMutableBytes { buffer in
            var done = 0
            while done < size {
                let count = pread(
                    descriptor, buffer.baseAddress?.advanced(by: done), size - done, off_t(done))
                guard count > 0 else { return false }
                done += count
            }
            return true
        }
        guard isRead, words[Header.magic] == magic, words[Header.version] == version else { return nil }
        let first = headerBytes / 8
        return Content(
            heartbeatAt: Timestamp(microseconds: Int64(bitPattern: words[Header.heartbeatAt])),
            heartbeatMonotonic: words[Header.heartbeatMonotonic],
            closedBelow: Int64(clamping: words[Header.closedBelow]),
            highest: Int64(clamping: words[Header.highest]),
            entries: stride(from: first, to: words.count, by: slotWords).compactMap { start in
                entry(words[start..<start + slotWords])
            },
            refusals: Header.blocks.compactMap { block in Refusals({ words[$0] }, block: block) })
    }

    private static func entry(_ words: ArraySlice<UInt64>) -> Entry? {
        let word = { words[words.startIndex + $0] }
        guard word(Slot.id) != 0 else { return nil }
        return Entry(
            id: Int64(clamping: word(Slot.id)), up: Int64(clamping: word(Slot.up)),
            down: Int64(clamping: word(Slot.down)), movedMonotonic: word(Slot.moved),
            openedMonotonic: word(Slot.openedMonotonic),
            openedAt: Timestamp(microseconds: Int64(bitPattern: word(Slot.openedAt))),
            reason: EndReason(number: word(Slot.reason)), closedMonotonic: word(Slot.closedMonotonic))
    }

    /// What it held is in the database now, but for the heartbeat, which the next server's start asks for.
    static func clear(_ directory: String) {
        let descriptor = open(path(directory), O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let zeros = [UInt8](repeating: 0, count: 256)
        ftruncate(descriptor, off_t(headerBytes))
        pwrite(descriptor, zeros, zeros.count, off_t(Header.blocks[0] * 8))
    }
}
