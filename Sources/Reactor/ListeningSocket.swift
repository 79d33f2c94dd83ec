import CLinux
import Glibc

/// A listening socket of the system. Level-triggered, so what one wake leaves in the backlog is announced again.
final class ListeningSocket: ListeningTransport, ReadinessHandler {
    /// A flood of connections must not keep a loop from its links.
    private static let acceptsPerWake = 64
    private static let pauseNanoseconds: UInt64 = 100_000_000

    let boundAddress: SocketAddress
    private var descriptor: Int32
    private let family: Int32
    private let poller: EpollPoller
    private unowned let network: SystemNetwork
    private let handler: any AcceptHandler
    private var isPaused = false
    private var resume: LoopTimer?
    /// Its clients are links, which have few sockets and large buffers.
    private var isForLinks = false

    static func open(
        _ address: SocketAddress, onlyIPv6: Bool, handler: any AcceptHandler, network: SystemNetwork
    ) -> Result<any ListeningTransport, SystemError> {
        let family = address.systemFamily
        let descriptor = socket(
            family,
            Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return .failure(SystemError()) }
        if family != AF_UNIX { StreamSocket.set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1) }
        if family == AF_INET6 {
            StreamSocket.set(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, onlyIPv6 ? 1 : 0)
        }
        // Inherited by the accepted sockets: set once here instead of on each.
        StreamSocket.setClientOptions(descriptor, family)
        if address.isLoopback { StreamSocket.stopPacing(descriptor) }
        var result = address.withSockaddr { bind(descriptor, $0, $1) }
        if result != 0, errno == EADDRINUSE {
            if isStale(address) {
                unlink(address.path)
                result = address.withSockaddr { bind(descriptor, $0, $1) }
            } else {
                // The question has left its own.
                errno = EADDRINUSE
            }
        }
        guard result == 0, Glibc.listen(descriptor, 4_096) == 0,
            let bound = StreamSocket.address(of: descriptor, getsockname)
        else {
            let error = SystemError()
            Glibc.close(descriptor)
            return .failure(error)
        }
        return .success(
            ListeningSocket(descriptor, bound: bound, family: family, handler: handler, network: network))
    }

    private init(
        _ descriptor: Int32, bound: SocketAddress, family: Int32, handler: any AcceptHandler,
        network: SystemNetwork
    ) {
        self.descriptor = descriptor
        self.boundAddress = bound
        self.family = family
        self.handler = handler
        self.network = network
        poller = network.poller
        poller.add(descriptor, self, .readableLevel)
    }

    deinit {
        if descriptor >= 0 { Glibc.close(descriptor) }
    }

    /// A socket file that nobody listens on any more: left behind by a program that was killed.
    private static func isStale(_ address: SocketAddress) -> Bool {
        guard address.family == .unix, !address.path.hasPrefix("@") else { return false }
        var status = stat()
        guard lstat(address.path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return false }
        // Somebody who is busy answers no sooner than there is room in the backlog: this loop does not wait for that.
        let probe = socket(
            AF_UNIX,
            Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard probe >= 0 else { return false }
        defer { Glibc.close(probe) }
        return address.withSockaddr { connect(probe, $0, $1) } != 0 && errno == ECONNREFUSED
    }

    func ready(_ events: Readiness) {
        for _ in 0..<Self.acceptsPerWake {
            guard descriptor >= 0, !isPaused else { return }
            let delay = handler.acceptDelay
            if delay > 0 { return rest(delay) }
            var storage = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let accepted = withUnsafeMutablePointer(to: &storage) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    accept4(
                        descriptor, $0, &length, Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue))
                }
            }
            if accepted >= (isForLinks ? network.linkBudget : network.descriptorBudget) {
                // A reset, as of a port that cannot serve it: linger 0 is the listener's.
                Glibc.close(accepted)
                pause(SystemError(EMFILE), turnedAway: 1)
                continue
            }
            if accepted >= 0 {
                let client = SocketAddress(storage: &storage, length: length) ?? SocketAddress(unix: "")
                let isNarrow = !isForLinks && family != AF_UNIX && accepted >= network.crowdDescriptor
                if isNarrow { ReceiveBuffer.narrow(accepted) }
                handler.accepted(
                    StreamSocket(
                        accepted, family: family, isConnected: true, isUnpaced: boundAddress.isLoopback,
                        isNarrow: isNarrow, poller: poller), from: client)
                continue
            }
            switch errno {
            case EAGAIN: return
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                let error = SystemError()
                pause(error, turnedAway: network.sendOneAway(from: descriptor))
            // The connection died before it was accepted, or the network had a word about it (accept(2)): next.
            default: continue
            }
        }
    }

    /// Without descriptors the backlog would be announced for ever. One client has been sent away so that it sees an answer;
    /// then the listener rests.
    private func pause(_ error: SystemError, turnedAway: Int) {
        rest(Self.pauseNanoseconds)
        handler.acceptPaused(error, turnedAway: turnedAway)
    }

    private func rest(_ nanoseconds: UInt64) {
        isPaused = true
        poller.remove(descriptor)
        resume = network.loop?.schedule(after: nanoseconds) { [weak self] in
            guard let self, descriptor >= 0 else { return }
            isPaused = false
            poller.add(descriptor, self, .readableLevel)
        }
    }

    func announceWhenHeard() {
        isForLinks = true
        if family != AF_UNIX { StreamSocket.set(descriptor, Int32(IPPROTO_TCP), TCP_DEFER_ACCEPT, 5) }
    }

    func keepAlive(every seconds: Int) {
        if family != AF_UNIX { StreamSocket.keepAlive(descriptor, every: seconds) }
    }

    func close() {
        guard descriptor >= 0 else { return }
        network.loop?.cancel(resume)
        if !isPaused { poller.forget(descriptor) }
        Glibc.close(descriptor)
        descriptor = -1
        if boundAddress.family == .unix, !boundAddress.path.hasPrefix("@") { unlink(boundAddress.path) }
    }
}
