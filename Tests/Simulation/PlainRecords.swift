import Buffers
import Logging
import TLS
import Tunnel

/// A record layer that hides nothing: a length, u16 big-endian, and the payload; 0xffff is close_notify. As strict towards
/// its user as `TLSEngine` is.
package final class PlainRecords: RecordLayer {
    package let cipherText = "none"
    package let output: ByteQueue
    /// The most that has waited in `output` at once.
    package private(set) var mostOutput = 0
    /// From now on.
    package func forgetMostOutput() { mostOutput = 0 }
    /// Told of what is fed, before it is opened, and of what is sealed.
    package var onFeed: ((Int) -> Void)?
    package var onWrite: ((UnsafeRawBufferPointer) -> Void)?
    private var input = UnsafeRawBufferPointer(start: nil, count: 0)
    private var kept: UnsafeMutableRawBufferPointer?
    /// The beginning of a record whose rest has not come.
    private var begun: [UInt8] = []
    private var isClosedByPeer = false
    private var isClosedByUs = false
    private var hasFailed = false

    package init(pool: ChunkPool) {
        output = ByteQueue(pool: pool)
    }

    deinit {
        kept?.deallocate()
    }

    package func keepInput() -> Bool {
        if hasFailed || isClosedByPeer || input.isEmpty { return false }
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: input.count, alignment: 16)
        copy.copyMemory(from: input)
        kept?.deallocate()
        kept = copy
        input = UnsafeRawBufferPointer(copy)
        return true
    }

    package func feed(_ arrived: UnsafeRawBufferPointer) {
        if hasFailed || isClosedByPeer { return }
        precondition(input.isEmpty, "feeding before the last input was taken")
        input = arrived
        onFeed?(arrived.count)
    }

    package func read(into buffer: UnsafeMutableRawBufferPointer) -> TLSEngine.ReadResult {
        if hasFailed { return .failed(Self.failure) }
        if isClosedByPeer { return .closed }
        guard take(upTo: 2) else { return .wantsInput }
        let length = Int(begun[0]) << 8 | Int(begun[1])
        if length == 0xffff {
            isClosedByPeer = true
            input = UnsafeRawBufferPointer(start: nil, count: 0)
            return .closed
        }
        guard (1...TLSEngine.maximumPayload).contains(length) else {
            hasFailed = true
            return .failed(Self.failure)
        }
        // Most records lie in the input as a whole.
        if begun.count == 2, input.count >= length {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: input[..<length]))
            input = UnsafeRawBufferPointer(rebasing: input[length...])
        } else {
            guard take(upTo: 2 + length) else { return .wantsInput }
            begun.withUnsafeBytes {
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[2..<2 + length]))
            }
        }
        begun.removeAll(keepingCapacity: true)
        return .bytes(length)
    }

    private func take(upTo count: Int) -> Bool {
        let taken = min(count - begun.count, input.count)
        if taken > 0 {
            begun.append(contentsOf: input[..<taken])
            input = UnsafeRawBufferPointer(rebasing: input[taken...])
        }
        return begun.count >= count
    }

    package func write(_ payload: UnsafeRawBufferPointer) -> TLSFailure? {
        if hasFailed { return Self.failure }
        precondition(!isClosedByUs, "writing after the close")
        precondition(
            !payload.isEmpty && payload.count <= TLSEngine.maximumPayload, "a record has 1 to 16384 bytes")
        onWrite?(payload)
        append(UInt16(payload.count))
        output.append(payload)
        mostOutput = max(mostOutput, output.count)
        return nil
    }

    package func sendCloseNotify() {
        guard !hasFailed, !isClosedByUs else { return }
        isClosedByUs = true
        append(0xffff)
    }

    private func append(_ number: UInt16) {
        withUnsafeBytes(of: number.bigEndian) { output.append($0) }
    }

    package func endOfInput() -> TLSFailure? {
        if isClosedByPeer { return nil }
        hasFailed = true
        return Self.failure
    }

    package func tick(nowNanoseconds: UInt64) {}

    private static let failure = TLSFailure(.truncated, "the connection ended without a close")
}
