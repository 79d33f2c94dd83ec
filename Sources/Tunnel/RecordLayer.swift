import Buffers
import TLS

/// What a main link needs of its encryption. `TLSEngine` is the one that programs use; the simulation brings a
/// transparent one, so that ten thousand seeds do not pay for ten thousand handshakes.
package protocol RecordLayer: AnyObject {
    /// What is to be sent.
    var output: ByteQueue { get }
    /// For the log.
    var cipherText: String { get }
    /// Hands over what has arrived; `read` until `.wantsInput` before the memory goes.
    func feed(_ arrived: UnsafeRawBufferPointer)
    /// The memory goes before all has been read: the rest is read later, before anything else is fed. False: there is none.
    func keepInput() -> Bool
    /// One record's payload at most.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> TLSEngine.ReadResult
    /// Seals at most 16,384 bytes as one record.
    func write(_ payload: UnsafeRawBufferPointer) -> TLSFailure?
    func sendCloseNotify()
    /// The connection's end: nil if the other end had said so before.
    func endOfInput() -> TLSFailure?
    func tick(nowNanoseconds: UInt64)
}

extension TLSEngine: RecordLayer {}
