import Mux

/// One direction of an ordered link in memory.
struct SimulationLink {
    private var bytes: [UInt8] = []
    private var head = 0
    var count: Int { bytes.count - head }

    mutating func append(_ frames: UnsafeRawBufferPointer) {
        bytes.append(contentsOf: frames)
    }

    mutating func append(_ frames: [UInt8]) {
        bytes.append(contentsOf: frames)
    }

    mutating func appendData(
        _ count: Int, key: Int, from position: Int, header: (UnsafeMutableRawPointer) -> Void
    ) {
        let start = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: Frame.headerBytes))
        bytes.withUnsafeMutableBytes { header($0.baseAddress! + start) }
        Pattern.append(count, key: key, from: position, to: &bytes)
    }

    /// Hands over at most `limit` frames, and forgets them. Throws what `receive` throws.
    mutating func deliver(_ limit: Int, _ receive: (Frame) throws -> Void) throws {
        guard limit > 0, count > 0 else { return }
        try bytes.withUnsafeBytes { all in
            var reader = FrameReader(UnsafeRawBufferPointer(rebasing: all[head...]))
            for _ in 0..<limit {
                guard let frame = try reader.next() else { break }
                head += Frame.headerBytes + frame.payload.count
                try receive(frame)
            }
        }
        if head == bytes.count {
            bytes.removeAll(keepingCapacity: true)
            head = 0
        }
    }

    /// Takes out the next frames, at most `limit`, each with its header.
    mutating func remove(_ limit: Int) -> [[UInt8]] {
        var taken: [[UInt8]] = []
        while taken.count < limit, count > 0 {
            let length = Frame.headerBytes + Int(bytes[head + 6]) << 8 + Int(bytes[head + 7])
            taken.append(Array(bytes[head..<head + length]))
            head += length
        }
        return taken
    }
}
