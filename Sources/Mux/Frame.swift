/// What a frame says. The numbers are the wire's; the table is in Mux.docc, and a test holds the two together.
package enum FrameKind: UInt8, CaseIterable, Sendable {
    case open = 1
    case opened = 2
    case data = 3
    case window = 4
    case fin = 5
    case close = 6
    case ping = 7
    case pong = 8
    case control = 9
    case goaway = 10
    case hello = 11
    case tally = 12

    /// Payload lengths that this kind may have. Checked before anything else is looked at.
    package var payloadBytes: ClosedRange<Int> {
        switch self {
        case .open: 32...32
        case .opened: 0...0
        case .data, .control: 1...Frame.maximumPayloadBytes
        case .window: 4...4
        case .fin, .ping, .pong: 8...8
        case .close: 9...9
        case .goaway: 5...5
        case .hello: 1...1024
        case .tally: 16...16
        }
    }

    /// Whether the frame belongs to a stream, to the link (stream 0), or to either.
    package var scope: FrameScope {
        switch self {
        case .open, .opened, .data, .fin, .close, .tally: .stream
        case .window: .either
        case .ping, .pong, .control, .goaway, .hello: .link
        }
    }
}

package enum FrameScope: Sendable {
    case stream
    case link
    case either
}

/// One frame as it lies in the record that carried it. Valid while that memory is.
package struct Frame {
    package static let headerBytes = 8
    /// A TLS record holds 16,384 bytes and the header takes 8: a full frame is exactly one record.
    package static let maximumPayloadBytes = 16_376
    package static let maximumBytes = headerBytes + maximumPayloadBytes
    /// On CONTROL: the message goes on in the next CONTROL frame.
    package static let moreFlag: UInt8 = 1

    package let stream: StreamID
    package let kind: FrameKind
    package let flags: UInt8
    package let payload: UnsafeRawBufferPointer

    /// Writes a header at `target`, which has room for 8 bytes.
    package static func writeHeader(
        _ kind: FrameKind, stream: StreamID, flags: UInt8 = 0, payloadBytes: Int,
        at target: UnsafeMutableRawPointer
    ) {
        assert(kind.payloadBytes.contains(payloadBytes))
        let word =
            UInt64(stream.rawValue) << 32 | UInt64(kind.rawValue) << 24 | UInt64(flags) << 16
            | UInt64(payloadBytes)
        target.storeBytes(of: word.bigEndian, as: UInt64.self)
    }
}

/// Takes the frames of one record apart, in place.
package struct FrameReader {
    private let record: UnsafeRawBufferPointer
    private var position = 0

    package init(_ record: UnsafeRawBufferPointer) {
        self.record = record
    }

    /// What has not been taken.
    package var rest: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: record[position...]) }

    /// The next frame, or nil at the record's end. Only kind, scope and length are checked here.
    package mutating func next() throws(Violation) -> Frame? {
        let rest = record.count - position
        if rest == 0 { return nil }
        guard rest >= Frame.headerBytes else { throw .truncatedFrame }
        let word = UInt64(bigEndian: record.loadUnaligned(fromByteOffset: position, as: UInt64.self))
        guard let kind = FrameKind(rawValue: UInt8(truncatingIfNeeded: word >> 24)) else {
            throw .unknownKind
        }
        let flags = UInt8(truncatingIfNeeded: word >> 16)
        let length = Int(word & 0xffff)
        guard kind.payloadBytes.contains(length) else { throw .wrongLength }
        guard rest - Frame.headerBytes >= length else { throw .truncatedFrame }
        guard flags == 0 || (kind == .control && flags == Frame.moreFlag) else { throw .unknownFlags }
        let stream = StreamID(rawValue: UInt32(truncatingIfNeeded: word >> 32))
        switch kind.scope {
        case .stream: guard stream != .link else { throw .wrongScope }
        case .link: guard stream == .link else { throw .wrongScope }
        case .either: break
        }
        let start = position + Frame.headerBytes
        position = start + length
        return Frame(
            stream: stream, kind: kind, flags: flags,
            payload: UnsafeRawBufferPointer(rebasing: record[start..<position]))
    }
}

extension UnsafeRawBufferPointer {
    /// A big-endian number at `offset`; the caller has checked the length.
    package func number<N: FixedWidthInteger>(_ type: N.Type, at offset: Int) -> N {
        N(bigEndian: loadUnaligned(fromByteOffset: offset, as: N.self))
    }
}
