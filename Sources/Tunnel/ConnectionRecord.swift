import Mux

/// Bytes of one sub-connection as one end counted them: up is from the client to the target.
package struct ByteCounts: Equatable, Sendable {
    package var up: UInt64
    package var down: UInt64

    package init(up: UInt64, down: UInt64) {
        self.up = up
        self.down = down
    }
}

/// Keeps the records of a peer's sub-connections: the server has one, a node has none. Called on the loop's thread.
package protocol ConnectionRecorder: AnyObject {
    /// A client has connected, here or at the other end. Nil: it cannot be recorded, and is refused.
    func opening(mapping: UInt32, client: ClientAddress, of peer: Peer) -> (any ConnectionRecord)?

    /// A client was turned away before it became a sub-connection.
    func refused(_ reason: CloseReason, mapping: UInt32, of peer: Peer)

    /// What the other end counted of a stream that is over here.
    func tallied(_ stream: StreamID, of link: MainLink, _ counts: ByteCounts)

    /// No more tallies come over this link.
    func ended(_ link: MainLink)
}

/// The record of one sub-connection, from its opening to its end.
package protocol ConnectionRecord: AnyObject {
    /// Set by the sub-connection. Let go of at its end.
    var connection: SubConnection? { get set }

    /// Whether bytes may pass. While it is false none does, in either direction; then `SubConnection.recorded()` or `abort` is called.
    var isDurable: Bool { get }

    /// Bytes up, bytes down, and the monotonic time of the last of them in nanoseconds: kept up to date with every read and write, in memory
    /// that may outlive this process. Valid until `ended`.
    var totals: UnsafeMutablePointer<UInt64> { get }

    /// Once. `other` is what the other end counted, if it has said so already; else `ConnectionRecorder.tallied` may tell.
    func ended(
        _ reason: CloseReason, counts: ByteCounts, other: ByteCounts?, stream: StreamID, link: MainLink)
}
