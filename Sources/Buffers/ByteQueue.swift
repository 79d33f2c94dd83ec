// Buffers: bytes that wait. Ciphertext for a slow link and data for a slow socket wait in a ByteQueue; nothing else
// in this package stores payload. One thread (one event loop) uses a queue and its pool.
import Glibc

/// A first-in first-out run of bytes, kept in chunks that `writev` takes as they are.
///
/// An empty queue owns no memory: its last chunk goes back to the pool as soon as it is read out.
/// Positions obey `0 ≤ read ≤ filled ≤ capacity` in every chunk; only the first chunk has `read > 0` and only the
/// last may have room left.
package final class ByteQueue {
    /// Bytes that wait.
    package private(set) var count = 0
    private let pool: ChunkPool
    private var first: Chunk?
    private var last: Chunk?

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
            let taken = min(rest.count, chunk.capacity - chunk.filled)
            (chunk.base + chunk.filled).copyMemory(from: rest.baseAddress!, byteCount: taken)
            chunk.filled += taken
            count += taken
            rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
        }
    }

    /// Describes the first bytes for `writev`; they stay queued until `discard`. Returns how many vectors were set.
    package func describe(in vectors: UnsafeMutableBufferPointer<iovec>) -> Int {
        var used = 0
        var chunk = first
        while let current = chunk, used < vectors.count {
            vectors[used] = iovec(
                iov_base: current.base + current.read, iov_len: current.filled - current.read)
            used += 1
            chunk = current.next
        }
        return used
    }

    /// Removes the first `amount` bytes: they have been written, or are not wanted any more.
    package func discard(_ amount: Int) {
        precondition(amount >= 0 && amount <= count, "discarding more than is queued")
        count -= amount
        var rest = amount
        while rest > 0, let chunk = first {
            let here = min(rest, chunk.filled - chunk.read)
            chunk.read += here
            rest -= here
            if chunk.read == chunk.filled { removeFirst(chunk) }
        }
    }

    /// Drops everything and returns the memory.
    package func removeAll() {
        while let chunk = first { removeFirst(chunk) }
        count = 0
    }

    private func removeFirst(_ chunk: Chunk) {
        first = chunk.next
        chunk.next = nil
        if first == nil { last = nil }
        pool.give(chunk)
    }

    private func chunkWithRoom(for amount: Int) -> Chunk {
        if let last, last.filled < last.capacity { return last }
        let chunk = pool.take(atLeast: amount)
        if let last { last.next = chunk } else { first = chunk }
        last = chunk
        return chunk
    }
}

/// Keeps a few emptied chunks of the common size, so that a busy loop does not ask the allocator for each.
package final class ChunkPool {
    /// Four TLS records and their overhead: one `writev` vector then carries 64 KiB of payload.
    package static let chunkBytes = 66_560
    /// 16 chunks are 1 MiB: what a loop with a few saturated links turns over; more goes back to the allocator.
    private static let kept = 16

    private var spare: Chunk?
    private var spareCount = 0

    package init() {}

    deinit {
        // Unlinked one by one: a chain released at once would recurse.
        while let chunk = spare {
            spare = chunk.next
            chunk.next = nil
        }
    }

    /// A chunk of the common size for `amount` of 8 KiB and more; for less a small one, so that ten thousand
    /// slow connections with a line of text each do not hold 66 KiB each.
    fileprivate func take(atLeast amount: Int) -> Chunk {
        if amount <= 512 { return Chunk(capacity: 512) }
        if amount < 8_192 { return Chunk(capacity: 8_192) }
        guard let chunk = spare else { return Chunk(capacity: Self.chunkBytes) }
        spare = chunk.next
        spareCount -= 1
        chunk.next = nil
        return chunk
    }

    fileprivate func give(_ chunk: Chunk) {
        guard chunk.capacity == Self.chunkBytes, spareCount < Self.kept else { return }
        chunk.read = 0
        chunk.filled = 0
        chunk.next = spare
        spare = chunk
        spareCount += 1
    }
}

private final class Chunk {
    let base: UnsafeMutableRawPointer
    let capacity: Int
    var read = 0
    var filled = 0
    var next: Chunk?

    init(capacity: Int) {
        self.capacity = capacity
        base = .allocate(byteCount: capacity, alignment: 16)
    }

    deinit {
        base.deallocate()
    }
}
