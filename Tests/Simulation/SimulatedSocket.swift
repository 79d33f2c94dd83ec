import Glibc
import Reactor

/// One end of a simulated connection. It behaves as `StreamSocket` with epoll's edges does: what it knows of its readiness
/// changes when the loop hears of it, a short read or write says that there is no more for now, and a close with unread
/// bytes is a reset.
package final class SimulatedSocket: StreamTransport {
    enum State {
        case connecting
        case open
        case closed
    }

    package var handler: (any TransportHandler)?
    package private(set) var isReadable = false
    package private(set) var isWritable = false
    package let peerAddress: SocketAddress?
    /// What the system knows of the path while it waits for an acknowledgement; nil: all has been acknowledged.
    package var pathSilence: UInt64?
    package private(set) var keepAliveSeconds: Int?
    /// For whoever made the connection.
    package var tag = 0
    package let index: Int
    unowned(unsafe) let world: SimulatedWorld
    let incoming: Channel
    let outgoing: Channel
    private(set) var state = State.connecting
    var isNotified = false
    /// Somebody has it, and has to close it.
    var isOwned = false
    private var hasHungUp = false
    private var isReset = false
    private var failure: SystemError?
    /// `takeError` has told it.
    private var isFailureHeard = false

    init(index: Int, incoming: Channel, outgoing: Channel, peerAddress: SocketAddress?, world: SimulatedWorld)
    {
        self.index = index
        self.incoming = incoming
        self.outgoing = outgoing
        self.peerAddress = peerAddress
        self.world = world
    }

    package var localAddress: SocketAddress? { other.peerAddress }
    package var isClosed: Bool { state == .closed }
    /// The other end of the connection.
    package var other: SimulatedSocket { world.socket(index ^ 1) }
    /// Bytes that this end has written.
    package var writtenBytes: Int { outgoing.written }
    /// Bytes of this end that the other has not read.
    package var unreadBytes: Int { outgoing.queued }
    /// Bytes of this end that have reached the other's system.
    package var arrivedBytes: Int { outgoing.arrivedInAll }

    // MARK: What the world does to it

    func open() {
        guard state == .connecting else { return }
        state = .open
        world.notify(self)
    }

    /// The connection ends at once, as after RST.
    func fail(_ error: SystemError) {
        guard state != .closed, !isReset else { return }
        state = .open
        failure = error
        isReset = true
        world.trace("  \(index) fails: \(error)")
        incoming.resetArrives()
        outgoing.loseAll()
        world.notify(self)
    }

    /// What epoll_wait finds at this moment.
    func deliver() {
        guard state == .open else { return }
        if incoming.endArrived || isReset { hasHungUp = true }
        if incoming.arrived > 0 || hasHungUp { isReadable = true }
        if outgoing.room > 0 || isReset {
            isWritable = true
            outgoing.wantsRoom = false
        }
        handler?.transportReady(self, failed: failure != nil && !isFailureHeard)
    }

    // MARK: StreamTransport

    package func takeError() -> SystemError? {
        defer { isFailureHeard = true }
        return isFailureHeard ? nil : failure
    }

    package func read(into vectors: UnsafeMutableBufferPointer<iovec>) -> IOResult {
        guard state != .closed else {
            world.misused("read after close", self)
            return .failed(SystemError(EBADF))
        }
        let wanted = vectors.reduce(0) { $0 + $1.iov_len }
        var left = min(wanted, incoming.arrived)
        let count = left
        for vector in vectors where left > 0 {
            let here = min(vector.iov_len, left)
            incoming.read(here, into: vector.iov_base)
            left -= here
        }
        if count > 0 {
            if !hasHungUp, count < wanted { isReadable = false }
            world.hasProgressed()
            world.trace("  \(index) reads \(count)")
            world.wasRead(incoming)
            return .bytes(count)
        }
        isReadable = false
        if incoming.endArrived { return .end }
        return failure.map { .failed($0) } ?? .wouldBlock
    }

    package func write(_ vectors: UnsafeMutableBufferPointer<iovec>) -> IOResult {
        if outgoing.isEndedByLine, state == .open, !isReset { fail(SystemError(ECONNRESET)) }
        guard state != .closed, !outgoing.hasEnd || isReset else {
            world.misused(state == .closed ? "write after close" : "write after shutdown", self)
            return .failed(SystemError(EPIPE))
        }
        guard state == .open, !isReset else {
            isWritable = false
            guard isReset else { return .wouldBlock }
            (hasHungUp, isReadable) = (true, true)
            return .failed(takeError() ?? SystemError(EPIPE))
        }
        let wanted = vectors.reduce(0) { $0 + $1.iov_len }
        var left = min(wanted, outgoing.room)
        let count = left
        for vector in vectors where left > 0 {
            let here = min(vector.iov_len, left)
            outgoing.append(UnsafeRawBufferPointer(start: vector.iov_base, count: here))
            left -= here
        }
        if count < wanted {
            isWritable = false
            outgoing.wantsRoom = true
        }
        guard count > 0 else { return .wouldBlock }
        world.hasProgressed()
        world.trace("  \(index) writes \(count)")
        world.planArrival(outgoing)
        return .bytes(count)
    }

    package func shutdownWrite() {
        guard state == .open, !isReset, !outgoing.hasEnd else { return }
        outgoing.end()
        world.trace("  \(index) ends")
        world.planArrival(outgoing)
    }

    package func close() {
        guard state != .closed else { return }
        if incoming.arrived > 0 { return reset() }
        shutdownWrite()
        forget()
    }

    package var unacknowledgedBytes: Int {
        outgoing.queued - outgoing.arrived + (outgoing.hasEnd && !outgoing.endArrived ? 1 : 0)
    }

    package func reset() {
        guard state != .closed else { return }
        if !isReset {
            outgoing.resetByWriter()
            world.planReset(of: other, after: outgoing.latency())
        }
        forget()
    }

    private func forget() {
        state = .closed
        world.trace("  \(index) closed")
        handler = nil
    }

    package func tuneForLink(giveUpAfter nanoseconds: UInt64) {}
    package func keepAlive(every seconds: Int) { keepAliveSeconds = seconds }
}
