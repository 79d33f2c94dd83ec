import Glibc
import Mux
import Reactor

/// The records that leave in this turn, laid out in the loop's scratch: sockets are read straight into the place where a
/// DATA frame's payload goes, 8 bytes behind the start of its header, so payload is copied by no one but the cipher.
///
///     │ WINDOW │ FIN │ DATA header │ payload………… │ DATA header │ payload………… │
///     sealed                                 record end, sealed when full
///
/// `sealed ≤ filled ≤ sealed + 16,384 ≤ capacity`, and `sealed` stands at a record's start.
struct RecordStage {
    private let memory: UnsafeMutableRawBufferPointer
    private let records: any RecordLayer
    private let multiplexer: Multiplexer
    private var sealed = 0
    private var filled = 0
    /// Why sealing failed: the link is lost.
    private(set) var failure: String?

    /// Less room than this at a record's end is not worth a frame.
    private static let leastRoom = 512

    init(scratch: Scratch, records: any RecordLayer, multiplexer: Multiplexer) {
        memory = scratch.outgoing
        self.records = records
        self.multiplexer = multiplexer
    }

    private var recordEnd: Int { sealed + Frame.maximumBytes }

    /// Takes all frames that the multiplexer owes.
    mutating func takeDueFrames() {
        while multiplexer.hasPending {
            let room = UnsafeMutableRawBufferPointer(rebasing: memory[filled..<recordEnd])
            let count = multiplexer.poll(into: room)
            filled += count
            if multiplexer.hasPending { seal() }
        }
    }

    /// Describes where up to `limit` bytes of one stream may be read to.
    mutating func describeRoom(_ limit: Int, in vectors: UnsafeMutableBufferPointer<iovec>) -> Int {
        if recordEnd - filled < Frame.headerBytes + Self.leastRoom { seal() }
        var rest = limit
        var used = 0
        var start = filled + Frame.headerBytes
        var end = recordEnd
        while rest > 0, end <= memory.count, used < vectors.count {
            let length = min(rest, end - start)
            vectors[used] = iovec(iov_base: memory.baseAddress! + start, iov_len: length)
            used += 1
            rest -= length
            start = end + Frame.headerBytes
            end += Frame.maximumBytes
        }
        return used
    }

    /// `count` bytes have been read into the room described: puts the headers in front and seals what is full.
    mutating func commit(_ count: Int, of stream: StreamID) {
        var rest = count
        while rest > 0 {
            let length = min(rest, recordEnd - filled - Frame.headerBytes)
            multiplexer.headerForData(stream, count: length, at: memory.baseAddress! + filled)
            filled += Frame.headerBytes + length
            rest -= length
            if filled == recordEnd { seal() }
        }
    }

    /// Turns what is filled into a record of the link's output.
    mutating func seal() {
        if filled > sealed, failure == nil {
            let payload = UnsafeRawBufferPointer(rebasing: memory[sealed..<filled])
            failure = records.write(payload)?.description
        }
        sealed = recordEnd + Frame.maximumBytes <= memory.count ? recordEnd : 0
        filled = sealed
    }
}
