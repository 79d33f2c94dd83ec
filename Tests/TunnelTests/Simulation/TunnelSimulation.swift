import Glibc
import Mux
import Reactor
import Simulation
import Tunnel

/// Two ends of the tunnel, their clients, their targets and the network between them, all from one seed.
final class TunnelSimulation {
    var random: SeededRandom
    let world: SimulatedWorld
    let loop: EventLoop
    let scratch = SharedScratch()
    var settings = TunnelSettings()
    let moods: Moods

    var server: End
    var node: End
    var ends: [End] = []
    var links: [Link] = []
    var isConnecting = false
    var plans: [Plan] = []
    var revision: Int64 = 0
    var portsUsed = 0
    var targets: [Target] = []
    var calls: [Call] = []
    var targetActors: [Actor] = []
    var bytesLeft = 2 << 20
    var restartsLeft = 2
    var takeoversLeft = 2
    var isFinishing = false
    /// A link has taken the place of one that stood.
    private(set) var hasTakenOver = false
    private(set) lazy var book = RecordBook(self)
    private var faults: [String] = []

    /// What may happen in this seed. Calm ones show that nothing is lost, wild ones that nothing breaks.
    struct Moods {
        var cuts = false
        var takeovers = false
        var changes = false
        var restarts = false
        var fewStreams = false
        var heavy = false
        var unrecorded = false
    }

    init(seed: UInt64) throws {
        random = SeededRandom(seed: seed)
        world = SimulatedWorld(seed: seed)
        loop = EventLoop(poller: world, network: world, mailbox: try Mailbox())
        var moods = Moods()
        moods.cuts = random.oneIn(3)
        moods.takeovers = random.oneIn(5)
        moods.changes = random.oneIn(2)
        moods.restarts = random.oneIn(3)
        moods.fewStreams = random.oneIn(12)
        moods.heavy = random.oneIn(10)
        moods.unrecorded = random.oneIn(6)
        self.moods = moods
        if moods.fewStreams { settings.maximumStreams = 1 + random.below(6) }
        if random.oneIn(4) { settings.linkQueueBytes = 1 << (10 + random.below(6)) }
        server = End(Peer(name: "server", hasAuthority: true, settings: settings, loop: loop))
        node = End(Peer(name: "node", hasAuthority: false, settings: settings, loop: loop))
        begin(server)
        begin(node)
        world.onAccept = { [unowned self] in accepting($1, $2) }
    }

    deinit {
        world.end()
    }

    /// The whole life: traffic and disturbances; then whoever does not stall finishes, while others do; then all; then
    /// both ends stop.
    func run() throws {
        try makeTargets()
        for _ in 0..<(1 + random.below(4)) { addMapping() }
        connect()
        try pass(steps: 5 + random.below(30))
        try finishAllButStalled()
        try finishAll()
        try checkEverythingIsOver()
    }

    func fault(_ what: String) {
        faults.append(what)
    }

    /// Throws what was found so far.
    func check() throws {
        guard let fault = (faults + world.faults).first else { return }
        throw SimulationFailure("\(fault), at \(world.clock / 1_000_000) ms, turn \(world.turns)")
    }

    func size() -> Int {
        if random.oneIn(8) { return 0 }
        let most = moods.heavy && random.oneIn(6) ? 21 : random.oneIn(16) ? 18 : 14
        let size = min(Pattern.keyBytes + random.size(bits: most), max(bytesLeft / 2, 2 * Pattern.keyBytes))
        bytesLeft -= size
        return size
    }

    // MARK: Ends and links

    func begin(_ end: End) {
        ends.append(end)
        end.peer.onViolation = { [weak self] in self?.fault("a violation: \($0)") }
        guard !end.peer.hasAuthority else {
            end.peer.recorder = book
            return
        }
        // As a node's connector does.
        end.peer.onLink = { [weak self, weak end] reason in
            guard let self, let end, reason != nil, end.peer.link == nil else { return }
            reconnect(end)
        }
        end.peer.onGoAway = { [weak self, weak end] _, _ in
            guard let self, let end else { return }
            reconnect(end)
        }
    }

    func reconnect(_ end: End) {
        guard end === node, !isConnecting, !end.isStopping, !server.isStopping else { return }
        isConnecting = true
        world.after(UInt64(random.size(bits: random.oneIn(4) ? 31 : 24))) { [weak self] in self?.connect() }
    }

    /// A new connection between the present ends; they take it over one after the other.
    func connect() {
        isConnecting = true
        let quality = LineQuality.random(&random)
        let pair = world.connectedPair(quality)
        let records = [PlainRecords(pool: loop.chunks), PlainRecords(pool: loop.chunks)]
        let roles: [Role] = random.oneIn(2) ? [.dialer, .accepter] : [.accepter, .dialer]
        let link = Link(
            number: links.count, ends: [server, node], sockets: [pair.0, pair.1], records: records,
            roles: roles)
        links.append(link)
        let delays = [0, UInt64(random.size(bits: 26))]
        let isServerFirst = random.oneIn(2)
        for side in 0..<2 {
            world.after(delays[(side == 0) == isServerFirst ? 0 : 1]) { [weak self] in self?.adopt(link, side)
            }
        }
        world.after(delays[1] + 1) { [weak self] in
            guard let self else { return }
            isConnecting = false
            if node.peer.link == nil { reconnect(node) }
        }
    }

    private func adopt(_ link: Link, _ side: Int) {
        let end = link.ends[side]
        guard !end.isStopping else {
            doom(link, "its end has stopped")
            return link.sockets[side].close()
        }
        if end.peer.link != nil, let old = end.link {
            hasTakenOver = true
            doom(old, "taken over")
        }
        world.trace("adopt link \(link.number) at \(end.peer.name), sockets \(link.sockets.map(\.index))")
        end.link = link
        end.linkedAt = world.clock
        end.peer.adopt(link.sockets[side], records: link.records[side], role: link.roles[side])
        link.adopted(side)
        if side == 1 { callForgotten() }
    }

    /// What lives on this link, and what is still opened on it, may end early.
    func doom(_ link: Link, _ why: String) {
        world.trace("doom link \(link.number): \(why)")
        link.isDoomed = true
        for call in calls where call.link === link && !call.isOver { call.disturb(why) }
    }

    // MARK: Calls

    /// A client's connection is about to be accepted.
    private func accepting(_ client: SimulatedSocket, _ accept: () -> Void) {
        guard client.tag > 0 else { return accept() }
        let call = calls[client.tag - 1]
        // A server that was restarted may have given the id to another mapping; its clients then meet the earlier one's listener.
        let plan = plans.first {
            $0.mapping.id == call.mapping && ($0.mapping.kind == .listener) == call.isServers
        }
        guard let plan else {
            call.disturb("mapping removed")
            return accept()
        }
        let end = plan.mapping.kind == .listener ? server : node
        call.end = end
        let link = end.peer.link
        let canOpen = link?.canOpen ?? false
        call.link = link == nil ? nil : end.link
        world.trace(
            "accept client \(call.client.key) socket \(client.index) on link \(call.link?.number ?? -1)")
        accept()
        if client.other.isClosed {
            call.disturb("refused")
            let mayLackPlan = !end.peer.hasAuthority && world.clock - end.linkedAt < 5_000_000_000
            if canOpen, !mayLackPlan, call.link?.isDoomed == false, !book.refused.contains(call.number) {
                fault("refused for no reason: \(call.client.description)")
            }
        } else if let link = call.link {
            if link.isDoomed { call.disturb("opened on a doomed link") }
            if link.isDraining { call.disturb("opened on a link that is being given up") }
            if plan.revision > node.peer.revision { call.disturb("the plan is under way") }
            if moods.fewStreams { call.disturb("few streams") }
        } else {
            fault("accepted without a link")
        }
    }

    func newTargetActor(_ socket: SimulatedSocket, of target: Target) -> Actor {
        let actor = Actor(
            key: UInt32(targetActors.count * 2 + 1), socket: socket, target: target, simulation: self)
        targetActors.append(actor)
        world.trace("target \(actor.key) of \(target.manner) \(target.number), socket \(socket.index)")
        return actor
    }
}

/// One turn's memory for all actors.
final class SharedScratch {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 64)
    let vectors = UnsafeMutableBufferPointer<iovec>.allocate(capacity: 1)

    deinit {
        memory.deallocate()
        vectors.deallocate()
    }
}
