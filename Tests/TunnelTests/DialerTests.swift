import Mux
import Reactor
import Simulation
import Testing
import Tunnel

/// Which of an endpoint's addresses is dialled, and when.
@Suite struct DialerTests {
    private static let six = SocketAddress(ipv6: 0x2001_0db8 << 32, 1, port: 80)
    private static let otherSix = SocketAddress(ipv6: 0x2001_0db8 << 32, 2, port: 80)
    private static let four = SocketAddress(ipv4: 0x0a00_0001, port: 80)
    private static let otherFour = SocketAddress(ipv4: 0x0a00_0002, port: 80)
    private static let millisecond: UInt64 = 1_000_000

    private let world = SimulatedWorld(seed: 1)
    private let loop: EventLoop
    private let start: UInt64

    init() throws {
        LogTap.silence()
        loop = EventLoop(poller: world, network: world, mailbox: try Mailbox())
        world.lines = { _ in LineQuality(latency: 1_000_000...1_000_000) }
        start = world.clock
    }

    private struct Outcome {
        let address: SocketAddress?
        let failure: DialFailure?
        let milliseconds: UInt64
    }

    /// Dials `name:80` to the end; nothing may be left open but what it returns.
    private func dial(
        _ address: String = "name:80", domain: Domain = .tcp, allow: String? = nil, seconds: UInt64 = 10
    ) throws -> Outcome {
        var result: Result<any StreamTransport, DialFailure>?
        let dialer = Dialer(
            try Endpoint(domain: domain, address: address), allow: try allow.map { try AllowList($0) },
            timeout: seconds * 1_000_000_000, loop: loop
        ) { result = $0 }
        dialer.start()
        let isOver = world.run(loop, within: (seconds + 1) * 1_000_000_000) { result != nil }
        try #require(isOver, "it never ends")
        let time = (world.clock - start) / Self.millisecond
        let winner = try? result?.get()
        #expect(dialled.allSatisfy { $0 === winner })
        winner?.close()
        #expect(world.faults == [])
        world.end()
        guard case .failure(let failure) = result else {
            return Outcome(address: winner?.peerAddress, failure: nil, milliseconds: time)
        }
        return Outcome(address: nil, failure: failure, milliseconds: time)
    }

    /// The dialling ends that are open.
    private var dialled: [SimulatedSocket] { world.openSockets.filter { $0.index.isMultiple(of: 2) } }

    private func listen(_ addresses: SocketAddress...) throws -> [RecordingListener] {
        try addresses.map { try RecordingListener(at: $0, in: world) }
    }

    @Test(arguments: [[six, otherSix, four], [six, four], [four, six]])
    func `addresses that do not answer cost a quarter of a second each, families in turn`(
        addresses: [SocketAddress]
    ) throws {
        let answering = addresses.first { $0.family == .ipv4 && addresses[0] != $0 } ?? Self.six
        let listeners = try listen(answering)
        world.names["name"] = addresses
        world.blackholes = Set(addresses.filter { $0 != answering })
        let outcome = try dial()
        #expect(outcome.address == answering)
        // The look-up takes up to 40 ms, the connection 2.
        #expect((250..<300).contains(outcome.milliseconds), "\(outcome)")
        withExtendedLifetime(listeners) {}
    }

    @Test func `an address that refuses costs nothing, and one without a way neither`() throws {
        let listeners = try listen(Self.otherFour)
        world.names["name"] = [Self.six, Self.otherSix, Self.four, Self.otherFour]
        world.unreachable[Self.six] = SystemError(101)
        world.unreachable[Self.otherSix] = SystemError(101)
        let outcome = try dial()
        #expect(outcome.address == Self.otherFour && outcome.milliseconds < 60, "\(outcome)")
        withExtendedLifetime(listeners) {}
    }

    @Test func `whichever answers first is the connection, though it was not the first to be tried`() throws {
        let listeners = try listen(Self.six, Self.four)
        world.names["name"] = [Self.six, Self.four]
        var number = 0
        world.lines = { _ in
            number += 1
            let latency: UInt64 = number == 1 ? 2_000_000_000 : 1_000_000
            return LineQuality(latency: latency...latency)
        }
        let outcome = try dial()
        #expect(outcome.address == Self.four && outcome.milliseconds < 300, "\(outcome)")
        withExtendedLifetime(listeners) {}
    }

    @Test func `when none answers the time to dial is the end, and says who was asked`() throws {
        world.names["name"] = [Self.six, Self.four]
        world.blackholes = [Self.six, Self.four]
        let outcome = try dial(seconds: 3)
        #expect(outcome.failure?.reason == .targetTimeout && outcome.milliseconds >= 3_000)
        #expect(outcome.failure?.description.contains("2001:db8::1") == true, "\(outcome)")
    }

    @Test func `many addresses that do not answer are no more than eight connections at once`() throws {
        let addresses = (0..<30).map { SocketAddress(ipv4: 0x0a00_0100 + $0, port: 80) }
        let listeners = try listen(Self.four)
        world.names["name"] = addresses + [Self.four]
        world.blackholes = Set(addresses)
        var most = 0
        world.lines = { [world] _ in
            most = max(most, world.openSockets.count { $0.index.isMultiple(of: 2) })
            return LineQuality(latency: 1_000_000...1_000_000)
        }
        let outcome = try dial(seconds: 10)
        #expect(outcome.address == Self.four && (7_500..<7_600).contains(outcome.milliseconds), "\(outcome)")
        #expect(most <= 8)
        withExtendedLifetime(listeners) {}
    }

    @Test func `that somebody refuses says more than that there is no way to another address`() throws {
        world.names["name"] = [Self.four, Self.six]
        world.unreachable[Self.six] = SystemError(101)
        let outcome = try dial()
        #expect(outcome.failure?.reason == .targetRefused, "\(outcome)")
    }

    @Test(arguments: [(Domain.tcp4, four), (.tcp6, six)])
    func `a domain of one family dials no other`(domain: Domain, address: SocketAddress) throws {
        let listeners = try listen(Self.six, Self.four)
        world.names["name"] = [Self.six, Self.four]
        #expect(try dial(domain: domain).address == address)
        withExtendedLifetime(listeners) {}
    }

    @Test func `what passes by itself is waited for: a full backlog, local ports that are all taken`() throws
    {
        for (address, number, domain) in [
            (SocketAddress(unix: "/run/app"), 11, Domain.unix), (Self.four, 99, .tcp),
        ] {
            let world = SimulatedWorld(seed: 1)
            let loop = EventLoop(poller: world, network: world, mailbox: try Mailbox())
            let listener = try RecordingListener(at: address, in: world)
            world.unreachable[address] = SystemError(Int32(number))
            var result: Result<any StreamTransport, DialFailure>?
            let text = domain == .unix ? "/run/app" : "10.0.0.1:80"
            let dialer = Dialer(
                try Endpoint(domain: domain, address: text), allow: nil, timeout: 10_000_000_000, loop: loop
            ) { result = $0 }
            dialer.start()
            world.run(loop, for: 5_000_000_000)
            #expect(result == nil)
            world.unreachable = [:]
            try #require(world.run(loop, within: 100_000_000) { result != nil })
            let transport = try #require(try? result?.get())
            transport.close()
            world.end()
            withExtendedLifetime(listener) {}
        }
    }

    @Test func `what does not pass in time is a time-out that says what it was`() throws {
        world.unreachable[Self.four] = SystemError(99)
        let outcome = try dial("10.0.0.1:80", seconds: 2)
        #expect(outcome.failure?.reason == .targetTimeout, "\(outcome)")
        #expect(outcome.failure?.description.contains("no local port is free") == true, "\(outcome)")
    }

    // MARK: What may be dialled

    @Test func `a name that is allowed may be dialled whatever it stands for, and needs no other`() throws {
        let listeners = try listen(Self.four)
        world.names["name"] = [Self.four]
        world.namesThatNeverAnswer = ["old"]
        let outcome = try dial(allow: "old:80,NAME:80")
        #expect(outcome.address == Self.four && outcome.milliseconds < 60, "\(outcome)")
        withExtendedLifetime(listeners) {}
    }

    @Test func `an address may be one that an allowed name stands for, though another name is dead`() throws {
        let listeners = try listen(Self.four)
        world.names["name"] = [Self.otherFour]
        world.names["alias"] = [Self.four]
        world.namesThatNeverAnswer = ["old"]
        let outcome = try dial("alias:80", allow: "old:80,name:80,alias:81,10.0.0.1:80")
        #expect(outcome.address == Self.four && outcome.milliseconds < 60, "\(outcome)")
        withExtendedLifetime(listeners) {}
    }

    @Test func `only the addresses that are allowed are dialled`() throws {
        let listeners = try listen(Self.six, Self.four, Self.otherFour)
        world.names["name"] = [Self.six, Self.four, Self.otherFour]
        world.names["other"] = [Self.otherFour]
        #expect(try dial(allow: "other:80,name:81").address == Self.otherFour)
        withExtendedLifetime(listeners) {}
    }

    @Test(arguments: ["10.9.9.9:80", "other:80", "name:81", "old:80", "name.example:80"])
    func `what is not allowed is not dialled, and its name and address are said`(allow: String) throws {
        let listeners = try listen(Self.four)
        world.names["name"] = [Self.four]
        world.names["other"] = [Self.otherFour]
        world.namesThatNeverAnswer = ["old"]
        let outcome = try dial(allow: allow, seconds: 2)
        #expect(outcome.failure?.reason == .notAllowed, "\(outcome)")
        let words = outcome.failure?.description ?? ""
        #expect(words.contains("name:80 (10.0.0.1:80)") && words.contains("-allow"), "\(words)")
        #expect(outcome.milliseconds < 100 || allow == "old:80", "\(outcome)")
        #expect(listeners[0].accepted.isEmpty)
    }

    @Test func `a name that nobody answers for is a time-out, one that is not there no way`() throws {
        world.namesThatNeverAnswer = ["name"]
        let silent = try dial(seconds: 2)
        #expect(silent.failure?.reason == .targetTimeout, "\(silent)")
        #expect(silent.failure?.description.contains("name: not found in time") == true, "\(silent)")
    }

    @Test func `a name that is not there is told at once`() throws {
        let missing = try dial()
        #expect(missing.failure?.reason == .targetUnreachable, "\(missing)")
        #expect(missing.failure?.description == "name: name not known" && missing.milliseconds < 60)
    }
}
