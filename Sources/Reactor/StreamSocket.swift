import CLinux
import Glibc

/// A connected (or connecting) socket of the system. Edge-triggered: it remembers what the kernel said last.
package final class StreamSocket: StreamTransport, ReadinessHandler {
    package var handler: (any TransportHandler)?
    package private(set) var isReadable = false
    package private(set) var isWritable = false
    private var descriptor: Int32
    private let poller: EpollPoller
    private let family: Int32
    /// The end of the stream, or its failure, has arrived behind what is still unread, and will not be announced again.
    private var hasHungUp = false
    /// The kernel stops a read at an urgent mark, with more behind it that is announced no more (tcp(7)).
    private var hasMark = false
    /// How the connection failed. What came before that can still be read; the kernel says it once, to whoever asks first.
    private var failure: SystemError?
    /// The kernel ends it with a reset if this program is killed, as a program's end is not the stream's.
    private var isAbrupt: Bool
    /// A new connection can be written to, and most never fill their buffer: the kernel is asked to tell of room when there was
    /// none for the first time, instead of waking the loop for each new connection.
    private var isToldOfRoom: Bool
    private var isUnpaced: Bool
    /// It was begun in a crowd: `ReceiveBuffer`.
    private var isNarrow: Bool
    /// What the system had chosen, while this program's choice for a distance is in its place.
    private var nearCongestionControl: String?
    /// No link within a house has such a round trip. What has become so short as half of it is near by again.
    private static let farMicroseconds: UInt32 = 2_000

    /// Takes over `descriptor`, which does not block. `isUnpaced`: `stopPacing` was called before it was connected.
    package init(
        _ descriptor: Int32, family: Int32, isConnected: Bool, isUnpaced: Bool = false,
        isNarrow: Bool = false, poller: EpollPoller
    ) {
        self.descriptor = descriptor
        self.family = family
        self.isUnpaced = isUnpaced
        self.isNarrow = isNarrow
        self.poller = poller
        isAbrupt = family != AF_UNIX
        // Not inherited from the listener.
        if family == AF_UNIX { Self.keepUrgentBytes(descriptor) }
        isWritable = isConnected
        isToldOfRoom = !isConnected
        poller.add(descriptor, self, isConnected ? .readable : .readableAndWritable)
    }

    deinit {
        if descriptor >= 0 { Glibc.close(descriptor) }
    }

    /// `crowd`: the descriptor from which on it gets a small receive buffer.
    static func connect(
        to address: SocketAddress, crowd: Int32, poller: EpollPoller
    ) -> Result<any StreamTransport, SystemError> {
        let family = address.systemFamily
        let descriptor = socket(
            family,
            Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return .failure(SystemError()) }
        let isUnpaced = address.isLoopback
        if family != AF_UNIX {
            set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
            keepUrgentBytes(descriptor)
            linger(descriptor, isAbrupt: true)
        }
        if isUnpaced { stopPacing(descriptor) }
        let isNarrow = family != AF_UNIX && descriptor >= crowd
        // On this machine a target sends as soon as it sees the window, which is never taken back.
        if isNarrow, isUnpaced { ReceiveBuffer.narrow(descriptor) }
        var isConnected = address.withSockaddr { Glibc.connect(descriptor, $0, $1) } == 0
        var error = isConnected || errno == EINPROGRESS ? nil : SystemError()
        if !isConnected, error == nil, address.isLoopback { (isConnected, error) = answer(descriptor) }
        if let error, !isConnected {
            Glibc.close(descriptor)
            return .failure(error)
        }
        // Elsewhere it would limit for good what may be under way if it were set before.
        if isNarrow, !isUnpaced { ReceiveBuffer.narrow(descriptor) }
        let socket = StreamSocket(
            descriptor, family: family, isConnected: isConnected, isUnpaced: isUnpaced, isNarrow: isNarrow,
            poller: poller)
        socket.failure = error
        return .success(socket)
    }

    /// On this machine a connection has come about before connect(2) returns, which does not say so. To call it again would tell, and
    /// would drop what a target has said that has reset it meanwhile.
    private static func answer(_ descriptor: Int32) -> (isConnected: Bool, SystemError?) {
        var question = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        guard poll(&question, 1, 0) == 1 else { return (false, nil) }
        let error = question.revents & Int16(POLLERR) == 0 ? nil : error(of: descriptor)
        return (error?.isOfConnected ?? true, error)
    }

    private static func error(of descriptor: Int32) -> SystemError? {
        var number: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &number, &size) == 0 else { return SystemError() }
        return number == 0 ? nil : SystemError(number)
    }

    package func ready(_ events: Readiness) {
        if !events.isDisjoint(with: [.hangUp, .failed]) { hasHungUp = true }
        if events.contains(.urgent) { hasMark = true }
        if !events.isDisjoint(with: [.readable, .hangUp, .failed, .urgent]) { isReadable = true }
        if !events.isDisjoint(with: [.writable, .failed]) { isWritable = true }
        handler?.transportReady(self, failed: events.contains(.failed))
    }

    package func takeError() -> SystemError? {
        guard let error = Self.error(of: descriptor) else { return nil }
        failed(error)
        return error
    }

    /// What was said before it can still be read, to the end.
    private func failed(_ error: SystemError) {
        failure = failure ?? error
        hasHungUp = true
        isReadable = true
        isWritable = false
    }

    package func read(into vectors: UnsafeMutableBufferPointer<iovec>) -> IOResult {
        if isNarrow { widenIfWanted(vectors) }
        var mayHaveMore = hasHungUp || hasMark
        let count = receive(vectors, &mayHaveMore)
        if count > 0 {
            // A short read means that the kernel has no more, and will say so when it has. Unless the end has come.
            if !mayHaveMore, count < vectors.reduce(0, { $0 + $1.iov_len }) { isReadable = false }
            return .bytes(count)
        }
        if count == 0 {
            isReadable = false
            // An end that came before the failure is one: the other end had said all.
            if let failure, failure.number != EPIPE { return .failed(failure) }
            return .end
        }
        if errno == EAGAIN || errno == EINTR {
            isReadable = errno == EINTR
            // Behind the mark, too.
            if errno == EAGAIN { hasMark = false }
            return .wouldBlock
        }
        let error = SystemError()
        failed(error)
        isReadable = false
        return .failed(error)
    }

    /// From a Unix socket a read also ends behind bytes that descriptors came with. They are dropped, which it says (unix(7)).
    private func receive(_ vectors: UnsafeMutableBufferPointer<iovec>, _ mayHaveMore: inout Bool) -> Int {
        guard family == AF_UNIX else { return readv(descriptor, vectors.baseAddress, Int32(vectors.count)) }
        var message = msghdr()
        message.msg_iov = vectors.baseAddress
        message.msg_iovlen = vectors.count
        let count = recvmsg(descriptor, &message, 0)
        if count > 0, message.msg_flags & Int32(MSG_CTRUNC) != 0 { mayHaveMore = true }
        return count
    }

    /// The reader takes more at once than the buffer holds.
    private func widenIfWanted(_ vectors: UnsafeMutableBufferPointer<iovec>) {
        guard vectors.reduce(0, { $0 + $1.iov_len }) > ReceiveBuffer.narrowBytes else { return }
        isNarrow = false
        ReceiveBuffer.widen(descriptor)
    }

    package func write(_ vectors: UnsafeMutableBufferPointer<iovec>) -> IOResult {
        var message = msghdr()
        message.msg_iov = vectors.baseAddress
        message.msg_iovlen = vectors.count
        let count = sendmsg(descriptor, &message, Int32(MSG_NOSIGNAL))
        if count >= 0 {
            if count < vectors.reduce(0, { $0 + $1.iov_len }) { isFull() }
            return count == 0 ? .wouldBlock : .bytes(count)
        }
        if errno == EAGAIN || errno == EINTR {
            if errno == EAGAIN { isFull() }
            return .wouldBlock
        }
        let error = SystemError()
        failed(error)
        return .failed(error)
    }

    private func isFull() {
        isWritable = false
        guard !isToldOfRoom else { return }
        isToldOfRoom = true
        // Room that has come about meanwhile is told at once.
        poller.change(descriptor, .readableAndWritable)
    }

    package func shutdownWrite() {
        _ = Glibc.shutdown(descriptor, Int32(SHUT_WR))
    }

    package func close() {
        guard descriptor >= 0 else { return }
        if isAbrupt { Self.linger(descriptor, isAbrupt: false) }
        forget()
    }

    package func reset() {
        guard descriptor >= 0 else { return }
        if !isAbrupt, family != AF_UNIX { Self.linger(descriptor, isAbrupt: true) }
        forget()
    }

    private func forget() {
        handler = nil
        poller.forget(descriptor)
        Glibc.close(descriptor)
        descriptor = -1
    }

    package var unacknowledgedBytes: Int {
        // What a Unix socket has taken, the other end has.
        family == AF_UNIX || descriptor < 0 ? 0 : Int(goproxy_unacknowledged(descriptor))
    }

    /// What the kernel takes in for it, with its own expenses (socket(7), SO_RCVBUF).
    package var receiveBufferBytes: Int { ReceiveBuffer.bytes(descriptor) }

    package var congestionControl: String? {
        guard family != AF_UNIX else { return nil }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16) { name in
            var size = socklen_t(name.count)
            guard
                getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_CONGESTION, name.baseAddress, &size) == 0
            else { return nil }
            return String(
                decoding: UnsafeRawBufferPointer(name).prefix(Int(size)).prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    package var peerAddress: SocketAddress? {
        Self.address(of: descriptor, getpeername)
    }

    /// Only a port that the system gives away can be both ends' own; services below those cost no call.
    package func isConnectedToItself(at address: SocketAddress) -> Bool {
        guard address.port >= 1_024 else { return false }
        return Self.address(of: descriptor, getsockname) == address
    }

    package var ownAddress: OwnAddress {
        guard family != AF_UNIX, let own = Self.address(of: descriptor, getsockname), let other = peerAddress
        else { return .present }
        return Self.state(of: own, towards: other)
    }

    package var localAddress: SocketAddress? {
        Self.address(of: descriptor, getsockname)
    }

    package var pathSilence: UInt64? {
        guard let info = information, info.tcpi_unacked > 0 else { return nil }
        return UInt64(min(info.tcpi_last_ack_recv, info.tcpi_last_data_recv)) * 1_000_000
    }

    private var information: tcp_info? {
        guard family != AF_UNIX else { return nil }
        var info = tcp_info()
        var size = socklen_t(MemoryLayout<tcp_info>.size)
        return getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &info, &size) == 0 ? info : nil
    }

    /// Gives up on a peer that acknowledges nothing for that long (tcp(7)). An idle one is probed by the kernel after 15 s and then every 13,
    /// which keeps the entries of what translates addresses on the way alive and wakes no program; it is given up at the first
    /// probe that falls due after the time. With a time of 30 s and probes every 15 the second would find it dead, so that one probe
    /// lost would cost the link: where time is short they follow faster.
    package func tuneForLink(giveUpAfter nanoseconds: UInt64) {
        guard family != AF_UNIX else { return }
        // The end of a program is the end of its links: what it said last arrives.
        if isAbrupt { Self.linger(descriptor, isAbrupt: false) }
        isAbrupt = false
        let seconds = Int32(clamping: nanoseconds / 1_000_000_000)
        let idle = min(15, seconds / 2)
        Self.set(descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, Int32(clamping: nanoseconds / 1_000_000))
        Self.set(
            descriptor, Int32(IPPROTO_TCP), Self.retransmissionLimit,
            1_000 * Self.longestRetransmission(giveUpAfter: seconds))
        Self.keepAlive(descriptor, after: idle, every: min(13, (seconds - idle) * 13 / 15))
        tuneForBulk()
        tuneForDistance(roundTripMicroseconds: information?.tcpi_rtt ?? 0)
    }

    /// What limits a link is that it carries everything: a congestion control that takes each lost segment for a full path leaves all of
    /// its streams what one connection would have. Over a path that loses 1 % at 40 ms reno has 0.4 MB/s, bbr 11. Where the kernel
    /// does not let this program choose it (tcp(7), tcp_allowed_congestion_control), the system's stays. Near by nothing is lost, and what
    /// bbr's timers cost is a tenth of all. Called again whenever the path is known anew: paths change.
    package func tuneForDistance(roundTripMicroseconds: UInt32) {
        guard family != AF_UNIX, !isUnpaced else { return }
        if let near = nearCongestionControl {
            guard roundTripMicroseconds < Self.farMicroseconds / 2 else { return }
            setsockopt(
                descriptor, Int32(IPPROTO_TCP), TCP_CONGESTION, near, socklen_t(near.utf8.count))
            nearCongestionControl = nil
        } else if roundTripMicroseconds >= Self.farMicroseconds {
            // Also where it may not be had: it is not asked for again and again.
            nearCongestionControl = congestionControl
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_CONGESTION, "bbr", 3)
        }
    }

    /// TCP: not acknowledged. Unix-domain: not read, with the kernel's own expenses (ioctl_tty(2), TIOCOUTQ).
    package var undeliveredBytes: Int {
        var bytes: Int32 = 0
        return ioctl(descriptor, UInt(TIOCOUTQ), &bytes) == 0 ? Int(bytes) : 0
    }

    /// Keeps what waits in our own hands, where it can be ordered, instead of in the kernel's send queue.
    package func limitUnsent(_ bytes: Int) {
        guard family != AF_UNIX else { return }
        Self.set(descriptor, Int32(IPPROTO_TCP), TCP_NOTSENT_LOWAT, Int32(clamping: bytes))
    }

    package func keepAlive(every seconds: Int) {
        if family != AF_UNIX { Self.keepAlive(descriptor, every: seconds) }
    }

    /// After how many seconds, every how many, how often; nil: never.
    package var keepAliveTimes: [Int32]? {
        guard option(SOL_SOCKET, SO_KEEPALIVE) == 1 else { return nil }
        return [TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT].map { option(Int32(IPPROTO_TCP), $0) }
    }

    private func option(_ level: Int32, _ name: Int32) -> Int32 {
        var value: Int32 = -1
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, level, name, &value, &size)
        return value
    }

    package func tuneForBulk() {
        guard family != AF_UNIX, !isUnpaced, peerAddress?.isLoopback == true else { return }
        isUnpaced = true
        Self.stopPacing(descriptor)
    }
}
