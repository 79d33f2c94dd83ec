import Glibc

/// What a call on a transport did.
package enum IOResult: Equatable {
    /// More than 0 bytes moved.
    case bytes(Int)
    case wouldBlock
    /// The other end has finished sending.
    case end
    case failed(SystemError)
}

package protocol TransportHandler: AnyObject {
    /// The kernel's word about the transport has changed; its flags are up to date.
    func transportReady(_ transport: any StreamTransport, failed: Bool)
}

/// A connected byte stream that never blocks. One loop owns it.
package protocol StreamTransport: AnyObject {
    var handler: (any TransportHandler)? { get set }
    /// Whether reading or writing is worth a try, as far as is known.
    var isReadable: Bool { get }
    var isWritable: Bool { get }
    /// Why the connection failed, if it did and nobody has heard of it. Reading still comes to it, behind what was said before.
    func takeError() -> SystemError?
    func read(into vectors: UnsafeMutableBufferPointer<iovec>) -> IOResult
    func write(_ vectors: UnsafeMutableBufferPointer<iovec>) -> IOResult
    /// Sends the end of the stream after what was written.
    func shutdownWrite()
    /// Ends it in order: what was written still arrives, if the other end goes on reading.
    func close()
    /// Ends it at once: the other end sees a reset where the protocol has one. What the other end's system has not taken is lost.
    func reset()
    /// Of what was written, an end counts as one: what the other end's system has not acknowledged. `reset` may drop it.
    var unacknowledgedBytes: Int { get }
    var peerAddress: SocketAddress? { get }
    /// Nanoseconds since anything came from the other end's system, answers to the kernel's probes included, if it has still to
    /// acknowledge something: then the path is silent, and not the other program. Nil: it has acknowledged all.
    var pathSilence: UInt64? { get }
    /// How the system finds out what the path bears, for the log; nil where there is no path.
    var congestionControl: String? { get }
    /// Options for a link: see `StreamSocket.tuneForLink`.
    func tuneForLink()
    /// What a link's path takes by itself, as it is known now: see `StreamSocket.tuneForDistance`.
    func tuneForDistance(roundTripMicroseconds: UInt32)
    /// Bytes that were written and that the other end's system has not taken yet.
    var undeliveredBytes: Int { get }
    /// How much the kernel may hold that it has not sent.
    func limitUnsent(_ bytes: Int)
    /// Notices when the other end's machine is gone. For a connection that has lived for a while: short ones are spared the call.
    func keepAlive()
    /// For a connection over which much has gone.
    func tuneForBulk()
}

extension StreamTransport {
    package var unacknowledgedBytes: Int { 0 }
    package var pathSilence: UInt64? { nil }
    package var congestionControl: String? { nil }
    package func tuneForDistance(roundTripMicroseconds: UInt32) {}
    package var undeliveredBytes: Int { 0 }
    package func limitUnsent(_ bytes: Int) {}
    package func keepAlive() {}
    package func tuneForBulk() {}
}

package protocol AcceptHandler: AnyObject {
    func accepted(_ transport: any StreamTransport, from client: SocketAddress)
    /// Accepting is impossible for now (descriptors or memory); it goes on by itself after 100 ms.
    func acceptPaused(_ error: SystemError)
}

/// A bound, listening socket.
package protocol ListeningTransport: AnyObject {
    /// The address as bound: with port 0 asked for, the port that was given.
    var boundAddress: SocketAddress { get }
    /// From now on connections are announced when they have said something (tcp(7), TCP_DEFER_ACCEPT).
    func announceWhenHeard()
    /// Stops listening and frees the address.
    func close()
}

extension ListeningTransport {
    package func announceWhenHeard() {}
}

/// The world outside: what a loop may listen on and dial.
package protocol Network: AnyObject {
    func listen(
        on address: SocketAddress, onlyIPv6: Bool, handler: any AcceptHandler
    ) -> Result<any ListeningTransport, SystemError>
    /// Begins to connect. On this machine the transport is writable when the call returns, or the call fails; else its handler hears
    /// which of the two it is.
    func connect(to address: SocketAddress) -> Result<any StreamTransport, SystemError>
    /// Looks a name up off the loop, and calls back on it. At most 64 addresses, in the system's order of preference.
    func resolve(
        _ host: String, port: UInt16, completion: @escaping (Result<[SocketAddress], ResolveError>) -> Void)
}
