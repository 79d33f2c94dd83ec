import Mux
import Reactor
import Simulation
import Tunnel

// What must be true.
extension TunnelSimulation {
    // MARK: While bytes move

    /// Whose bytes these are; links the two ends of a call to each other.
    func sender(_ key: UInt32, heardBy actor: Actor) -> Actor? {
        if actor.isClient, key == actor.key {
            if actor.call?.disturbance == nil, actor.target.manner != .echo {
                fault("an echo from \(actor.target.manner)")
            }
            return actor
        }
        let place = Int(key >> 1)
        guard key & 1 == (actor.isClient ? 1 : 0) else {
            fault("bytes of \(key) at \(actor.description)")
            return nil
        }
        let isKnown = actor.isClient ? place < targetActors.count : (1...calls.count).contains(place)
        guard isKnown else {
            fault("bytes of nobody at \(actor.description)")
            return nil
        }
        let call = actor.isClient ? actor.call : calls[place - 1]
        let (client, target) =
            actor.isClient ? (actor, targetActors[place]) : (calls[place - 1].client, actor)
        guard let call, call.targetActor == nil || call.targetActor === target,
            target.call == nil || target.call === call
        else {
            fault("bytes of another call at \(actor.description)")
            return nil
        }
        if call.disturbance == nil, client.target !== target.target {
            fault("the wrong target for \(client.description)")
        }
        call.targetActor = target
        target.call = call
        return actor.isClient ? target : client
    }

    /// An orderly end tells the truth: everything came, and the other end did end.
    func judgeEnd(_ actor: Actor) {
        if let partner = actor.partner {
            if !partner.hasEnded || !partner.hasSentAll || actor.received != partner.sent {
                fault("an orderly end too early at \(actor.description), from \(partner.description)")
            }
            return
        }
        if actor.received > 0 { fault("less than a key at \(actor.description)") }
        guard actor.isClient, actor.call?.disturbance == nil else { return }
        switch actor.target.manner {
        case .echo where actor.sent == 0 && actor.toSend == 0 && actor.hasEnded: break
        case .sink, .stall, .source, .answer, .abrupt: break
        default: fault("an orderly end from \(actor.target.manner) at \(actor.description)")
        }
    }

    func checkInvariants() throws {
        for link in links {
            for main in link.mainLinks {
                if let broken = main.multiplexer.brokenInvariant { fault("link \(link.number): \(broken)") }
            }
            if link.isBroken, !link.isDoomed, !link.isDraining {
                fault("link \(link.number) ended for no reason")
            }
            for records in link.records where records.mostOutput > 256 << 10 + 300 << 10 {
                fault("\(records.mostOutput) bytes wait for link \(link.number)")
            }
        }
        try check()
    }

    // MARK: Towards the end

    /// Whoever does not stall finishes, while others do; and what is configured is what runs.
    func finishAllButStalled() throws {
        for call in calls where !call.client.isStalled { call.client.finish() }
        let isOver = world.run(loop, within: 300_000_000_000, lookingEvery: 8) { [self] in
            calls.allSatisfy { $0.client.isDone || $0.isStalled } && isConfigured
        }
        try checkInvariants()
        guard isOver else {
            if let call = calls.first(where: { !$0.client.isDone && !$0.isStalled }) {
                throw failure("stopped by another", call)
            }
            throw SimulationFailure("not configured: \(configuration)")
        }
        for call in calls where call.isStalled && !call.client.isDone {
            if call.client.target.manner == .stall, call.client.takenBytes > 1 << 20 {
                throw failure("\(call.client.takenBytes) bytes taken for a target that reads nothing", call)
            }
            if let target = call.targetActor, call.client.received == 0, target.takenBytes > 1 << 20 {
                throw failure("\(target.takenBytes) bytes taken for a client that reads nothing", call)
            }
        }
    }

    func failure(_ what: String, _ call: Call) -> SimulationFailure {
        let target =
            call.targetActor?.description ?? "\(call.client.target.manner) \(call.client.target.number)"
        return SimulationFailure(
            "\(what): \(call.client.description), \(target), mapping \(call.mapping), link \(call.link?.number ?? -1), \(call.disturbance ?? "undisturbed"), at \(world.clock / 1_000_000) ms"
        )
    }

    private var isConfigured: Bool {
        plans.allSatisfy { plan in
            let end = plan.mapping.kind == .listener ? server : node
            guard case .active? = end.peer.listenerStates[plan.mapping.id] else { return false }
            return end.peer.listenerStates[plan.mapping.id] == server.peer.listenerStates[plan.mapping.id]
        } && server.peer.listenerStates.count == plans.count && node.peer.revision == server.peer.revision
            && world.listeners.count == plans.count + targets.filter { $0.manner.answers }.count
    }

    private var configuration: String {
        "server \(server.peer.listenerStates), node \(node.peer.listenerStates), \(node.peer.revision) of \(revision), listening \(world.listeners)"
    }

    /// Nobody stalls any more; in some seeds the ends stop meanwhile.
    func finishAll() throws {
        isFinishing = true
        let stops = random.oneIn(2)
        let isAbrupt = stops && random.oneIn(4)
        if isAbrupt {
            for call in calls { call.disturb("stopped at once") }
        }
        if stops {
            for end in random.oneIn(2) ? [server, node] : [node, server] {
                world.run(loop, for: UInt64(random.size(bits: 22)))
                stop(end)
                if isAbrupt { end.peer.endLinks() }
            }
        }
        for call in calls { call.client.finish() }
        for actor in targetActors { actor.finish() }
        let isOver = world.run(loop, within: 300_000_000_000, lookingEvery: 8) { [self] in
            // A client that broke off is done while its last words wait for a dial.
            calls.allSatisfy(\.client.isDone) && targetActors.allSatisfy(\.isDone)
                && ends.allSatisfy { $0.peer.subConnections == 0 }
        }
        try checkInvariants()
        guard isOver else {
            if let call = calls.first(where: { !$0.client.isDone }) { throw failure("no end", call) }
            let actor = targetActors.first { !$0.isDone }
            throw SimulationFailure(
                "no end: \(actor?.description ?? ""), call \(actor?.call?.client.description ?? "unknown")")
        }
        for call in calls { try judge(call) }
        // The last tallies are under way.
        world.run(loop, for: 5_000_000_000)
        // One that was gone before it was accepted has none.
        for call in calls where call.disturbance == nil && call.link != nil {
            try book.judge(call)
        }
    }

    /// What a call that nothing disturbed must have come to.
    private func judge(_ call: Call) throws {
        let client = call.client
        guard call.disturbance == nil else { return }
        try judgeLastWords(call)
        guard client.isOrderly else { return }
        // A node that is told of another in its place has no listeners until it is let in again.
        if call.link == nil, hasTakenOver, client.failure != nil { return }
        // What lingers on a link that is over is not waited for as long as a target may stall.
        if let target = call.targetActor, target.hasStalled, call.link?.isBroken == true { return }
        switch client.target.manner {
        case .abort, .abrupt: return
        case .refuse, .blackhole, .unreachable, .unknownName, .silentName:
            if client.failure == nil { throw failure("no reset from nobody", call) }
            return
        default: break
        }
        if let target = call.targetActor, !target.isOrderly { return }
        if client.failure != nil || !client.hasHeardEnd { throw failure("ended early", call) }
        if client.sent != client.toSend { throw failure("not all sent", call) }
        if let target = call.targetActor {
            if target.failure != nil || !target.hasHeardEnd {
                throw failure("the target's ended early", call)
            }
            if target.received != client.sent { throw failure("not all arrived", call) }
            if client.received != target.sent { throw failure("not all came back", call) }
        } else if client.toSend > 0 {
            throw failure("never seen at the target", call)
        }
    }

    /// Whatever an end said before it broke off, as far as its tunnel's system had it, has come to the other if that one reads.
    private func judgeLastWords(_ call: Call) throws {
        let client = call.client
        guard let target = call.targetActor else {
            guard client.hasAborted, call.link != nil, client.target.manner.isOrderly,
                client.target.manner != .stall, client.socket.arrivedBytes >= Pattern.keyBytes
            else { return }
            throw failure("last words never seen at the target", call)
        }
        for (speaker, hearer) in [(client, target), (target, client)] {
            // An echo that cannot send its answer does not read either.
            let isEchoing = hearer.isEcho && speaker.socket.arrivedBytes >= Actor.echoLimit
            guard !speaker.isOrderly, hearer.isOrderly, !hearer.hasStalled, !isEchoing else { continue }
            if hearer.received != speaker.socket.arrivedBytes {
                throw failure("last words lost, \(speaker.socket.arrivedBytes) had come", call)
            }
        }
    }

    /// Everything that streams took has come back, on the links that still stand.
    private func checkLinksAreIdle() throws {
        let standing = links.filter { !$0.isDoomed && !$0.isDraining }.flatMap(\.mainLinks)
        let isIdle = world.run(loop, within: 10_000_000_000) { standing.allSatisfy { $0.multiplexer.isIdle } }
        if !isIdle { throw SimulationFailure("a link without streams is not idle") }
    }

    /// Both ends stop; then nothing is left.
    func checkEverythingIsOver() throws {
        try checkLinksAreIdle()
        for end in [server, node] where !end.isStopping { stop(end) }
        let isOver = world.run(loop, within: 120_000_000_000) { [self] in
            ends.allSatisfy { !$0.peer.hasLinks } && !isConnecting
        }
        try checkInvariants()
        guard isOver else { throw SimulationFailure("links are left") }
        // Connections that never came about, resets under way.
        world.run(loop, for: 60_000_000_000)
        try check()
        for end in ends where end.peer.openStreams > 0 { throw SimulationFailure("streams are left") }
        let listening = targets.filter { $0.manner.answers }.count
        guard world.listeners.count == listening else {
            throw SimulationFailure("listeners are left: \(world.listeners)")
        }
        let open = world.openSockets.map(\.index)
        guard open.isEmpty else { throw SimulationFailure("transports are left open: \(open)") }
        try book.judgeAll()
        for link in links where !link.mainLinks.isEmpty {
            throw SimulationFailure("link \(link.number) is kept")
        }
    }
}
