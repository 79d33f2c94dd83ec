import Reactor
import Simulation
import Testing
import Tunnel

/// The ports of a node that is the node no more.
@Suite struct ReleaseTests {
    private static let port = SocketAddress(ipv4: 0x7f00_0001, port: 1080)

    private func isBound(_ peers: TwoPeers) -> Bool { peers.world.listener(at: Self.port) != nil }

    @Test
    func
        `a node that is sent away closes its peer listeners at once, and binds them when it is let in again`()
        throws
    {
        let peers = try TwoPeers()
        let targets = try RecordingListener(at: TwoPeers.target, in: peers.world)
        try peers.map(.peerListener)
        for login in 1...2 {
            peers.connect()
            try peers.until("it listens") { isBound(peers) }
            peers.run(seconds: 1)
            let client = peers.client()
            client.send("hello")
            try peers.until("it is heard") {
                targets.accepted.count == login && targets.accepted.last?.text == "hello"
            }
            peers.server.revoke()
            try peers.until("the ports are free", seconds: 1) { !isBound(peers) }
            #expect(peers.node.listenerStates.isEmpty)
        }
    }

    @Test func `another process that takes a node's place gets its ports`() throws {
        let peers = try TwoPeers()
        try peers.map(.peerListener)
        peers.connect()
        try peers.until("it listens") { isBound(peers) }
        peers.run(seconds: 1)
        let next = Peer(name: "next", hasAuthority: false, settings: peers.node.settings, loop: peers.loop)
        let pair = peers.world.connectedPair(TwoPeers.quick)
        peers.server.adopt(pair.0, records: PlainRecords(pool: peers.loop.chunks), role: .accepter)
        next.adopt(pair.1, records: PlainRecords(pool: peers.loop.chunks), role: .dialer)
        try peers.until("the next one listens") {
            if case .active = next.listenerStates.values.first { true } else { false }
        }
        #expect(peers.node.listenerStates.isEmpty)
    }

    /// A server that restarts is back soon, and clients should find the port then.
    @Test func `a node whose server stops keeps its ports`() throws {
        let peers = try TwoPeers()
        try peers.map(.peerListener)
        peers.connect()
        try peers.until("it listens") { isBound(peers) }
        peers.run(seconds: 1)
        peers.server.stop(retryAfterMilliseconds: 1_000)
        try peers.until("the link is over") { !peers.ends.isEmpty }
        #expect(isBound(peers))
    }
}
