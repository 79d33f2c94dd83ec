import Mux
import Reactor
import Simulation
import Testing
import Tunnel

/// Says the same bytes again and again, as fast as they are taken.
private final class Raw: TransportHandler {
    let socket: SimulatedSocket
    private var next: () -> [UInt8]
    private var waiting: [UInt8] = []

    init(_ socket: SimulatedSocket, next: @escaping () -> [UInt8]) {
        self.socket = socket
        self.next = next
        socket.handler = self
    }

    func transportReady(_ transport: any StreamTransport, failed: Bool) {
        var heard = [UInt8](repeating: 0, count: 64 << 10)
        while transport.isReadable {
            guard case .bytes = heard.withUnsafeMutableBytes({ transport.read(into: $0) }) else { break }
        }
        while transport.isWritable {
            if waiting.isEmpty { waiting = next() }
            guard !waiting.isEmpty,
                case .bytes(let count) = waiting.withUnsafeMutableBytes({ transport.write($0) })
            else { return }
            waiting.removeFirst(count)
        }
    }
}

/// Counts what a peer opens, by the turn, and takes the time that it costs.
private final class Counter: SubConnectionRecorder {
    private final class Record: SubConnectionRecord {
        weak var connection: SubConnection?
        let isDurable = true
        let totals = UnsafeMutablePointer<UInt64>.allocate(capacity: 3)
        deinit { totals.deallocate() }
        func ended(_ reason: CloseReason, counts: ByteCounts) {}
        func settled(other: ByteCounts?) {}
    }

    private let world: SimulatedWorld
    private let cost: UInt64
    private var inTurn = 0
    private var turn = -1
    private(set) var most = 0
    private(set) var all = 0

    init(_ world: SimulatedWorld, cost: UInt64) {
        self.world = world
        self.cost = cost
    }

    func opening(mapping: UInt32, client: ClientAddress, of peer: Peer) -> (any SubConnectionRecord)? {
        if turn != world.turns { (turn, inTurn) = (world.turns, 0) }
        inTurn += 1
        most = max(most, inTurn)
        all += 1
        world.suspend(cost)
        return Record()
    }

    func refused(_ cause: RefusalCause, _ count: Int, mapping: UInt32, of peer: Peer) {}
}

/// A server of several nodes, one of which transfers.
private final class Scene {
    let peers: TwoPeers
    private var others: [Peer] = []
    private var ends: [AnyObject] = []
    private let targets: RecordingListener
    private var pushers: [Pusher] = []
    private static let near = LineQuality(latency: 5_000...15_000, capacity: 1 << 20)

    init() throws {
        peers = try TwoPeers()
        targets = try RecordingListener(at: TwoPeers.target, in: peers.world)
    }

    /// A node whose clients keep its link full. Each byte takes the server half a nanosecond.
    func addTransfer(at port: UInt16) throws -> [Pusher] {
        let server = Peer(name: "busy", hasAuthority: true, loop: peers.loop)
        let node = Peer(name: "busy", hasAuthority: false, loop: peers.loop)
        server.newPeerListener(
            listen: try Endpoint(domain: .tcp, address: "127.0.0.1:\(port)"),
            forward: try Endpoint(domain: .tcp, address: "10.0.0.1:80"))
        let pair = peers.world.connectedPair(Self.near)
        for (peer, socket, role) in [(server, pair.0, Role.accepter), (node, pair.1, .dialer)] {
            let records = PlainRecords(pool: peers.loop.chunks)
            records.onFeed = { [world = peers.world] in world.suspend(UInt64($0 / 2)) }
            peer.adopt(socket, records: records, role: role)
        }
        others += [server, node]
        let address = SocketAddress(ipv4: 0x7f00_0001, port: port)
        try peers.until("it listens") { peers.world.listener(at: address) != nil }
        return (0..<4).map { _ in Pusher(peers.world.dial(address, from: nil, quality: Self.near)) }
    }

    /// One that is measured, and what else there is.
    func transfer() throws { pushers = try addTransfer(at: 1080) }

    /// Another node, whose words are `next`'s. The mapping's id is 1.
    @discardableResult
    func addRaw(cost: UInt64 = 60_000, next: @escaping () -> [UInt8]) throws -> (peer: Peer, opened: Counter)
    {
        let server = Peer(name: "raw", hasAuthority: true, loop: peers.loop)
        server.newPeerListener(
            listen: try Endpoint(domain: .tcp, address: "127.0.0.1:1091"),
            forward: try Endpoint(domain: .tcp, address: "10.0.0.1:80"))
        let counter = Counter(peers.world, cost: cost)
        server.recorder = counter
        let pair = peers.world.connectedPair(Self.near)
        ends += [Raw(pair.1, next: next), counter]
        server.adopt(pair.0, records: PlainRecords(pool: peers.loop.chunks), role: .accepter)
        others.append(server)
        return (server, counter)
    }

    /// Bytes of the transfer in so many milliseconds.
    func moved(milliseconds: UInt64) -> Int {
        let before = pushers.reduce(0) { $0 + $1.taken }
        peers.world.run(peers.loop, for: milliseconds * 1_000_000)
        return pushers.reduce(0) { $0 + $1.taken } - before
    }
}

/// Frames of a dialler, in plain records.
private func record(_ frames: [[UInt8]]) -> [UInt8] {
    let payload = frames.flatMap { $0 }
    return [UInt8(payload.count >> 8), UInt8(payload.count & 0xff)] + payload
}

private func frame(_ kind: FrameKind, generation: UInt32, slot: UInt32 = 0, _ payload: [UInt8]) -> [UInt8] {
    var header = [UInt8](repeating: 0, count: 8)
    header.withUnsafeMutableBytes {
        Frame.writeHeader(
            kind, stream: StreamID(rawValue: generation << 16 | slot), payloadBytes: payload.count,
            at: $0.baseAddress!)
    }
    return header + payload
}

private func open(_ generation: UInt32, window: UInt32 = 1_024) -> [UInt8] {
    frame(
        .open, generation: generation,
        big(UInt32(1)) + big(window) + big(window) + [4, 0] + big(UInt16(50_000))
            + big(UInt64(0x7f00_0001) << 32)
            + big(UInt64(0)))
}

/// A client that connects and resets, a hundred times a record.
private func openings(_ limit: Int = .max) -> () -> [UInt8] {
    var (generation, said) = (UInt32(0), 0)
    return {
        guard said < limit else { return [] }
        let frames = (0..<100).flatMap { _ in
            generation = generation % 0x7fff + 1
            return [open(generation), frame(.close, generation: generation, [3] + big(UInt64(0)))]
        }
        said += 100
        return record(frames)
    }
}

@Suite struct SharedTurnTests {
    @Test func `openings have a share of a turn beside others, all of one alone, and none is lost`() throws {
        let alone = try Scene()
        let first = try alone.addRaw(cost: 0, next: openings(2_000))
        try alone.peers.until("all were opened") { first.opened.all == 2_000 }
        #expect((15...25).contains(first.opened.most), "\(first.opened.most)")

        let beside = try Scene()
        try beside.transfer()
        _ = beside.moved(milliseconds: 50)
        let second = try beside.addRaw(cost: 0, next: openings(2_000))
        try beside.peers.until("all were opened") { second.opened.all == 2_000 }
        #expect((1...6).contains(second.opened.most), "\(second.opened.most)")
    }

    @Test func `a transfer beside an endless flood of openings keeps what it has beside another transfer`()
        throws
    {
        let fair = try Scene()
        try fair.transfer()
        let other = try fair.addTransfer(at: 1090)
        _ = fair.moved(milliseconds: 50)
        let reference = fair.moved(milliseconds: 200)
        withExtendedLifetime(other) {}

        let hostile = try Scene()
        try hostile.transfer()
        _ = hostile.moved(milliseconds: 50)
        let flood = try hostile.addRaw(next: openings())
        _ = hostile.moved(milliseconds: 50)
        let moved = hostile.moved(milliseconds: 200)
        #expect(flood.opened.all > 200, "the flood has its share too")
        #expect(
            Double(moved) >= 0.8 * Double(reference), "\(moved) beside it, \(reference) beside a transfer")
    }

    @Test func `what is held back in the middle of a record comes in order, once`() throws {
        let scene = try Scene()
        try scene.transfer()
        _ = scene.moved(milliseconds: 50)
        // Frames of a few bytes, so that its turns end in the middle of records.
        var said = 0
        var generation: UInt32 = 0
        let content = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var received: [UInt8] = []
        let target = try RecordingListener(
            at: SocketAddress(ipv4: 0x0a00_0001, port: 81), in: scene.peers.world)
        let raw = try scene.addRaw(next: {
            var frames: [[UInt8]] = []
            if generation == 0 {
                generation = 1
                frames.append(open(1, window: 262_144))
            }
            while said < content.count, frames.count < 1_000 {
                let count = min(1 + said % 7, content.count - said)
                frames.append(frame(.data, generation: 1, [UInt8](content[said..<said + count])))
                said += count
            }
            return frames.isEmpty ? [] : record(frames)
        })
        raw.peer.apply(
            [
                Mapping(
                    id: 1, kind: .peerListener, listen: try Endpoint(domain: .tcp, address: "127.0.0.1:1091"),
                    forward: try Endpoint(domain: .tcp, address: "10.0.0.1:81"))
            ], revision: 9)
        try scene.peers.until("all has come") {
            received = target.accepted.first?.received ?? []
            return received.count == content.count
        }
        #expect(received == content)
    }
}
