/// Writes whole frames one behind the other; every method answers false, and writes nothing, when there is no room.
struct FrameWriter {
    private let buffer: UnsafeMutableRawBufferPointer
    private(set) var position = 0

    init(_ buffer: UnsafeMutableRawBufferPointer) {
        self.buffer = buffer
    }

    var room: Int { buffer.count - position }

    mutating func write(_ kind: FrameKind, _ stream: StreamID) -> Bool {
        begin(kind, stream, payloadBytes: 0)
    }

    mutating func write<N: FixedWidthInteger>(_ kind: FrameKind, _ stream: StreamID, _ number: N) -> Bool {
        guard begin(kind, stream, payloadBytes: MemoryLayout<N>.size) else { return false }
        put(number)
        return true
    }

    mutating func writeOpen(_ stream: StreamID, _ state: StreamState) -> Bool {
        guard begin(.open, stream, payloadBytes: 32) else { return false }
        put(state.mapping)
        put(UInt32(state.sendCredit))
        put(UInt32(state.window.limitBytes))
        put(state.client.family.rawValue)
        put(UInt8(0))
        put(state.client.port)
        put(state.client.high)
        put(state.client.low)
        return true
    }

    mutating func writeClose(_ stream: StreamID, _ reason: CloseReason, _ sent: UInt64) -> Bool {
        guard begin(.close, stream, payloadBytes: 9) else { return false }
        put(reason.rawValue)
        put(sent)
        return true
    }

    mutating func writeTally(_ tally: Tally) -> Bool {
        guard begin(.tally, tally.stream, payloadBytes: 16) else { return false }
        put(tally.fromSocket)
        put(tally.toSocket)
        return true
    }

    mutating func writeGoAway(_ reason: GoAwayReason, _ retryAfterMilliseconds: UInt32) -> Bool {
        guard begin(.goaway, .link, payloadBytes: 5) else { return false }
        put(reason.rawValue)
        put(retryAfterMilliseconds)
        return true
    }

    /// The caller has seen that there is room.
    mutating func writeControl(_ bytes: UnsafeRawBufferPointer, isLast: Bool) {
        let flags = isLast ? 0 : Frame.moreFlag
        let fits = begin(.control, .link, payloadBytes: bytes.count, flags: flags)
        precondition(fits)
        (buffer.baseAddress! + position).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
        position += bytes.count
    }

    private mutating func begin(_ kind: FrameKind, _ stream: StreamID, payloadBytes: Int, flags: UInt8 = 0)
        -> Bool
    {
        guard room >= Frame.headerBytes + payloadBytes else { return false }
        Frame.writeHeader(
            kind, stream: stream, flags: flags, payloadBytes: payloadBytes, at: buffer.baseAddress! + position
        )
        position += Frame.headerBytes
        return true
    }

    private mutating func put<N: FixedWidthInteger>(_ number: N) {
        buffer.storeBytes(of: number.bigEndian, toByteOffset: position, as: N.self)
        position += MemoryLayout<N>.size
    }
}
