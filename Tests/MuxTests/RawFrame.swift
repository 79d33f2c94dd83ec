import Mux

/// A frame as anybody could write it, right or wrong.
struct RawFrame {
    var stream: UInt32
    var kind: UInt8
    var flags: UInt8 = 0
    var payload: [UInt8] = []
    /// What the header says; the payload's own length if nil.
    var length: UInt16?

    init(_ kind: FrameKind, _ stream: UInt32 = 0, _ payload: [UInt8] = [], flags: UInt8 = 0) {
        self.stream = stream
        self.kind = kind.rawValue
        self.flags = flags
        self.payload = payload
    }

    var bytes: [UInt8] {
        big(stream) + [kind, flags] + big(length ?? UInt16(payload.count)) + payload
    }

    /// OPEN as a correct end writes it; `there` is the window for bytes to this end.
    static func open(
        _ stream: UInt32, there: UInt32 = 65_536, back: UInt32 = 65_536, family: UInt8 = 4, zero: UInt8 = 0
    ) -> RawFrame {
        let address =
            [family, zero] + big(UInt16(50_000)) + [127, 0, 0, 1] + [UInt8](repeating: 0, count: 12)
        return RawFrame(.open, stream, big(UInt32(1)) + big(there) + big(back) + address)
    }

    static func data(_ stream: UInt32, _ count: Int) -> RawFrame {
        RawFrame(.data, stream, [UInt8](repeating: 7, count: count))
    }

    static func window(_ stream: UInt32, _ increment: UInt32) -> RawFrame {
        RawFrame(.window, stream, big(increment))
    }

    static func fin(_ stream: UInt32, _ count: UInt64 = 0) -> RawFrame { RawFrame(.fin, stream, big(count)) }

    static func close(_ stream: UInt32, _ count: UInt64 = 0, reason: UInt8 = 1) -> RawFrame {
        RawFrame(.close, stream, [reason] + big(count))
    }

    static func goAway(reason: UInt8 = 1) -> RawFrame { RawFrame(.goaway, 0, [reason] + big(UInt32(5_000))) }
}

func big<N: FixedWidthInteger>(_ number: N) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { [UInt8]($0) }
}

/// Stream ids by their parts, as the wire has them.
func wireID(_ opener: Role, slot: UInt32 = 0, generation: UInt32 = 1) -> UInt32 {
    opener.rawValue << 31 | generation << 16 | slot
}

/// An event in words that outlive the record.
enum Seen: Equatable {
    case none, linkWritable, pong
    case opened(UInt32)
    case accepted(UInt32)
    case data(UInt32, Int)
    case writable(UInt32)
    case finished(UInt32)
    case closed(UInt32, CloseReason)
    case control(Int)
    case goAway(GoAwayReason)
    case tally(UInt32, UInt64, UInt64)

    init(_ event: Event) {
        switch event {
        case .none, .refused: self = .none
        case .linkWritable: self = .linkWritable
        case .pong: self = .pong
        case .opened(let id, _, _): self = .opened(id.rawValue)
        case .accepted(let id): self = .accepted(id.rawValue)
        case .data(let id, let payload): self = .data(id.rawValue, payload.count)
        case .writable(let id): self = .writable(id.rawValue)
        case .finished(let id): self = .finished(id.rawValue)
        case .closed(let id, let reason): self = .closed(id.rawValue, reason)
        case .control(let message): self = .control(message.count)
        case .goAway(let reason, _): self = .goAway(reason)
        case .tally(let id, let fromSocket, let toSocket): self = .tally(id.rawValue, fromSocket, toSocket)
        }
    }
}

extension Multiplexer {
    /// Feeds one record of these frames.
    @discardableResult
    func take(_ frames: RawFrame..., now: UInt64 = 1) throws -> [Seen] {
        try take(bytes: frames.flatMap(\.bytes), now: now)
    }

    @discardableResult
    func take(bytes: [UInt8], now: UInt64 = 1) throws -> [Seen] {
        var seen: [Seen] = []
        try bytes.withUnsafeBytes { record in
            var reader = FrameReader(record)
            while let frame = try reader.next() { seen.append(Seen(try receive(frame, now: now))) }
        }
        return seen
    }

    /// Everything that is due, as kinds and bytes.
    func pollAll(bufferBytes: Int = Frame.maximumBytes) -> (kinds: [FrameKind], bytes: [UInt8]) {
        var bytes: [UInt8] = []
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bufferBytes, alignment: 8)
        defer { buffer.deallocate() }
        while true {
            let count = poll(into: buffer)
            if count == 0 { break }
            bytes.append(contentsOf: buffer[..<count])
        }
        return (frames(in: bytes).map { FrameKind(rawValue: $0.kind)! }, bytes)
    }

    /// A DATA frame of this stream.
    func data(_ id: StreamID, _ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 7, count: Frame.headerBytes + count)
        bytes.withUnsafeMutableBytes { headerForData(id, count: count, at: $0.baseAddress!) }
        return bytes
    }
}

/// Takes a record of correct frames apart.
func frames(in bytes: [UInt8]) -> [RawFrame] {
    var frames: [RawFrame] = []
    bytes.withUnsafeBytes { record in
        var reader = FrameReader(record)
        while let frame = try? reader.next() {
            frames.append(
                RawFrame(frame.kind, frame.stream.rawValue, [UInt8](frame.payload), flags: frame.flags))
        }
    }
    return frames
}
