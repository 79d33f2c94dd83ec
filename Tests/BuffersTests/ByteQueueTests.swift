import Buffers
import Glibc
import Testing

@Suite struct ByteQueueTests {
    @Test func `bytes leave in the order they came, whatever the sizes`() {
        var random = SystemRandomNumberGenerator()
        let queue = ByteQueue(pool: ChunkPool())
        var written: UInt8 = 0
        var read: UInt8 = 0
        var inside = 0
        for _ in 0..<2_000 {
            let size = Int.random(in: 0...9_000, using: &random)
            var bytes = [UInt8]()
            for _ in 0..<size {
                bytes.append(written)
                written &+= 1
            }
            bytes.withUnsafeBytes { queue.append($0) }
            inside += size
            let amount = Int.random(in: 0...inside, using: &random)
            for byte in take(amount, from: queue) {
                #expect(byte == read)
                read &+= 1
            }
            inside -= amount
            #expect(queue.count == inside)
        }
    }

    @Test func `what is made in its place stands between what is copied`() {
        let queue = ByteQueue(pool: ChunkPool())
        var written: UInt8 = 0
        var read: UInt8 = 0
        var inside = 0
        for round in 0..<2_000 {
            let sizes = [1, 30, 511, 512, 513, 8_191, 8_192, 8_193, 16_406, ChunkPool.chunkBytes]
            let size = sizes.randomElement()!
            let bytes = (0..<size).map { written &+ UInt8(truncatingIfNeeded: $0) }
            written &+= UInt8(truncatingIfNeeded: size)
            if round % 3 == 0 {
                bytes.withUnsafeBytes { queue.append($0) }
            } else {
                queue.grow(by: size).copyMemory(from: bytes, byteCount: size)
            }
            inside += size
            let amount = Int.random(in: 0...inside)
            for byte in take(amount, from: queue) {
                #expect(byte == read)
                read &+= 1
            }
            inside -= amount
            #expect(queue.count == inside)
        }
    }

    @Test func `describe never claims more than is queued`() {
        let queue = ByteQueue(pool: ChunkPool())
        [UInt8](repeating: 7, count: 200_000).withUnsafeBytes { queue.append($0) }
        let vectors = UnsafeMutableBufferPointer<iovec>.allocate(capacity: 16)
        defer { vectors.deallocate() }
        let used = queue.describe(in: vectors)
        #expect(vectors[..<used].reduce(0) { $0 + $1.iov_len } == 200_000)
        queue.removeAll()
        #expect(queue.describe(in: vectors) == 0)
        #expect(queue.isEmpty)
    }

    /// Between an end and the next beginning the allocator is asked for all that it has of such sizes: what had gone back to it
    /// would be among that.
    @Test(arguments: [100, 5_000, 60_000])
    func `an emptied chunk serves the next bytes, and not through the allocator`(size: Int) {
        let queue = ByteQueue(pool: ChunkPool())
        let vectors = UnsafeMutableBufferPointer<iovec>.allocate(capacity: 4)
        defer { vectors.deallocate() }
        func place() -> UnsafeMutableRawPointer? {
            [UInt8](repeating: 1, count: size).withUnsafeBytes { queue.append($0) }
            return queue.describe(in: vectors) == 1 ? vectors[0].iov_base : nil
        }
        let first = place()
        queue.removeAll()
        let chunkBytes = size <= 512 ? 512 : size <= 8_192 ? 8_192 : ChunkPool.chunkBytes
        let taken = (0..<64).map { malloc(chunkBytes + 8 * ($0 % 16)) }
        let second = place()
        for memory in taken { free(memory) }
        #expect(first != nil && second == first)
    }

    private func take(_ amount: Int, from queue: ByteQueue) -> [UInt8] {
        var out = [UInt8]()
        let vectors = UnsafeMutableBufferPointer<iovec>.allocate(capacity: 4)
        defer { vectors.deallocate() }
        while out.count < amount {
            let used = queue.describe(in: vectors)
            var moved = 0
            for vector in vectors[..<used] {
                let here = min(vector.iov_len, amount - out.count)
                out.append(contentsOf: UnsafeRawBufferPointer(start: vector.iov_base, count: here))
                moved += here
            }
            queue.discard(moved)
        }
        return out
    }
}
