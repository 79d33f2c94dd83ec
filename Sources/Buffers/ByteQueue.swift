// Buffers: bytes that wait. Ciphertext for a slow link and data for a slow socket wait in a ByteQueue; nothing else
// in this package stores payload. One thread (one event loop) uses a queue and its pool.
import Glibc

/// A first-in first-out run of bytes, kept in chunks that `writev` takes as they are.
///
/// An empty queue owns no memory: its last chunk goes back to the pool as soon as it is read out.
/// Positions obey `0 ≤ read ≤ filled ≤ capacity` in every chunk; only the first chunk has `read > 0`, and only the last is
/// filled further.
///
/// Chunks are plain memory with one owner at a time, a queue or its pool: as objects they cost several counted references for each
/// record, and two allocations each.
package final class ByteQueue {
    /// Bytes that wait.
    package private(set) var count = 0
    private let pool: ChunkPool
    private var first: Chunk.Pointer?
    private var last: Chunk.Pointer?

    package init(pool: ChunkPool) {
        self.pool = pool
    }

    deinit {
        removeAll()
    }

    package var isEmpty: Bool { count == 0 }

    /// Copies `bytes` to the end.
    package func append(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes
        while !rest.isEmpty {
            let chunk = chunkWithRoom(for: rest.count)
            let taken = min(rest.count, chunk.pointee.room)
            (chunk.bytes + chunk.pointee.filled).copyMemory(from: rest.baseAddress!, byteCount: taken)
            chunk.pointee.filled += taken
            count += taken
            rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
        }
    }

    /// Puts `amount` bytes, at most a chunk's, at the end, all in one place, for the caller to fill in before anything else is asked of
    /// the queue: what can be made in its place needs no copy.
    package func grow(by amount: Int) -> UnsafeMutableRawPointer {
        precondition(amount > 0 && amount <= ChunkPool.chunkBytes, "more than a chunk holds")
        let chunk = if let last, last.pointee.room >= amount { last } else { newLast(for: amount) }
        defer { chunk.pointee.filled += amount }
        count += amount
        return chunk.bytes + chunk.pointee.filled
    }

    /// Describes the first bytes for `writev`; they stay queued until `discard`. Returns how many vectors were set.
    package func describe(in vectors: UnsafeMutableBufferPointer<iovec>) -> Int {
        var used = 0
        var chunk = first
        while let current = chunk, used < vectors.count {
            vectors[used] = iovec(
                iov_base: current.bytes + current.pointee.read, iov_len: current.pointee.waiting)
            used += 1
            chunk = current.pointee.next
        }
        return used
    }

    /// Removes the first `amount` bytes: they have been written, or are not wanted any more.
    package func discard(_ amount: Int) {
        precondition(amount >= 0 && amount <= count, "discarding more than is queued")
        count -= amount
        var rest = amount
        while rest > 0, let chunk = first {
            let here = min(rest, chunk.pointee.waiting)
            chunk.pointee.read += here
            rest -= here
            if chunk.pointee.waiting == 0 { removeFirst(chunk) }
        }
    }

    /// Drops everything and returns the memory.
    package func removeAll() {
        while let chunk = first { removeFirst(chunk) }
        count = 0
    }

    private func removeFirst(_ chunk: Chunk.Pointer) {
        first = chunk.pointee.next
        if first == nil { last = nil }
        pool.give(chunk)
    }

    private func chunkWithRoom(for amount: Int) -> Chunk.Pointer {
        if let last, last.pointee.room > 0 { return last }
        return newLast(for: amount)
    }

    private func newLast(for amount: Int) -> Chunk.Pointer {
        let chunk = pool.take(atLeast: amount)
        if let last { last.pointee.next = chunk } else { first = chunk }
        last = chunk
        return chunk
    }
}

/// Keeps a few emptied chunks, so that a busy loop does not ask the allocator for each.
package final class ChunkPool {
    /// Four TLS records and their overhead: one `writev` vector then carries 64 KiB of payload.
    package static let chunkBytes = 66_560
    /// 16 chunks are 1 MiB: what a loop with a few saturated links turns over; more goes back to the allocator.
    private static let kept = 16

    private var common = SpareChunks(capacity: ChunkPool.chunkBytes)
    private var medium = SpareChunks(capacity: 8_192)
    private var small = SpareChunks(capacity: 512)

    package init() {}

    deinit {
        common.deallocate()
        medium.deallocate()
        small.deallocate()
    }

    /// A chunk of the common size for `amount` of more than 8 KiB; for less a small one, so that ten thousand
    /// slow connections with a line of text each do not hold 66 KiB each.
    fileprivate func take(atLeast amount: Int) -> Chunk.Pointer {
        if amount <= small.capacity { return small.take() }
        return amount <= medium.capacity ? medium.take() : common.take()
    }

    /// The chunk is empty and in no queue any more.
    fileprivate func give(_ chunk: Chunk.Pointer) {
        switch chunk.pointee.capacity {
        case small.capacity: small.give(chunk, most: Self.kept)
        case medium.capacity: medium.give(chunk, most: Self.kept)
        default: common.give(chunk, most: Self.kept)
        }
    }
}

/// Chunks of one size that nobody uses.
private struct SpareChunks {
    let capacity: Int
    private var first: Chunk.Pointer?
    private var count = 0

    init(capacity: Int) { self.capacity = capacity }

    mutating func take() -> Chunk.Pointer {
        guard let chunk = first else { return Chunk.allocate(capacity: capacity) }
        first = chunk.pointee.next
        count -= 1
        chunk.pointee = Chunk(capacity: capacity)
        return chunk
    }

    mutating func give(_ chunk: Chunk.Pointer, most: Int) {
        guard count < most else { return chunk.deallocate() }
        chunk.pointee.next = first
        first = chunk
        count += 1
    }

    mutating func deallocate() {
        while let chunk = first {
            first = chunk.pointee.next
            chunk.deallocate()
        }
    }
}

/// What stands before a chunk's bytes, in the same memory.
private struct Chunk {
    typealias Pointer = UnsafeMutablePointer<Chunk>

    let capacity: Int
    var read = 0
    var filled = 0
    var next: Pointer?

    init(capacity: Int) { self.capacity = capacity }

    var room: Int { capacity - filled }
    var waiting: Int { filled - read }

    static func allocate(capacity: Int) -> Pointer {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: MemoryLayout<Chunk>.size + capacity, alignment: 16)
        let chunk = memory.bindMemory(to: Chunk.self, capacity: 1)
        chunk.initialize(to: Chunk(capacity: capacity))
        return chunk
    }
}

extension UnsafeMutablePointer<Chunk> {
    fileprivate var bytes: UnsafeMutableRawPointer { UnsafeMutableRawPointer(self + 1) }
}
