import Mux
import Reactor
import Simulation
import Testing
import Tunnel

@Suite struct KeepaliveTests {
    /// Links that are given up after 45 s.
    private static let hasty = {
        var settings = TunnelSettings()
        settings.deadAfter = 45 * TwoPeers.second
        return settings
    }()

    /// A client and its target through the tunnel, one word exchanged.
    private func conversation(_ peers: TwoPeers, _ kind: MappingKind) throws -> (Recorder, Recorder) {
        let targets = try RecordingListener(at: TwoPeers.target, in: peers.world)
        try peers.map(kind)
        peers.connect()
        try peers.until("it listens") {
            peers.world.listener(at: SocketAddress(ipv4: 0x7f00_0001, port: 1080)) != nil
        }
        peers.run(seconds: 1)
        let client = peers.client()
        client.send("hello")
        try peers.until("the target hears it") { targets.accepted.first?.text == "hello" }
        let target = try #require(targets.accepted.first)
        withExtendedLifetime(targets) {}
        return (client, target)
    }

    @Test(arguments: [MappingKind.listener, .peerListener])
    func `a connection that is idle for five minutes survives`(kind: MappingKind) throws {
        let peers = try TwoPeers(Self.hasty)
        let (client, target) = try conversation(peers, kind)
        peers.run(seconds: 300)
        #expect(peers.ends == [])
        target.send("still here")
        client.send(", still here")
        try peers.until("both hear it") { client.text == "still here" && target.text == "hello, still here" }
    }

    @Test func `one end asks for a sign of life, and idle links share their wake-ups`() throws {
        let peers = try TwoPeers(Self.hasty)
        // Links that came up at other times than each other, and all of them idle.
        var others: [(Peer, Peer)] = []
        for number in 0..<50 {
            let server = Peer(name: "server \(number)", hasAuthority: true, loop: peers.loop)
            let node = Peer(name: "node \(number)", hasAuthority: false, loop: peers.loop)
            let pair = peers.world.connectedPair(TwoPeers.quick)
            server.adopt(pair.0, records: PlainRecords(pool: peers.loop.chunks), role: .accepter)
            node.adopt(pair.1, records: PlainRecords(pool: peers.loop.chunks), role: .dialer)
            others.append((server, node))
            peers.world.run(peers.loop, for: 7 * TwoPeers.second / 50)
        }
        peers.connect()
        peers.run(seconds: 20)
        let (asked, answered) = (peers.sockets[0].writtenBytes, peers.sockets[1].writtenBytes)
        let turns = peers.world.turns
        peers.run(seconds: 310)
        // Ten questions in 310 s, of 18 bytes each, and as many answers: twice that if both ends asked.
        #expect((9 * 18...11 * 18).contains(peers.sockets[0].writtenBytes - asked))
        #expect((9 * 18...11 * 18).contains(peers.sockets[1].writtenBytes - answered))
        // Each at its own time, 51 links would take 510 turns to be asked alone; a look of its own for each answer that has
        // come would take hundreds more.
        #expect(peers.world.turns - turns < 51 * 8)
        #expect(peers.ends == [])
        withExtendedLifetime(others) {}
    }

    @Test(arguments: [MappingKind.listener, .peerListener])
    func `an end that is gone is noticed after 45 seconds, and its clients see a reset`(kind: MappingKind)
        throws
    {
        let peers = try TwoPeers(Self.hasty)
        let (client, target) = try conversation(peers, kind)
        let began = peers.world.clock
        peers.world.breakLine(peers.sockets[0], after: 0, .silence)
        // What was heard last may have come a second before.
        peers.run(seconds: 43)
        #expect(peers.ends == [])
        try peers.until("both ends notice", seconds: 3) { peers.ends.count == 2 }
        #expect((43...46).contains((peers.world.clock - began) / TwoPeers.second))
        #expect(peers.ends.allSatisfy { $0.word == .timeout })
        try peers.until("both clients see it") { client.failure != nil && target.failure != nil }
    }

    @Test func `a link whose path worked after the last word is given time, but not for ever`() throws {
        let peers = try TwoPeers(Self.hasty)
        _ = try conversation(peers, .listener)
        let began = peers.world.clock
        peers.world.breakLine(peers.sockets[0], after: 0, .silence)
        // The question has not been acknowledged; the kernel's last probe was, 25 s before the end.
        peers.sockets[0].pathSilence = 25 * TwoPeers.second
        // Here the path has said nothing for as long as the other program.
        peers.sockets[1].pathSilence = 45 * TwoPeers.second
        try peers.until("the end whose path is silent notices", seconds: 46) { peers.ends.count == 1 }
        #expect((43...46).contains((peers.world.clock - began) / TwoPeers.second))
        peers.run(seconds: 13)
        #expect(peers.ends.count == 1)
        try peers.until("the other one as well", seconds: 3) { peers.ends.count == 2 }
    }

    @Test func `a path that recovers after 45 seconds has cost nothing`() throws {
        let peers = try TwoPeers(Self.hasty)
        let (client, target) = try conversation(peers, .listener)
        for socket in peers.sockets {
            socket.pathSilence = 20 * TwoPeers.second
            peers.world.hold(socket, for: 50 * TwoPeers.second)
        }
        peers.run(seconds: 120)
        #expect(peers.ends == [])
        client.send("!")
        try peers.until("bytes still pass") { target.text == "hello!" }
    }

    @Test func `a busy link that falls silent is noticed after 45 seconds as well`() throws {
        let peers = try TwoPeers(Self.hasty)
        let (client, target) = try conversation(peers, .listener)
        for _ in 0..<40 {
            client.send("x")
            target.send("y")
            peers.run(seconds: 1)
        }
        peers.world.breakLine(peers.sockets[0], after: 0, .silence)
        let began = peers.world.clock
        for _ in 0..<43 {
            client.send("x")
            peers.run(seconds: 1)
        }
        #expect(peers.ends == [])
        try peers.until("both ends notice", seconds: 3) { peers.ends.count == 2 }
        #expect((peers.world.clock - began) / TwoPeers.second <= 46)
    }

    @Test func `a program that was stopped for ten minutes asks again instead of expiring everything`() throws
    {
        let peers = try TwoPeers(Self.hasty)
        let (client, target) = try conversation(peers, .listener)
        for _ in 0..<3 {
            peers.run(seconds: 20)
            peers.world.suspend(600 * TwoPeers.second)
            peers.run(seconds: 20)
        }
        #expect(peers.ends == [])
        client.send("!")
        try peers.until("bytes still pass") { target.text == "hello!" }
    }

    @Test func `a program that was stopped notices within seconds that the other end is gone`() throws {
        let peers = try TwoPeers(Self.hasty)
        _ = try conversation(peers, .listener)
        peers.run(seconds: 60)
        peers.world.breakLine(peers.sockets[0], after: 0, .silence)
        // The time in which the machine slept is in no count of the kernel's.
        for socket in peers.sockets { socket.pathSilence = TwoPeers.second }
        peers.world.suspend(600 * TwoPeers.second)
        try peers.until("both ends notice", seconds: 5) { peers.ends.count == 2 }
    }

    @Test(arguments: [4, 10, 20, 40] as [UInt64])
    func `a stop soon after the machine's start is no trap`(seconds: UInt64) throws {
        let peers = try TwoPeers(Self.hasty)
        _ = try conversation(peers, .listener)
        #expect(peers.world.clock < 5 * TwoPeers.second)
        peers.run(seconds: 13)
        peers.world.suspend((seconds + 2) * TwoPeers.second)
        peers.run(seconds: 10)
        #expect(peers.ends == [])
    }

    @Test func `a half-closed connection on which nothing moves ends when it has been idle for long`() throws
    {
        var settings = TunnelSettings()
        settings.halfClosedIdle = 60 * TwoPeers.second
        let peers = try TwoPeers(settings)
        let (client, target) = try conversation(peers, .listener)
        client.end()
        try peers.until("the target hears the end") { target.hasHeardEnd }
        for _ in 0..<10 {
            peers.run(seconds: 30)
            target.send("x")
        }
        #expect(client.failure == nil)
        peers.run(seconds: 100)
        #expect(client.failure != nil && target.failure != nil)
        #expect(peers.ends == [])
    }

    @Test(arguments: [MappingKind.listener, .peerListener])
    func `a path that is away for 100 seconds ends nothing, busy or idle`(kind: MappingKind) throws {
        let peers = try TwoPeers()
        let (client, target) = try conversation(peers, kind)
        for isBusy in [true, false] {
            for socket in peers.sockets { peers.world.hold(socket, for: 100 * TwoPeers.second) }
            for _ in 0..<200 {
                if isBusy { client.send("x") }
                peers.run(seconds: 1)
            }
        }
        #expect(peers.ends == [])
        target.send("still here")
        try peers.until("both hear it") {
            client.text == "still here" && target.text == "hello" + String(repeating: "x", count: 200)
        }
    }

    @Test(arguments: [15, 120, 600] as [UInt64])
    func `a link is given up after the time that was set`(seconds: UInt64) throws {
        var settings = TunnelSettings()
        settings.deadAfter = seconds * TwoPeers.second
        let peers = try TwoPeers(settings)
        _ = try conversation(peers, .listener)
        peers.world.breakLine(peers.sockets[0], after: 0, .silence)
        peers.run(seconds: seconds - 2)
        #expect(peers.ends == [])
        try peers.until("both ends notice", seconds: 3) { peers.ends.count == 2 }
    }

    @Test(arguments: [MappingKind.listener, .peerListener], [7, 0])
    func `a dialled connection that lives for a while is told to ask for its machine`(
        kind: MappingKind, seconds: Int
    ) throws {
        var settings = TunnelSettings()
        settings.keepAliveSeconds = seconds
        let peers = try TwoPeers(settings)
        let (_, target) = try conversation(peers, kind)
        let accepted = try #require(target.transport as? SimulatedSocket)
        #expect(accepted.other.keepAliveSeconds == nil, "short ones are spared the calls")
        peers.run(seconds: 60)
        #expect(accepted.other.keepAliveSeconds == (seconds == 0 ? nil : seconds))
        let listener = try #require(
            peers.world.listener(at: SocketAddress(ipv4: 0x7f00_0001, port: 1080)))
        #expect(listener.keepAliveSeconds == seconds, "its clients inherit it")
    }

    @Test func `whoever does not take a failed target's last bytes is reset without them`() throws {
        let peers = try TwoPeers()
        let (client, target) = try conversation(peers, .listener)
        client.isReading = false
        target.send([UInt8](repeating: 1, count: 128 << 10))
        peers.run(seconds: 5)
        target.reset()
        peers.run(seconds: 5)
        #expect(client.failure == nil, "it may still read")
        peers.run(seconds: 15)
        #expect(client.failure != nil)
        #expect(peers.server.openStreams == 0 && peers.node.openStreams == 0)
    }

    @Test func `how many streams are open is told when one has opened and when it has ended`() throws {
        let peers = try TwoPeers()
        var told: [[Int]] = [[], []]
        for (place, peer) in [peers.server, peers.node].enumerated() {
            peer.onStreams = { [unowned peer] in told[place].append(peer.openStreams) }
        }
        let (client, target) = try conversation(peers, .listener)
        #expect(told == [[1], [1]])
        client.end()
        target.end()
        peers.run(seconds: 5)
        #expect(told == [[1, 0], [1, 0]])
    }

    @Test func `clients of mappings that the other end has not heard of are served`() throws {
        let peers = try TwoPeers()
        let (first, _) = try conversation(peers, .listener)
        let targets = try RecordingListener(at: SocketAddress(ipv4: 0x0a00_0002, port: 80), in: peers.world)
        for (number, port) in [UInt16(1081), 1082, 1083].enumerated() {
            try peers.map(.listener, "127.0.0.1:\(port)", to: "10.0.0.2:80")
            let client = peers.client(port: port)
            client.send("hello")
            try peers.until("the target hears it") {
                targets.accepted.count == number + 1 && targets.accepted[number].text == "hello"
            }
            #expect(client.failure == nil)
        }
        #expect(first.failure == nil)
    }
}
