/// What a frame means for the owner. Payloads lie in the record that carried them.
package enum Event {
    /// Nothing to do: bookkeeping, or a late frame.
    case none
    /// The other end opened a stream: dial, then `accept` or `reset`. In every case `release` in the end.
    case opened(StreamID, mapping: UInt32, client: ClientAddress)
    /// The other end opened a stream beyond what this one takes; it has been closed.
    case refused(mapping: UInt32, CloseReason)
    /// The other end's dial succeeded.
    case accepted(StreamID)
    /// Bytes; call `consumed` when they have left. The stream may already be over when that happens.
    case data(StreamID, UnsafeRawBufferPointer)
    /// The stream may send again; it had no credit.
    case writable(StreamID)
    /// The link may send again; it had no credit.
    case linkWritable
    /// No more bytes will come on this stream.
    case finished(StreamID)
    /// The other end ended the stream. It is over; `release` it.
    case closed(StreamID, CloseReason)
    /// What the other end counted of a stream that is over there: bytes read from its socket, and written to it. The stream
    /// may be over here too, its slot in use again.
    case tally(StreamID, fromSocket: UInt64, toSocket: UInt64)
    /// A whole control message.
    case control([UInt8])
    /// The answer to a ping.
    case pong(roundTripNanoseconds: UInt64)
    case goAway(GoAwayReason, retryAfterMilliseconds: UInt32)
}
