import Glibc
import Mux

/// One direction of an ordered link in memory. Raw memory, because debug builds are slow with arrays of bytes.
final class SimulationLink {
    private var memory = UnsafeMutableRawPointer.allocate(byteCount: 1 << 16, alignment: 8)
    private var capacity = 1 << 16
    private var head = 0
    private var tail = 0

    deinit { memory.deallocate() }

    var count: Int { tail - head }

    func append(_ frames: UnsafeRawBufferPointer) {
        memcpy(grow(by: frames.count), frames.baseAddress!, frames.count)
    }

    /// A DATA frame: `header` writes its head, the pattern follows.
    func appendData(_ count: Int, key: Int, from position: Int, header: (UnsafeMutableRawPointer) -> Void) {
        let target = grow(by: Frame.headerBytes + count)
        header(target)
        Pattern.write(count, key: key, from: position, to: target + Frame.headerBytes)
    }

    private func grow(by count: Int) -> UnsafeMutableRawPointer {
        if tail + count > capacity {
            capacity = max(capacity * 2, tail + count)
            let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 8)
            memcpy(larger, memory, tail)
            memory.deallocate()
            memory = larger
        }
        defer { tail += count }
        return memory + tail
    }

    /// Hands over at most `limit` frames, and forgets them. Throws what `receive` throws.
    func deliver(_ limit: Int, _ receive: (Frame) throws -> Void) throws {
        var reader = FrameReader(UnsafeRawBufferPointer(start: memory + head, count: count))
        var left = limit
        while left > 0, let frame = try reader.next() {
            head += Frame.headerBytes + frame.payload.count
            left -= 1
            try receive(frame)
        }
        forget()
    }

    /// Takes out the next frames, at most `limit`, each with its header.
    func remove(_ limit: Int) -> [[UInt8]] {
        var taken: [[UInt8]] = []
        while taken.count < limit, count > 0 {
            let rest = UnsafeRawBufferPointer(start: memory + head, count: count)
            let length = Frame.headerBytes + Int(rest[6]) << 8 + Int(rest[7])
            taken.append([UInt8](rest[..<length]))
            head += length
        }
        forget()
        return taken
    }

    private func forget() {
        if head == tail { (head, tail) = (0, 0) }
    }
}
