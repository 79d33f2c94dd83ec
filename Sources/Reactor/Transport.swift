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

package enum OwnAddress {
    case present
    /// It may come back.
    case gone
    /// It has gone, and the other end can be reached from another one.
    case replaced
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
    /// What TCP makes of a connection to a free port of this machine, if that port is the one it is given itself: all that is sent comes
    /// back.
    func isConnectedToItself(at address: SocketAddress) -> Bool
    /// Asks the system each time.
    var localAddress: SocketAddress? { get }
    /// Nanoseconds since anything came from the other end's system, answers to the kernel's probes included, if it has still to
    /// acknowledge something: then the path is silent, and not the other program. Nil: it has acknowledged all.
    var pathSilence: UInt64? { get }
    /// How the system finds out what the path bears, for the log; nil where there is no path.
    var congestionControl: String? { get }
    /// Options for a link: see `StreamSocket.tuneForLink`.
    /// What a link's path takes by itself, as it is known now: see `StreamSocket.tuneForDistance`.
    func tuneForDistance(roundTripMicroseconds: UInt32)
    /// Bytes that were written and that the other end's system has not taken yet.
    var undeliveredBytes: Int { get }
    func tuneForLink(giveUpAfter nanoseconds: UInt64)
    /// Whether this machine still has the address that the connection was made from.
    var ownAddress: OwnAddress { get }
    /// How much the kernel may hold that it has not sent.
    func limitUnsent(_ bytes: Int)
    /// Notices when the other end's machine is gone: see `StreamSocket.keepAlive`. For a dialled connection that has lived for a while:
    /// short ones are spared the calls, and accepted ones have it from their listener.
    func keepAlive(every seconds: Int)
    /// For a connection over which much has gone.
    func tuneForBulk()
}

extension StreamTransport {
    package var unacknowledgedBytes: Int { 0 }
    package func isConnectedToItself(at address: SocketAddress) -> Bool { false }
    package var localAddress: SocketAddress? { nil }
    package var pathSilence: UInt64? { nil }
    package var congestionControl: String? { nil }
    package func tuneForDistance(roundTripMicroseconds: UInt32) {}
    package var undeliveredBytes: Int { 0 }
    package func limitUnsent(_ bytes: Int) {}
    package func keepAlive(every seconds: Int) {}
    package var ownAddress: OwnAddress { .present }
    package func tuneForBulk() {}
}

package protocol AcceptHandler: AnyObject {
    /// For so many nanoseconds clients wait in the backlog; then it is asked again. It is asked before each.
    var acceptDelay: UInt64 { get }
    func accepted(_ transport: any StreamTransport, from client: SocketAddress)
    /// Accepting is impossible for now (descriptors or memory); it goes on by itself after 100 ms. So many were reset.
    func acceptPaused(_ error: SystemError, turnedAway: Int)
}

extension AcceptHandler {
    package var acceptDelay: UInt64 { 0 }
}

/// A bound, listening socket.
package protocol ListeningTransport: AnyObject {
    /// The address as bound: with port 0 asked for, the port that was given.
    var boundAddress: SocketAddress { get }
    /// From now on connections are announced when they have said something (tcp(7), TCP_DEFER_ACCEPT).
    func announceWhenHeard()
    /// As `StreamTransport`'s, for the connections that are accepted from now on; 15 s until then, 0: never.
    func keepAlive(every seconds: Int)
    /// Stops listening and frees the address.
    func close()
}

extension ListeningTransport {
    package func announceWhenHeard() {}
    package func keepAlive(every seconds: Int) {}
}

/// A name that is looked up.
package struct Name {
    package let host: String
    package let port: UInt16
    /// Nil: both.
    package let family: SocketAddress.Family?
    /// Never behind others: what a link depends on. What has been kept of an earlier answer does not do.
    package let isUrgent: Bool

    package init(
        _ host: String, port: UInt16, family: SocketAddress.Family? = nil, isUrgent: Bool = false
    ) {
        self.host = host
        self.port = port
        self.family = family
        self.isUrgent = isUrgent
    }
}

/// What a look-up has found.
package struct Found: Equatable {
    /// These addresses come after those that were found before.
    package let result: Result<[SocketAddress], ResolveError>
    /// False: the name server has not said yet what there is of the other family (RFC 8305).
    package let isLast: Bool

    package init(_ result: Result<[SocketAddress], ResolveError>, isLast: Bool = true) {
        self.result = result
        self.isLast = isLast
    }
}

/// The world outside: what a loop may listen on and dial.
package protocol Network: AnyObject {
    /// How many more connections there may be. A tenth of the descriptors is kept for links, files and the control socket.
    var freeDescriptors: Int { get }
    func listen(
        on address: SocketAddress, onlyIPv6: Bool, handler: any AcceptHandler
    ) -> Result<any ListeningTransport, SystemError>
    /// Begins to connect. On this machine the transport is writable when the call returns, or the call fails; else its handler hears
    /// which of the two it is.
    func connect(to address: SocketAddress) -> Result<any StreamTransport, SystemError>
    /// Looks a name up off the loop, and calls back on it; what is known already is said before this returns. At most 64 addresses of
    /// each family, in the system's order of preference. Asked for both families it may call twice: see `Found`.
    func resolve(_ name: Name, completion: @escaping (Found) -> Void)
}

extension Network {
    package var freeDescriptors: Int { 1 << 20 }
}
