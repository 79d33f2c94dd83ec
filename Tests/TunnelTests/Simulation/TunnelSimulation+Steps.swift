import Mux
import Reactor
import Simulation
import Tunnel

// What happens, at random.
extension TunnelSimulation {
    func makeTargets() throws {
        for number in 0..<(2 + random.below(5)) {
            let manner: Target.Manner =
                moods.heavy && number == 0
                ? .stall
                : random.oneIn(3)
                    ? random.pick(Target.Manner.allCases) : random.pick([.echo, .sink, .source, .answer])
            targets.append(try Target(number, manner, simulation: self))
        }
    }

    /// So many random steps, each in a turn of the loop.
    func pass(steps: Int) throws {
        var left = steps
        func next() {
            guard left > 0 else { return }
            left -= 1
            step()
            let gap = random.size(bits: random.oneIn(16) ? 32 : 24)
            world.after(UInt64(gap)) { next() }
        }
        world.after(1) { next() }
        while left > 0 {
            _ = world.run(loop, within: 600_000_000_000) { left == 0 || left % 8 == 1 }
            try checkInvariants()
            let now = left
            _ = world.run(loop, within: 600_000_000_000) { left != now || left == 0 }
            try check()
        }
    }

    private func step() {
        switch random.below(100) {
        case 0..<60: for _ in 0..<random.size(bits: 2) { call() }
        case 60..<70: if let call = anyCall() { poke(call) }
        case 70..<74:
            if let link = links.last {
                world.hold(link.sockets[random.below(2)], for: UInt64(random.size(bits: 28)))
            }
        case 74..<80:
            if moods.cuts, let link = links.last { cut(random.oneIn(4) ? random.pick(links) : link) }
        case 80..<83: if moods.takeovers { takeOver() }
        case 83..<93: if moods.changes { change() }
        case 93..<98: if moods.restarts { restart() }
        default: break
        }
    }

    // MARK: Clients

    private func call() {
        guard let plan = plans.isEmpty ? nil : random.pick(plans) else { return }
        let isUnderWay = plan.revision > node.peer.revision
        call(
            plan.mapping.id, at: plan.mapping.kind == .listener ? server : node, to: plan.target,
            isUnderWay ? "the plan is under way" : nil)
    }

    /// Clients of a listener that the node still has and the server knows nothing of, at the time when the two meet.
    func callForgotten() {
        let ids = node.peer.listenerStates.keys.sorted()
        guard let id = ids.first(where: { id in !plans.contains { $0.mapping.id == id } }) else { return }
        for _ in 0..<3 {
            world.after(UInt64(random.size(bits: 22))) { [weak self] in
                guard let self else { return }
                call(id, at: node, to: targets[0], "its mapping is forgotten")
            }
        }
    }

    private func call(_ mapping: UInt32, at end: End, to target: Target, _ disturbance: String?) {
        guard case .active(let bound)? = end.peer.listenerStates[mapping], let address = Self.address(bound)
        else { return }
        let number = calls.count
        let socket = world.dial(
            address, from: SocketAddress(ipv4: 0x0a09_0000 + UInt32(number), port: 40_000))
        socket.tag = number + 1
        let client = Actor(key: UInt32(number * 2 + 2), socket: socket, target: target, simulation: self)
        client.toSend = size()
        if target.manner == .stall, moods.heavy, random.oneIn(4) { client.toSend = 2 << 20 }
        client.endWhen = random.pick([.sent, .sent, .heardEnd, .told])
        client.closesAbruptly = random.oneIn(16)
        if random.oneIn(16) { client.abortAfter = 1 + random.below(20_000) }
        client.isStalled = random.oneIn(16)
        if random.oneIn(4) { client.readBytes = 1 + random.below(5_000) }
        let call = Call(number: number, mapping: mapping, isServers: end === server, client: client)
        client.call = call
        if let disturbance { call.disturb(disturbance) }
        calls.append(call)
    }

    private static func address(_ text: String) -> SocketAddress? {
        guard let colon = text.lastIndex(of: ":") else { return SocketAddress(unix: text) }
        let host = text[..<colon].drop { $0 == "[" }.prefix { $0 != "]" }
        return SocketAddress(numeric: String(host), port: UInt16(text[text.index(after: colon)...]) ?? 0)
    }

    private func anyCall() -> Call? {
        calls.isEmpty ? nil : calls[calls.count - 1 - random.below(min(calls.count, 16))]
    }

    private func poke(_ call: Call) {
        guard let actor = random.oneIn(2) ? call.client : call.targetActor else { return }
        switch random.below(4) {
        case 0: actor.abort()
        case 1: if actor.isClient { actor.endWhen = .sent }
        default: actor.isStalled.toggle()
        }
        actor.act()
    }

    // MARK: Links

    private func cut(_ link: Link) {
        guard !link.isDoomed else { return }
        doom(link, "cut")
        let side = random.below(2)
        let bytes = random.size(bits: 15) - 1
        world.breakLine(link.sockets[side], after: bytes, random.pick(SimulatedWorld.Break.allCases))
    }

    /// A new session while the old one stands.
    private func takeOver() {
        guard takeoversLeft > 0, !isConnecting else { return }
        takeoversLeft -= 1
        connect()
    }

    private func restart() {
        guard restartsLeft > 0, !isConnecting else { return }
        restartsLeft -= 1
        let isServer = random.oneIn(2)
        let old = isServer ? server : node
        stop(old)
        let new = End(Peer(name: old.peer.name, hasAuthority: isServer, settings: settings, loop: loop))
        begin(new)
        if isServer {
            server = new
            revision += 1
            if plans.count > 1, random.oneIn(2) {
                // It starts with less than it had.
                let gone = plans.remove(at: random.below(plans.count))
                for call in calls where call.mapping == gone.mapping.id && !call.isOver {
                    call.disturb("mapping removed")
                }
            }
            new.peer.apply(plans.map(\.mapping), revision: revision)
            if node.peer.link == nil { reconnect(node) }
        } else {
            node = new
            reconnect(new)
        }
    }

    /// The program stops in order: what is open goes on to its end.
    func stop(_ end: End) {
        end.isStopping = true
        for link in links where link.ends.contains(where: { $0 === end }) {
            link.isDraining = true
            // Those that were opened from the other end, and may not have arrived.
            for call in calls
            where call.link === link && !call.isOver && call.end !== end && call.targetActor == nil {
                call.disturb("opened while the other end stopped")
            }
        }
        for call in calls where call.end == nil && !call.isOver { call.disturb("its listener was closed") }
        end.peer.stop(retryAfterMilliseconds: 100)
    }

    // MARK: Mappings

    func addMapping() {
        guard plans.count < 8 else { return }
        let number = newPort()
        let target = random.pick(targets)
        guard let listen = listenEndpoint(number) else { return }
        let isListener = random.oneIn(2)
        let id =
            isListener
            ? server.peer.newListener(listen: listen, forward: target.endpoint)
            : server.peer.newPeerListener(listen: listen, forward: target.endpoint)
        revision = server.peer.revision
        let mapping = Mapping(
            id: id, kind: isListener ? .listener : .peerListener, listen: listen, forward: target.endpoint)
        plans.append(Plan(mapping: mapping, target: target, revision: revision))
    }

    /// Each its own: an address that two want never becomes free.
    private func newPort() -> UInt16 {
        portsUsed += 1
        return UInt16(3_000 + 128 * random.below(300) + portsUsed % 128)
    }

    private func listenEndpoint(_ number: UInt16) -> Endpoint? {
        switch random.below(8) {
        case 0: return try? Endpoint(domain: .unix, address: "/listen/\(number)")
        case 1: return try? Endpoint(domain: .tcp, address: "127.0.0.1:0")
        case 2: return try? Endpoint(domain: .tcp, address: ":\(number)")
        default:
            if random.oneIn(4) {
                let address = SocketAddress(ipv4: 0x7f00_0001, port: number)
                world.listenErrors[address] = Array(repeating: SystemError(98), count: 1 + random.below(3))
            }
            return try? Endpoint(domain: .tcp4, address: "127.0.0.1:\(number)")
        }
    }

    private func change() {
        guard !plans.isEmpty, !random.oneIn(3) else { return addMapping() }
        let place = random.below(plans.count)
        let old = plans[place].mapping
        for call in calls where call.mapping == old.id && !call.isOver { call.disturb("mapping changed") }
        revision += 1
        switch random.below(3) {
        case 0: plans.remove(at: place)
        case 1:
            let target = random.pick(targets)
            plans[place].target = target
            // One that was on its way may come to the new target.
            for call in calls where call.mapping == old.id && !call.isOver { call.newTarget = target }
            plans[place].mapping = Mapping(
                id: old.id, kind: old.kind, listen: old.listen, forward: target.endpoint)
            plans[place].revision = revision
        default:
            guard let listen = listenEndpoint(newPort()) else { return }
            plans[place].mapping = Mapping(id: old.id, kind: old.kind, listen: listen, forward: old.forward)
            plans[place].revision = revision
        }
        server.peer.apply(plans.map(\.mapping), revision: revision)
    }
}
