import Reactor
import Simulation
import Testing
import Tunnel

/// Two transfers and somebody who talks, through one link.
private final class Scene {
    static let address = SocketAddress(ipv4: 0x7f00_0001, port: 1080)
    static let millisecond: UInt64 = 1_000_000
    let peers: TwoPeers
    let targets: RecordingListener
    let pushers: [Pusher]
    let talker: Recorder

    init() throws {
        let peers = try TwoPeers()
        self.peers = peers
        targets = try RecordingListener(at: TwoPeers.target, in: peers.world)
        try peers.map(.listener)
        peers.connect()
        peers.run(seconds: 1)
        let quality = LineQuality(latency: 50_000...150_000, capacity: 400 << 10)
        pushers = (0..<2).map { _ in Pusher(peers.world.dial(Self.address, from: nil, quality: quality)) }
        talker = peers.client()
    }

    var taken: Int { pushers.reduce(0) { $0 + $1.taken } }

    /// The most that waited for the link at once, of the end that the transfers come to.
    func mostWaiting(for milliseconds: Int, saying bytes: Int) -> Int {
        let records = peers.records[0]
        peers.world.heaviest = .light
        records.forgetMostOutput()
        for _ in 0..<milliseconds {
            if bytes > 0 { talker.send([UInt8](repeating: 7, count: bytes)) }
            peers.world.run(peers.loop, for: Self.millisecond)
        }
        return records.mostOutput
    }
}

@Suite struct TalkTests {
    /// A turn, a record begun, and what is due.
    private static let short = 72 << 10

    @Test func `transfers take short turns while somebody talks beside them, and long ones again after that`()
        throws
    {
        let scene = try Scene()
        try scene.peers.until("the transfers run") { scene.taken > 8 << 20 }
        #expect(scene.mostWaiting(for: 30, saying: 0) > 128 << 10)
        #expect(scene.peers.world.heaviest == .bulk)
        _ = scene.mostWaiting(for: 5, saying: 10)
        let before = scene.taken
        #expect(scene.mostWaiting(for: 60, saying: 10) <= Self.short)
        #expect(scene.taken > before)
        #expect(scene.peers.world.heaviest == .bulkBesideTalk)
        _ = scene.mostWaiting(for: 25, saying: 0)
        #expect(scene.mostWaiting(for: 30, saying: 0) > 128 << 10)
    }

    /// The node's end: transfers come over the link, and a target answers now and then.
    @Test func `who talks is sent before more of a transfer is opened`() throws {
        let scene = try Scene()
        try scene.peers.until("the transfers run") {
            scene.taken > 8 << 20 && scene.targets.accepted.count == 3
        }
        let target = try #require(scene.targets.accepted.last)
        let (world, node) = (scene.peers.world, scene.peers.records[1])
        var lastFed = -1
        var (beside, first) = (0, 0)
        node.onFeed = { if $0 > 16 << 10 { lastFed = world.turns } }
        node.onWrite = { payload in
            // Several answers may leave in one record; nothing else has ten of that byte in a row.
            let runs = payload.split(omittingEmptySubsequences: true) { $0 != 99 }
            let answers = runs.reduce(0) { $0 + $1.count / 10 }
            // What was fed in this turn was opened before them.
            if lastFed == world.turns { beside += answers } else { first += answers }
        }
        for _ in 0..<200 {
            target.send([UInt8](repeating: 99, count: 10))
            // Its answer and more of the transfers come while the program is at something else.
            world.suspend(400_000)
            world.run(scene.peers.loop, for: Scene.millisecond)
        }
        #expect(first + beside == 200)
        #expect(beside <= 2, "a talk begins beside what it cannot be before")
    }

    @Test(arguments: [(30_000, TurnLoad.light), (200_000, .bulk)])
    func `an answer of two records is no transfer, a larger one is`(bytes: Int, load: TurnLoad) throws {
        let peers = try TwoPeers()
        let targets = try RecordingListener(at: TwoPeers.target, in: peers.world)
        try peers.map(.listener)
        peers.connect()
        peers.run(seconds: 1)
        let client = peers.client()
        try peers.until("the target is there") { targets.accepted.count == 1 }
        peers.world.heaviest = .light
        targets.accepted[0].send([UInt8](repeating: 7, count: bytes))
        try peers.until("the answer is there") { client.received.count == bytes }
        #expect(peers.world.heaviest == load)
    }

    @Test func `who says much does not talk`() throws {
        let scene = try Scene()
        try scene.peers.until("the transfers run") { scene.taken > 8 << 20 }
        #expect(scene.mostWaiting(for: 60, saying: 8_000) > 128 << 10)
    }
}
