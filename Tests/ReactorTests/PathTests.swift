import Glibc
import Reactor
import Testing

/// What the kernel does for a link, and what it says of the path.
@Suite struct PathTests {
    /// The other end of a connection, which can be made to hear nothing: a filter of one instruction drops what comes for it before
    /// TCP sees it, so it acknowledges nothing either.
    private final class OtherEnd {
        let descriptor: Int32

        init(_ descriptor: Int32) {
            self.descriptor = descriptor
        }

        func goSilent() {
            let size = MemoryLayout<UInt64>.size
            // struct sock_filter { BPF_RET | BPF_K, 0, 0, 0 }: take 0 bytes of each.
            var instruction: UInt64 = 0x06
            withUnsafeMutablePointer(to: &instruction) { pointer in
                // struct sock_fprog: a count in 16 bits and, at the next word, where they are.
                var program = (1, UInt(bitPattern: pointer))
                let result = setsockopt(
                    descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, socklen_t(2 * size))
                #expect(result == 0)
            }
        }

        func hearAgain() {
            var none: Int32 = 0
            #expect(setsockopt(descriptor, SOL_SOCKET, SO_DETACH_FILTER, &none, 4) == 0)
        }

        deinit { close(descriptor) }
    }

    private func link(
        over local: UInt32 = UInt32(0x7f00_0001).bigEndian, giveUpAfter: Int32 = 120
    ) throws -> (StreamSocket, Int32, OtherEnd) {
        let kind = Int32(SOCK_STREAM.rawValue)
        let listener = socket(AF_INET, kind, 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = local
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let here = socket(AF_INET, kind, 0)
        try #require(setsockopt(here, Int32(IPPROTO_TCP), TCP_CONGESTION, "reno", 4) == 0)
        try withUnsafeMutablePointer(to: &address) {
            try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try #require(bind(listener, $0, size) == 0 && listen(listener, 1) == 0)
                try #require(getsockname(listener, $0, &size) == 0 && connect(here, $0, size) == 0)
            }
        }
        let there = accept(listener, nil, nil)
        try #require(there >= 0 && fcntl(here, F_SETFL, O_NONBLOCK) == 0)
        let socket = StreamSocket(here, family: AF_INET, isConnected: true, poller: try EpollPoller())
        socket.tuneForLink(giveUpAfter: UInt64(giveUpAfter) * 1_000_000_000)
        return (socket, here, OtherEnd(there))
    }

    private func option(_ descriptor: Int32, _ level: Int32, _ name: Int32) -> Int32 {
        var value: Int32 = -1
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, level, name, &value, &size)
        return value
    }

    private func say(_ word: StaticString, on socket: StreamSocket) {
        var vector = iovec(
            iov_base: UnsafeMutableRawPointer(mutating: word.utf8Start), iov_len: word.utf8CodeUnitCount)
        withUnsafeMutablePointer(to: &vector) {
            _ = socket.write(UnsafeMutableBufferPointer(start: $0, count: 1))
        }
    }

    /// Asks again and again, at most 10 s.
    private func until(_ condition: () -> Bool) -> Bool {
        for _ in 0..<2_000 {
            if condition() { return true }
            usleep(5_000)
        }
        return false
    }

    @Test(arguments: [15, 30, 45, 120, 3_600] as [Int32])
    func `two probes fit into the time after which the kernel gives a link up, with a second to spare`(
        seconds: Int32
    ) throws {
        let (socket, descriptor, _) = try link(giveUpAfter: seconds)
        defer { socket.close() }
        let tcp = Int32(IPPROTO_TCP)
        #expect(option(descriptor, SOL_SOCKET, SO_KEEPALIVE) == 1)
        let (idle, interval) = (option(descriptor, tcp, TCP_KEEPIDLE), option(descriptor, tcp, TCP_KEEPINTVL))
        let end = option(descriptor, tcp, 18) / 1_000
        #expect(end == seconds && idle <= 15 && interval <= 13)
        // The kernel's clock for it is coarse: half a second each.
        #expect(idle + interval + 1 < end)
    }

    @Test func `what the kernel may hold unsent is bounded where that was asked for`() throws {
        let (socket, descriptor, _) = try link()
        defer { socket.close() }
        #expect(option(descriptor, Int32(IPPROTO_TCP), TCP_NOTSENT_LOWAT) != 48 << 10)
        socket.limitUnsent(48 << 10)
        #expect(option(descriptor, Int32(IPPROTO_TCP), TCP_NOTSENT_LOWAT) == 48 << 10)
    }

    @Test func `over loopback nothing is paced`() throws {
        let (socket, _, _) = try link()
        defer { socket.close() }
        socket.tuneForDistance(roundTripMicroseconds: 100_000)
        #expect(socket.congestionControl == "reno")
    }

    @Test(.enabled(if: PathTests.ownAddress != nil, "no address but those of loopback"))
    func `far away bbr is used, where it may be`() throws {
        let probe = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(probe) }
        let isAllowed = setsockopt(probe, Int32(IPPROTO_TCP), TCP_CONGESTION, "bbr", 3) == 0
        let (socket, _, _) = try link(over: try #require(Self.ownAddress))
        defer { socket.close() }
        // This machine's own address is near by.
        #expect(socket.congestionControl == "reno")
        socket.tuneForDistance(roundTripMicroseconds: 1_999)
        #expect(socket.congestionControl == "reno")
        socket.tuneForDistance(roundTripMicroseconds: 2_000)
        #expect(socket.congestionControl == (isAllowed ? "bbr" : "reno"))
        // Not at each sample about the border.
        socket.tuneForDistance(roundTripMicroseconds: 1_000)
        #expect(socket.congestionControl == (isAllowed ? "bbr" : "reno"))
        socket.tuneForDistance(roundTripMicroseconds: 999)
        #expect(socket.congestionControl == "reno")
        socket.tuneForDistance(roundTripMicroseconds: 100_000)
        #expect(socket.congestionControl == (isAllowed ? "bbr" : "reno"))
    }

    @Test func `what the other end's system has not taken is counted`() throws {
        let (socket, _, other) = try link()
        defer { socket.close() }
        say("heard", on: socket)
        #expect(until { socket.undeliveredBytes == 0 })
        other.goSilent()
        say("not heard", on: socket)
        #expect(socket.undeliveredBytes == 9)
        other.hearAgain()
        #expect(until { socket.undeliveredBytes == 0 })
    }

    /// One of this machine's that is not of loopback.
    fileprivate static var ownAddress: UInt32? {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return nil }
        defer { freeifaddrs(list) }
        return sequence(first: list) { $0?.pointee.ifa_next }
            .prefix { $0 != nil }
            .compactMap { entry -> UInt32? in
                guard let address = entry?.pointee.ifa_addr, address.pointee.sa_family == AF_INET else {
                    return nil
                }
                let bytes = UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in.self).sin_addr.s_addr
                return UInt32(bigEndian: bytes) >> 24 == 127 ? nil : bytes
            }.first
    }

    @Test func `only what has not been acknowledged makes a path silent`() throws {
        let (socket, _, other) = try link()
        defer { socket.close() }
        #expect(socket.pathSilence == nil)
        say("heard", on: socket)
        #expect(until { socket.pathSilence == nil })
        other.goSilent()
        say("not heard", on: socket)
        let silence = try #require(socket.pathSilence)
        #expect(silence < 10_000_000_000)
        // It grows until something comes.
        #expect(until { socket.pathSilence ?? 0 >= silence + 20_000_000 })
        other.hearAgain()
        // TCP says it again by itself.
        #expect(until { socket.pathSilence == nil })
    }
}
