import CLinux
import Glibc

// What a socket is told, and what it says, by its descriptor alone: a listener's options are its clients'.
extension StreamSocket {
    /// TCP_RTO_MAX_MS (Linux 6.15).
    static let retransmissionLimit: Int32 = 44

    /// Linger 0 makes close(2), and the end of the program, send RST and drop what is queued (socket(7)).
    static func linger(_ descriptor: Int32, isAbrupt: Bool) {
        var linger = Glibc.linger(l_onoff: isAbrupt ? 1 : 0, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    }

    /// An urgent byte stays among the others instead of being put aside, where nobody would fetch it (tcp(7)).
    static func keepUrgentBytes(_ descriptor: Int32) { set(descriptor, SOL_SOCKET, SO_OOBINLINE, 1) }

    /// As Go's programs do by themselves: the kernel asks after `seconds` without a word, then as often, and gives up after nine
    /// questions without an answer. 0: never.
    static func keepAlive(_ descriptor: Int32, every seconds: Int) {
        guard seconds > 0 else { return set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 0) }
        keepAlive(descriptor, after: Int32(clamping: seconds), every: Int32(clamping: seconds))
    }

    static func keepAlive(_ descriptor: Int32, after idle: Int32, every interval: Int32) {
        set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, max(idle, 1))
        set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPINTVL, max(interval, 1))
        set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPCNT, 9)
        set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1)
    }

    /// While a path is away the kernel doubles the time after which it tries again, up to two minutes, and so long may pass before it notices
    /// that the path is back. The least number of seconds that lets a link live for as long as it is to: it is also given up after
    /// fifteen tries (tcp_retries2), the first after 0.2 s.
    static func longestRetransmission(giveUpAfter seconds: Int32) -> Int32 {
        (5..<120).first { limit in
            var (wait, all) = (0.2, 0.0)
            for _ in 0..<15 {
                all += wait
                wait = min(2 * wait, Double(limit))
            }
            return all >= 1.05 * Double(seconds)
        } ?? 120
    }

    /// A congestion control that paces (bbr, the default of many machines) sets a timer for each burst, on loopback too, where
    /// there is nothing to protect, and costs a third of the CPU per byte there. Reno is always there. On a socket that is
    /// connected already the pacing stays and only its rate changes: best called before.
    static func stopPacing(_ descriptor: Int32) {
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_CONGESTION, "reno", 4)
    }

    /// For a listener, whose clients inherit them. Without delay: a tunnel must not hold back what its client sent at once. With
    /// keepalive: a client whose machine is gone would otherwise stay for ever.
    static func setClientOptions(_ descriptor: Int32, _ family: Int32) {
        guard family != AF_UNIX else { return }
        keepUrgentBytes(descriptor)
        linger(descriptor, isAbrupt: true)
        set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        keepAlive(descriptor, every: 15)
    }

    static func set(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    static func address(
        of descriptor: Int32,
        _ ask: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { ask(descriptor, $0, &length) }
        }
        return result == 0 ? SocketAddress(storage: &storage, length: length) : nil
    }

    static func state(of own: SocketAddress, towards other: SocketAddress) -> OwnAddress {
        let probe = socket(own.systemFamily, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard probe >= 0 else { return .present }
        defer { Glibc.close(probe) }
        guard own.with(port: 0).withSockaddr({ bind(probe, $0, $1) }) != 0, errno == EADDRNOTAVAIL else {
            return .present
        }
        // Nothing is sent: the kernel says whether it would know where to.
        return other.withSockaddr { Glibc.connect(probe, $0, $1) } == 0 ? .replaced : .gone
    }
}
