import Glibc
import SQLite
import Synchronization

/// `DIR/connections.slots`, mapped into memory: plain stores of the loop that outlive this process, however it ends. One slot
/// for each connection, from before its opening is appended until its closing is durable. For one thread.
///
/// The file grows by chunks whose blocks are allocated first, so a full disk is an error of `take` and not a signal at a store.
package final class ConnectionSlots {
    package struct Slot {
        package let index: Int
        /// [0] bytes up, [1] bytes down, [2] when the last byte moved, in nanoseconds of the monotonic clock. Plain stores by the
        /// owner of the connection, until `close`.
        package let counts: UnsafeMutablePointer<UInt64>
    }

    /// As many descriptors as a process gets by the kernel's own limit.
    package static let limit = 1 << 20
    static let chunk = 1_024
    static let fileBytesLimit = SlotFile.headerBytes + limit * SlotFile.slotBytes
    /// A look at all slots costs a millisecond at 60,000.
    private static let heartbeatsPerLook = 60

    private let descriptor: Int32
    private let base: UnsafeMutableRawPointer
    private let header: UnsafeMutablePointer<UInt64>
    private var count = 0
    private var vacant: [Int32] = []
    private var heartbeats = 0
    private var withoutSlot: Set<Int64> = []

    /// An empty file; what the last process left in it must have been recovered before. All connections up to `lastConnection`
    /// are closed; those to come have higher ids, and take their slots in ascending order.
    package convenience init(directory: String, lastConnection: Int64 = 0) throws(RecordsError) {
        let path = SlotFile.path(directory)
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .system(path, "cannot open it") }
        FolderOwner.give(descriptor, in: directory)
        // The whole range that the file may ever have: the mapping never moves, so neither does a slot.
        let mapped = mmap(nil, Self.fileBytesLimit, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let mapped, mapped != MAP_FAILED else {
            let error = RecordsError.system(path, "cannot map it")
            Glibc.close(descriptor)
            throw error
        }
        self.init(descriptor, mapped)
        guard ftruncate(descriptor, 0) == 0 else { throw .system(path, "cannot empty it") }
        try grow()
        header[SlotFile.Header.magic] = SlotFile.magic
        header[SlotFile.Header.version] = SlotFile.version
        let boot = Array(Lifecycle.bootID.utf8.prefix(40))
        (header + SlotFile.Header.boot).withMemoryRebound(to: UInt8.self, capacity: 40) {
            $0.update(from: boot, count: boot.count)
        }
        header[SlotFile.Header.highest] = UInt64(clamping: lastConnection)
        heartbeat(at: .now, monotonicNanoseconds: Monotonic.nanoseconds)
    }

    private init(_ descriptor: Int32, _ base: UnsafeMutableRawPointer) {
        self.descriptor = descriptor
        self.base = base
        header = base.bindMemory(to: UInt64.self, capacity: Self.fileBytesLimit / 8)
    }

    deinit {
        munmap(base, Self.fileBytesLimit)
        Glibc.close(descriptor)
    }

    /// Slots in use.
    package var inUse: Int { count - vacant.count }

    /// `limit` when there are too many connections, `io` when the file cannot grow.
    package func take(
        id: Int64, at: Timestamp, monotonicNanoseconds: UInt64
    ) throws(RecordsError) -> Slot {
        precondition(id > 0, "a connection's id is positive")
        if vacant.isEmpty { try grow() }
        let index = Int(vacant.removeLast())
        let slot = words(index)
        slot[SlotFile.Slot.up] = 0
        slot[SlotFile.Slot.down] = 0
        slot[SlotFile.Slot.moved] = 0
        slot[SlotFile.Slot.openedMonotonic] = monotonicNanoseconds
        slot[SlotFile.Slot.openedAt] = UInt64(bitPattern: at.microseconds)
        slot[SlotFile.Slot.reason] = 0
        slot[SlotFile.Slot.closedMonotonic] = 0
        // Stores are not moved across: whatever a kill leaves, an id stands before a whole slot.
        atomicMemoryFence(ordering: .releasing)
        slot[SlotFile.Slot.id] = UInt64(clamping: id)
        header[SlotFile.Header.highest] = max(header[SlotFile.Header.highest], UInt64(clamping: id))
        return Slot(index: index, counts: slot + SlotFile.Slot.up)
    }

    /// The connection has ended, but its closing is not durable yet.
    package func close(_ slot: Slot, reason: EndReason, monotonicNanoseconds: UInt64) {
        let slot = words(slot.index)
        slot[SlotFile.Slot.closedMonotonic] = monotonicNanoseconds
        atomicMemoryFence(ordering: .releasing)
        slot[SlotFile.Slot.reason] = reason.number
    }

    /// Its closing is durable, or its opening was dropped. Once for each slot.
    package func free(_ slot: Slot) {
        let words = words(slot.index)
        precondition(words[SlotFile.Slot.id] != 0, "slot \(slot.index) is free already")
        words[SlotFile.Slot.id] = 0
        atomicMemoryFence(ordering: .releasing)
        vacant.append(Int32(slot.index))
    }

    /// The file's pages leave this process, not the file: those that are used again come back by themselves. The lowest slots are
    /// given first from now on.
    package func shrink() {
        vacant.sort(by: >)
        madvise(base, Self.fileBytesLimit, MADV_DONTNEED)
    }

    /// A connection that runs although `take` failed: nobody counts for it, but a start after a crash must close it too.
    package func followWithoutSlot(_ id: Int64) {
        withoutSlot.insert(id)
        header[SlotFile.Header.highest] = max(header[SlotFile.Header.highest], UInt64(clamping: id))
    }

    /// Its closing is durable, or its opening was dropped.
    package func forgetWithoutSlot(_ id: Int64) { withoutSlot.remove(id) }

    /// Each second: how long this process is known to have lived.
    package func heartbeat(at: Timestamp, monotonicNanoseconds: UInt64) {
        header[SlotFile.Header.heartbeatAt] = UInt64(bitPattern: at.microseconds)
        header[SlotFile.Header.heartbeatMonotonic] = monotonicNanoseconds
        if heartbeats % Self.heartbeatsPerLook == 0 { lookForOldest() }
        heartbeats += 1
    }

    /// Saves the next start the search among all that are closed.
    private func lookForOldest() {
        var oldest = header[SlotFile.Header.highest] &+ 1
        for index in 0..<count {
            let id = words(index)[SlotFile.Slot.id]
            if id != 0 { oldest = min(oldest, id) }
        }
        if let id = withoutSlot.min() { oldest = min(oldest, UInt64(clamping: id)) }
        header[SlotFile.Header.closedBelow] = oldest
    }

    private func words(_ index: Int) -> UnsafeMutablePointer<UInt64> {
        header + (SlotFile.headerBytes / 8 + index * SlotFile.slotWords)
    }

    private func grow() throws(RecordsError) {
        guard count < Self.limit else {
            throw RecordsError(.limit, "\(count) connections are open, the most that the records follow")
        }
        let bytes = SlotFile.headerBytes + (count + Self.chunk) * SlotFile.slotBytes
        let result = posix_fallocate(descriptor, 0, bytes)
        guard result == 0 else {
            errno = result
            throw .system(SlotFile.name, "cannot grow to \(bytes) bytes")
        }
        vacant += (count..<count + Self.chunk).reversed().map(Int32.init)
        count += Self.chunk
    }

    // MARK: Refusals

    /// `minute`: microseconds since the epoch at which the minute began.
    package func countRefusal(_ cause: Refusal, minute: Int64) {
        let block = header + SlotFile.Header.blocks[Int(header[SlotFile.Header.current] & 1)]
        block[SlotFile.Header.counters + cause.index] &+= 1
        block[1] = max(block[1], UInt64(clamping: minute + 60_000_000))
        // Last: a block without a beginning is empty.
        atomicMemoryFence(ordering: .releasing)
        if block[0] == 0 { block[0] = UInt64(clamping: minute) }
    }

    /// The refusals of the minutes that were over at `now`, as notes to append; empty while those before are not freed, so that
    /// a store that cannot write gets one longer stretch instead of more and more notes. Call `freeRefusals` when they are durable.
    package func endedRefusals(now: Timestamp) -> [Note] {
        let current = Int(header[SlotFile.Header.current] & 1)
        let ended = SlotFile.Header.blocks[current]
        guard header[SlotFile.Header.blocks[1 - current]] == 0,
            let refusals = SlotFile.Refusals({ header[$0] }, block: ended), refusals.until <= now
        else { return [] }
        header[SlotFile.Header.current] = UInt64(1 - current)
        return refusals.notes(at: now)
    }

    /// What `endedRefusals` answered last is durable.
    package func freeRefusals() {
        let block = header + SlotFile.Header.blocks[1 - Int(header[SlotFile.Header.current] & 1)]
        block[0] = 0
        atomicMemoryFence(ordering: .releasing)
        for word in 1..<16 { block[word] = 0 }
    }
}
