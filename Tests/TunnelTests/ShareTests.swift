import Mux
import Reactor
import Simulation
import Testing
import Tunnel

/// Counts who was turned away, by cause.
private final class Refusals: SubConnectionRecorder {
    private final class Record: SubConnectionRecord {
        weak var connection: SubConnection?
        let isDurable = true
        let totals = UnsafeMutablePointer<UInt64>.allocate(capacity: 3)
        private let refusals: Refusals
        init(_ refusals: Refusals) { self.refusals = refusals }
        deinit { totals.deallocate() }
        func ended(_ reason: CloseReason, counts: ByteCounts) { refusals.ends[reason, default: 0] += 1 }
        func settled(other: ByteCounts?) {}
    }

    private(set) var causes: [RefusalCause: Int] = [:]
    fileprivate(set) var ends: [CloseReason: Int] = [:]

    func opening(mapping: UInt32, client: ClientAddress, of peer: Peer) -> (any SubConnectionRecord)? {
        Record(self)
    }

    func refused(_ cause: RefusalCause, _ count: Int, mapping: UInt32, of peer: Peer) {
        causes[cause, default: 0] += count
    }
}

@Suite struct ShareTests {
    private final class Scene {
        let peers: TwoPeers
        let refusals = Refusals()
        let target: RecordingListener
        private var clients: [Recorder] = []

        init(streams: Int) throws {
            var settings = TunnelSettings()
            settings.maximumStreams = streams
            peers = try TwoPeers(settings)
            peers.server.recorder = refusals
            target = try RecordingListener(at: TwoPeers.target, in: peers.world)
        }

        /// How many of so many clients of one address are served.
        func connect(_ count: Int, host: UInt32, to port: UInt16 = 1080) throws -> Int {
            let address = SocketAddress(ipv4: 0x7f00_0001, port: port)
            let before = target.accepted.count
            let new = (0..<count).map { number in
                Recorder(
                    peers.world.dial(
                        address, from: SocketAddress(ipv4: host, port: UInt16(10_000 + number)),
                        quality: TwoPeers.quick))
            }
            clients += new
            peers.run(seconds: 1)
            let served = target.accepted.count - before
            #expect(new.filter { $0.isClosed || $0.failure != nil }.count == count - served)
            return served
        }
    }

    @Test(arguments: [MappingKind.listener, .peerListener])
    func `one client's address leaves a third to the others, of all mappings of its node`(_ kind: MappingKind)
        throws
    {
        let scene = try Scene(streams: 90)
        try scene.peers.map(kind)
        try scene.peers.map(kind, "127.0.0.1:1081")
        scene.peers.connect()
        scene.peers.run(seconds: 1)
        #expect(try scene.connect(200, host: 0x0a09_0001) == 60)
        // The next has two thirds of what is left, and a newcomer is let in everywhere.
        #expect(try scene.connect(200, host: 0x0a09_0002) == 20)
        for host in 3..<6 { #expect(try scene.connect(1, host: 0x0a09_0000 + UInt32(host), to: 1081) == 1) }
        guard kind == .listener else { return }
        #expect(scene.refusals.causes[.clientShare] == 140 + 180, "\(scene.refusals.causes)")
    }

    @Test func `a mapping with many clients leaves room for the other mappings`() throws {
        let scene = try Scene(streams: 90)
        try scene.peers.map(.listener)
        try scene.peers.map(.listener, "127.0.0.1:1081")
        scene.peers.connect()
        scene.peers.run(seconds: 1)
        let served = try (0..<100).reduce(0) { try $0 + scene.connect(1, host: 0x0a09_0100 + UInt32($1)) }
        #expect(served == 80)
        #expect(scene.refusals.causes == [.mappingShare: 20])
        #expect(try scene.connect(1, host: 0x0a09_0001, to: 1081) == 1)
    }

    @Test func `who has gone makes room`() throws {
        let scene = try Scene(streams: 9)
        try scene.peers.map(.listener)
        scene.peers.connect()
        scene.peers.run(seconds: 1)
        for _ in 0..<3 {
            #expect(try scene.connect(20, host: 0x0a09_0001) == 6)
            for end in scene.target.accepted { end.reset() }
            scene.peers.run(seconds: 1)
            #expect(scene.peers.server.openStreams == 0)
        }
    }

    @Test func `a node that has twice of what descriptors are left gets no more, and says so`() throws {
        let scene = try Scene(streams: 90)
        try scene.peers.map(.listener)
        try scene.peers.map(.peerListener, "127.0.0.1:1081")
        scene.peers.connect()
        scene.peers.run(seconds: 1)
        scene.peers.world.freeDescriptors = 5
        for host in 0..<10 {
            #expect(try scene.connect(1, host: 0x0a09_0100 + UInt32(host), to: 1080) == (host < 9 ? 1 : 0))
        }
        scene.peers.world.freeDescriptors = 0
        #expect(try scene.connect(3, host: 0x0a09_0200) == 0)
        #expect(scene.refusals.causes[.descriptors] == 3, "\(scene.refusals.causes)")
    }

    @Test(arguments: [MappingKind.listener, .peerListener])
    func `a mapping that leads to its own listener is recognised and ends with its reason`(
        _ kind: MappingKind
    )
        throws
    {
        let scene = try Scene(streams: 8_192)
        try scene.peers.map(kind, to: "127.0.0.1:1080")
        scene.peers.connect()
        scene.peers.run(seconds: 1)
        #expect(try scene.connect(1, host: 0x0a09_0001) == 0)
        #expect(scene.peers.server.openStreams == 0 && scene.peers.node.openStreams == 0)
        let refusals = scene.refusals
        #expect(kind == .listener ? refusals.ends[.loop] == 1 : refusals.causes == [.loop: 1])
        #expect(refusals.ends.values.reduce(0, +) < 40, "\(refusals.ends)")
    }

    /// A client and a dial of one machine may have the same address, because they go to different ones.
    @Test func `a client that stands where a dial does is no loop`() throws {
        let scene = try Scene(streams: 8_192)
        try scene.peers.map(.listener)
        scene.peers.connect()
        scene.peers.run(seconds: 1)
        #expect(try scene.connect(20, host: 0x0a09_0001) == 20)
        // The dials' own addresses, as the target saw them.
        let twins = scene.target.clients
        let before = scene.target.accepted.count
        let clients = twins.map {
            Recorder(
                scene.peers.world.dial(
                    SocketAddress(ipv4: 0x7f00_0001, port: 1080), from: $0, quality: TwoPeers.quick))
        }
        scene.peers.run(seconds: 1)
        #expect(scene.target.accepted.count - before == clients.count)
        #expect(scene.refusals.causes.isEmpty && scene.refusals.ends.isEmpty)
    }

    @Test func `a mapping over another's listener is none`() throws {
        let scene = try Scene(streams: 8_192)
        try scene.peers.map(.listener, to: "127.0.0.1:1081")
        try scene.peers.map(.peerListener, "127.0.0.1:1081")
        scene.peers.connect()
        scene.peers.run(seconds: 1)
        #expect(try scene.connect(40, host: 0x0a09_0001) == 40)
    }
}
