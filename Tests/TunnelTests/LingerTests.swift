import Mux
import Reactor
import Simulation
import Testing
import Tunnel

/// What sub-connections still write to slow sockets when their link is over.
@Suite struct LingerTests {
    /// A line's capacity and a small first window take them.
    private static let bytes = 72_000

    /// Logs in and leaves `count` sub-connections that are over on the link, whose targets, at the server, take nothing.
    private func logIn(_ peers: TwoPeers, _ targets: RecordingListener, leaving count: Int) throws {
        peers.connect()
        try peers.until("it listens") {
            peers.world.listener(at: SocketAddress(ipv4: 0x7f00_0001, port: 1080)) != nil
        }
        peers.run(seconds: 1)
        let before = targets.accepted.count
        let clients = (0..<count).map { _ in peers.client() }
        for client in clients {
            client.send([UInt8](repeating: 7, count: Self.bytes))
            client.end()
        }
        try peers.until("all is said") {
            targets.accepted.count == before + count && clients.allSatisfy(\.hasHeardEnd)
        }
        peers.run(seconds: 1)
    }

    private func scene() throws -> (TwoPeers, RecordingListener) {
        let peers = try TwoPeers()
        let targets = try RecordingListener(at: TwoPeers.target, in: peers.world)
        targets.onAccept = {
            $0.isReading = false
            $0.end()
        }
        try peers.map(.peerListener)
        return (peers, targets)
    }

    @Test func `a node that comes again and again leaves behind no more than four links, and for a minute`()
        throws
    {
        let (peers, targets) = try scene()
        for login in 1...7 {
            try logIn(peers, targets, leaving: 20)
            #expect(peers.server.openStreams == min(login, 5) * 20)
        }
        // The first ones were told; the later ones may still take what is theirs.
        #expect(targets.accepted.filter { $0.failure != nil }.count == 40)
        #expect(targets.accepted.prefix(40).allSatisfy { $0.failure != nil })
        peers.run(seconds: 100)
        #expect(peers.server.openStreams == 20, "those of the link that is up")
    }

    @Test func `of many that linger those that have stood still for the longest time go first`() throws {
        let (peers, targets) = try scene()
        try logIn(peers, targets, leaving: 200)
        try logIn(peers, targets, leaving: 100)
        // The first link's have moved since.
        for target in targets.accepted[150..<200] { target.isReading = true }
        peers.run(seconds: 1)
        peers.connect()
        peers.run(seconds: 1)
        #expect(peers.server.openStreams == 250)
        #expect(targets.accepted.allSatisfy { $0.failure == nil })
        #expect(targets.accepted[150..<200].allSatisfy { $0.received.count == Self.bytes })
        try logIn(peers, targets, leaving: 30)
        peers.connect()
        peers.run(seconds: 1)
        #expect(peers.server.openStreams == 256)
        #expect(targets.accepted.prefix(150).filter { $0.failure != nil }.count == 24)
        #expect(targets.accepted.dropFirst(150).allSatisfy { $0.failure == nil })
    }

    @Test func `who takes the last bytes within a minute has them all`() throws {
        let (peers, targets) = try scene()
        try logIn(peers, targets, leaving: 3)
        peers.connect()
        peers.run(seconds: 50)
        for target in targets.accepted { target.isReading = true }
        peers.run(seconds: 1)
        #expect(targets.accepted.allSatisfy { $0.hasHeardEnd && $0.received.count == Self.bytes })
        #expect(peers.server.openStreams == 0)
    }
}
