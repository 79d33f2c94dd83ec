import Mux
import Reactor
import Simulation
import Tunnel

/// A correct end whose link goes to somebody else's program: whatever that says, the victim lives, its link ends with a
/// violation or stays correct, and afterwards a correct end finds everything in order.
final class HostileSimulation {
    var random: SeededRandom
    let world: SimulatedWorld
    let loop: EventLoop
    private let server: Peer
    private let node: Peer
    private let isServerVictim: Bool
    private let role: Role
    private var violations: [Violation] = []
    private var end: LinkEnd?
    private var recorders: [Recorder] = []
    private let target: RecordingListener
    private static let targetAddress = SocketAddress(ipv4: 0x0a00_0001, port: 80)
    private var ids: [UInt32] = []
    /// Parts of the last right plan for the node.
    private var forwards: [UInt32] = []

    private var victim: Peer { isServerVictim ? server : node }

    init(seed: UInt64) throws {
        random = SeededRandom(seed: ~seed)
        world = SimulatedWorld(seed: seed)
        loop = EventLoop(poller: world, network: world, mailbox: try Mailbox())
        isServerVictim = random.oneIn(2)
        role = random.oneIn(2) ? .dialer : .accepter
        var settings = TunnelSettings()
        settings.maximumMappings = 4 + random.below(20)
        if random.oneIn(4) { settings.maximumStreams = 1 + random.below(8) }
        server = Peer(name: "server", hasAuthority: true, settings: settings, loop: loop)
        node = Peer(name: "node", hasAuthority: false, settings: settings, loop: loop)
        target = try RecordingListener(at: Self.targetAddress, in: world)
    }

    deinit {
        world.end()
    }

    func run() throws {
        target.onAccept = { [unowned self] recorder in
            recorder.send([UInt8](repeating: 2, count: random.size(bits: 14)))
            if random.oneIn(2) { recorder.end() }
        }
        for number in 0..<3 {
            let listen = try Endpoint(domain: .tcp, address: "127.0.0.1:\(1_080 + number)")
            let forward = try Endpoint(domain: .tcp, address: "10.0.0.1:80")
            ids.append(
                number == 1
                    ? server.newPeerListener(listen: listen, forward: forward)
                    : server.newListener(listen: listen, forward: forward))
        }
        for _ in 0..<(1 + random.below(2)) { try attack() }
        try recover()
    }

    private func attack() throws {
        let pair = world.connectedPair(LineQuality.random(&random))
        let attacker = HostileEnd(pair.0, role: role.other, simulation: self)
        victim.onViolation = { [weak self] in self?.violations.append($0) }
        victim.onLink = { [weak self] in self?.end = $0 }
        violations = []
        end = nil
        let records = PlainRecords(pool: loop.chunks)
        victim.adopt(pair.1, records: records, role: role)
        if !isServerVictim { attacker.control(rightControl()) }
        let wrongOneIn = random.pick([3, 20, 100, 1_000])
        for _ in 0..<(5 + random.below(60)) {
            world.after(UInt64(random.size(bits: 22))) { [weak self] in
                guard let self, !attacker.socket.isClosed else { return }
                if random.oneIn(wrongOneIn) { attacker.sayWrong() } else { attacker.sayRight() }
                if random.oneIn(6) { visit() }
            }
        }
        world.run(loop, for: 20_000_000)
        try check(records)
        if let violation = violations.first, end == nil || end?.word == .violation {
            let isOver = world.run(loop, within: 5_000_000_000) { end != nil }
            if !isOver { throw SimulationFailure("the link lives on after \(violation)") }
        }
        if random.oneIn(2) { attacker.socket.reset() } else { attacker.socket.close() }
        let isOver = world.run(loop, within: 100_000_000_000) { !victim.hasLinks }
        try check(records)
        if !isOver { throw SimulationFailure("the link is never given up") }
        let allOver = world.run(loop, within: 100_000_000_000) { recorders.allSatisfy(\.isOver) }
        if !allOver { throw SimulationFailure("a client sees no end") }
        for recorder in recorders + target.accepted { recorder.close() }
        recorders = []
    }

    /// A client at one of the victim's listeners.
    private func visit() {
        let bound = world.listeners.filter { $0.port != 80 }.sorted { "\($0)" < "\($1)" }
        guard !bound.isEmpty else { return }
        let client = Recorder(world.dial(random.pick(bound), from: nil))
        client.send([UInt8](repeating: 1, count: random.size(bits: 14)))
        if random.oneIn(2) { client.end() }
        recorders.append(client)
    }

    private func check(_ records: PlainRecords) throws {
        if let fault = world.faults.first { throw SimulationFailure(fault) }
        if let broken = victim.link?.multiplexer.brokenInvariant { throw SimulationFailure(broken) }
        if records.mostOutput > 5 << 20 {
            throw SimulationFailure("\(records.mostOutput) bytes wait for an end that does not read")
        }
    }

    /// A correct end comes: both have what the server declared, and bytes pass.
    private func recover() throws {
        target.onAccept = nil
        let pair = world.connectedPair()
        server.adopt(pair.0, records: PlainRecords(pool: loop.chunks), role: .accepter)
        node.adopt(pair.1, records: PlainRecords(pool: loop.chunks), role: .dialer)
        let isConfigured = world.run(loop, within: 100_000_000_000) {
            server.listenerStates == [
                ids[0]: .active(bound: "127.0.0.1:1080"), ids[1]: .active(bound: "127.0.0.1:1081"),
                ids[2]: .active(bound: "127.0.0.1:1082"),
            ]
                && world.listeners.count == 4
        }
        guard isConfigured else {
            throw SimulationFailure("not as declared: \(server.listenerStates), \(world.listeners)")
        }
        for port in [1_080, 1_081] as [UInt16] {
            let before = target.accepted.count
            let client = Recorder(world.dial(SocketAddress(ipv4: 0x7f00_0001, port: port), from: nil))
            client.send("hello")
            client.end()
            let isHeard = world.run(loop, within: 20_000_000_000) {
                target.accepted.count == before + 1 && target.accepted[before].hasHeardEnd
            }
            guard isHeard, target.accepted[before].text == "hello" else {
                throw SimulationFailure("no byte passes")
            }
            target.accepted[before].send("hi")
            target.accepted[before].end()
            guard world.run(loop, within: 20_000_000_000, until: { client.hasHeardEnd }), client.text == "hi"
            else {
                throw SimulationFailure("no byte comes back")
            }
            client.close()
            target.accepted[before].close()
        }
        server.stop(retryAfterMilliseconds: 0)
        node.stop(retryAfterMilliseconds: 0)
        world.run(loop, for: 120_000_000_000)
        if let fault = world.faults.first { throw SimulationFailure(fault) }
        let open = world.openSockets.map(\.index)
        if !open.isEmpty { throw SimulationFailure("transports are left open: \(open)") }
        if world.listeners.count != 1 { throw SimulationFailure("listeners are left") }
    }

    // MARK: What the attacker says

    /// One that the victim dials for.
    func rightMapping() -> UInt32? {
        let known = isServerVictim ? [ids[1]] : forwards
        return known.isEmpty ? nil : random.pick(known)
    }

    /// A plan for a node, a report for a server.
    func rightControl() -> [UInt8] {
        if isServerVictim {
            return ControlMessage.report(
                revision: server.revision,
                states: random.oneIn(2)
                    ? [ids[1]: .active(bound: "127.0.0.1:1")]
                    : [ids[1]: .failed(error: "no", retrySeconds: 9)]
            ).encoded
        }
        return plan(parts: random.below(8))
    }

    private static let part =
        #"{"id":1,"kind":"listener","forward":{"domain":"tcp","addr":"10.0.0.1:80"}}"#

    private func plan(parts count: Int) -> [UInt8] {
        var parts: [Part] = []
        forwards = []
        for number in 0..<count {
            guard
                let endpoint = try? Endpoint(
                    domain: .tcp,
                    address: random.pick([
                        "10.0.0.1:80", "127.0.0.1:\(2_000 + random.below(5))", "10.0.0.9:9", "nowhere:1",
                        ":0",
                    ]))
            else { continue }
            let id = UInt32(number) + 1
            let isForward = random.oneIn(2)
            if isForward { forwards.append(id) }
            parts.append(
                isForward
                    ? Part(id: id, kind: .listener, task: .forward(endpoint))
                    : Part(id: id, kind: .peerListener, task: .listen(endpoint)))
        }
        return ControlMessage.plan(revision: Int64(random.below(9)), parts: parts).encoded
    }

    func wrongControl() -> [UInt8] {
        let texts = [
            "{", "[]", "null", "{}", "\u{0}", #"{"type":"plan"}"#,
            #"{"type":"plan","revision":-1,"mappings":[]}"#,
            #"{"type":"plan","revision":1e99,"mappings":[]}"#,
            #"{"type":"other","revision":1,"mappings":[]}"#,
            #"{"type":"report","revision":1,"mappings":[{"id":1,"state":"active"},{"id":1,"state":"active"}]}"#,
            #"{"type":"report","revision":1,"mappings":[{"id":4294967295,"state":"active","bound":"x"}]}"#,
            #"{"type":"plan","revision":1,"mappings":[{"id":1,"kind":"listener","listen":{"domain":"tcp","addr":"x:1"}}]}"#,
            String(repeating: "[", count: 20_000),
        ]
        switch random.below(6) {
        case 0:
            return isServerVictim ? plan(parts: 2) : ControlMessage.report(revision: 1, states: [:]).encoded
        case 1: return plan(parts: 100)
        case 2:
            var bytes = rightControl()
            bytes[random.below(bytes.count)] = UInt8(random.below(256))
            return bytes
        case 3: return Array(#"{"type":"plan","revision":1,"mappings":[\#(Self.part),\#(Self.part)]}"#.utf8)
        default: return Array(random.pick(texts).utf8)
        }
    }
}
