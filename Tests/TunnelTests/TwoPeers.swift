import Mux
import Reactor
import Simulation
import Testing
import Tunnel

/// A server's end and a node's end in a simulated world, as a test wants them.
final class TwoPeers {
    static let quick = LineQuality(latency: 100_000...100_000)
    static let target = SocketAddress(ipv4: 0x0a00_0001, port: 80)
    static let second: UInt64 = 1_000_000_000

    let world: SimulatedWorld
    let loop: EventLoop
    let server: Peer
    let node: Peer
    /// The present link's: the server's, the node's.
    private(set) var sockets: [SimulatedSocket] = []
    private(set) var records: [PlainRecords] = []
    private(set) var ends: [LinkEnd] = []

    init(
        _ settings: TunnelSettings = TunnelSettings(), allow: AllowList? = nil, nodeIsAccepter: Bool = false
    ) throws {
        LogTap.silence()
        world = SimulatedWorld(seed: 1)
        world.lines = { _ in Self.quick }
        loop = EventLoop(poller: world, network: world, mailbox: try Mailbox())
        server = Peer(name: "server", hasAuthority: true, settings: settings, loop: loop)
        node = Peer(name: "node", hasAuthority: false, allow: allow, settings: settings, loop: loop)
        for peer in [server, node] {
            peer.onLink = { [weak self] end in if let end { self?.ends.append(end) } }
        }
    }

    deinit {
        world.end()
    }

    func connect() {
        let pair = world.connectedPair(Self.quick)
        sockets = [pair.0, pair.1]
        records = [PlainRecords(pool: loop.chunks), PlainRecords(pool: loop.chunks)]
        server.adopt(pair.0, records: records[0], role: .accepter)
        node.adopt(pair.1, records: records[1], role: .dialer)
    }

    /// Turns until `condition`, at most 20 simulated seconds.
    func until(_ what: Comment, seconds: UInt64 = 20, _ condition: () -> Bool) throws {
        let isTrue = world.run(loop, within: seconds * Self.second, until: condition)
        #expect(world.faults == [])
        try #require(isTrue, what)
    }

    func run(seconds: UInt64) {
        world.run(loop, for: seconds * Self.second)
        #expect(world.faults == [])
    }

    /// A mapping from `listen` to the target's address.
    @discardableResult
    func map(_ kind: MappingKind, _ listen: String = "127.0.0.1:1080", to forward: String = "10.0.0.1:80")
        throws -> UInt32
    {
        let listen = try Endpoint(domain: .tcp, address: listen)
        let forward = try Endpoint(domain: .tcp, address: forward)
        return kind == .listener
            ? server.newListener(listen: listen, forward: forward)
            : server.newPeerListener(listen: listen, forward: forward)
    }

    func client(port: UInt16 = 1080) -> Recorder {
        Recorder(world.dial(SocketAddress(ipv4: 0x7f00_0001, port: port), from: nil, quality: Self.quick))
    }
}
