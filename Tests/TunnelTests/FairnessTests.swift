import Mux
import Reactor
import Simulation
import Testing
import Tunnel

/// Keeps its connection full.
final class Pusher: TransportHandler {
    let socket: SimulatedSocket
    private var bytes = [UInt8](repeating: 7, count: 512 << 10)

    init(_ socket: SimulatedSocket) {
        self.socket = socket
        socket.handler = self
    }

    /// What the tunnel has read of it.
    var taken: Int { socket.writtenBytes - socket.unreadBytes }

    func transportReady(_ transport: any StreamTransport, failed: Bool) {
        while transport.isWritable {
            guard case .bytes = bytes.withUnsafeMutableBytes({ transport.write($0) }) else { return }
        }
    }
}

@Suite struct FairnessTests {
    @Test func `sixteen transfers through one link differ by three turns at most`() throws {
        let peers = try TwoPeers()
        let targets = try RecordingListener(at: TwoPeers.target, in: peers.world)
        try peers.map(.listener)
        peers.connect()
        peers.run(seconds: 1)
        let address = SocketAddress(ipv4: 0x7f00_0001, port: 1080)
        let quality = LineQuality(latency: 50_000...150_000, capacity: 400 << 10)
        let pushers = (0..<16).map { _ in
            Pusher(peers.world.dial(address, from: nil, quality: quality))
        }
        try peers.until("each has had its share") { pushers.allSatisfy { $0.taken >= 4 << 20 } }
        withExtendedLifetime(targets) {}
        let taken = pushers.map(\.taken)
        let (least, most) = (try #require(taken.min()), try #require(taken.max()))
        // A turn is 128 KiB: one under way, one owed, and the first visits.
        #expect(most - least <= 3 * 128 << 10, "\(taken.map { $0 >> 10 })")
    }
}
