import Control
import Glibc
import Logging
import Mux
import Reactor
import Records
import Tunnel

/// The loop's side of the reconciler: which peer runs which node of the records, and what of it has been written back.
final class FleetState {
    private final class Managed {
        let id: String
        let peer: Peer
        var plan: NodePlan
        /// The open session, while a link stands.
        var session: ObservedSession?
        var identity: [UInt8] = []
        /// Sub-connections have been opened or have ended since they were last counted.
        var hasMoved = false
        /// Sub-connections that ended because a plan took the link's credential away; asked for by `disconnect`.
        var endedByPlan = 0
        var whenGone: [() -> Void] = []
        /// Why its session ends, where the link's own word says less.
        var sessionEnd: String?
        var takeovers = Takeovers()
        var auditBudget = AuditBudget()

        init(_ plan: NodePlan, _ peer: Peer) {
            id = plan.id
            self.plan = plan
            self.peer = peer
        }

        /// When its last byte came; nil without a link.
        func heard(_ now: Timestamp) -> Timestamp? {
            guard session != nil else { return nil }
            return peer.silence.map { now.earlier(nanoseconds: $0) }
        }
    }

    /// How old the counts that lists show may be. Only of nodes that have opened or ended something: a
    /// thousand that rest are not looked at each second.
    private static let countInterval: UInt64 = 1_000_000_000
    /// How much of a node's last seen a crash of this program may cost; with the 30 s of a silent link less than a minute.
    private static let seenInterval: UInt64 = 25_000_000_000

    private let server: Server
    private let store: Store
    private let live: LiveNodes
    let history: ConnectionHistory
    private var nodes: [String: Managed] = [:]
    private var byPeer: [ObjectIdentifier: Managed] = [:]
    private var moved: [Managed] = []
    /// Nodes whose audit lacks entries.
    private var leavingOut: Set<String> = []
    private var lastSeen: UInt64
    private lazy var writeBack = WriteBack(loop: server.loop, store: store) { [unowned self] in
        nodes[$0].map { observe($0) }
    }

    private lazy var ends = CredentialEnds(loop: server.loop, store: store) { [unowned self] nodes, now in
        for id in nodes { endCredentials(of: id, now) }
    }

    init(server: Server, store: Store, live: LiveNodes, history: ConnectionHistory) {
        self.server = server
        self.store = store
        self.live = live
        self.history = history
        lastSeen = server.loop.now
        server.onAdmitted = { [unowned self] peer, identity, hello, address in
            admitted(peer, identity, hello, address)
        }
        server.onRefused = { [unowned history] in history.count($0) }
        history.describe = { [unowned self] peer, mapping in describe(peer, mapping) }
        count()
    }

    // MARK: What is wanted

    func apply(_ plan: NodePlan) {
        let node = nodes[plan.id] ?? add(plan)
        node.plan = plan
        node.peer.name = plan.name
        server.registry.setAdmissions(plan.admissions, of: node.peer)
        server.registry.setFormer(plan.former, of: plan.id)
        ends.watch(plan.id, plan.admissions)
        if node.session != nil, !plan.admissions.contains(where: { $0.identity == node.identity }) {
            node.endedByPlan += node.peer.revoke()
        }
        node.peer.apply(plan.mappings, revision: plan.revision)
        writeBack.forgetStates(of: plan.id) { plan.wantedRevisions[$0] != nil }
        history.routesMayHaveChanged()
        markDirty(node)
    }

    /// Uuids of nodes that are no more.
    func know(_ ended: [String: [EndedCredential]]) {
        for (id, credentials) in ended where nodes[id] == nil {
            server.registry.setFormer(NodePlan.former(credentials), of: id)
        }
    }

    /// The time of some of its uuids is over: nobody logs in with them, and a link that stands on one ends.
    private func endCredentials(of id: String, _ now: Int64) {
        guard let node = nodes[id] else { return }
        var ended: [Admission] = []
        node.plan.admissions.removeAll { admission in
            guard admission.validMicroseconds.upperBound <= now else { return false }
            ended.append(admission)
            return true
        }
        server.registry.setAdmissions(node.plan.admissions, of: node.peer)
        for admission in ended {
            let time = Timestamp(microseconds: admission.validMicroseconds.upperBound)
            node.plan.former[admission.identity] = NodePlan.Former(
                node: node.plan.name, why: "it was good until \(time)")
            var subConnections: Int?
            if node.session != nil, node.identity == admission.identity {
                node.sessionEnd = "uuid-ended"
                subConnections = node.peer.revoke(because: "its uuid was good until \(time)")
            }
            Log.warn(
                "uuid-ended", ("node", node.plan.name), ("credential", admission.name), ("good-until", time),
                ("sub-connections", subConnections.map { "\($0)" } ?? "-"))
            ends.note(admission.identity, subConnections: subConnections)
        }
        server.registry.setFormer(node.plan.former, of: id)
        ends.watch(id, node.plan.admissions)
    }

    private func describe(_ peer: Peer, _ mapping: UInt32) -> ConnectionHistory.RouteText? {
        guard let node = byPeer[ObjectIdentifier(peer)],
            let known = node.plan.mappings.first(where: { $0.id == mapping })
        else { return nil }
        return ConnectionHistory.RouteText(
            nodeID: node.id, node: node.plan.name, identity: node.identity,
            kind: known.kind == .listener ? .listener : .peerListener,
            mappingName: node.plan.mappingNames[mapping], listen: known.listen.address,
            target: known.forward.address)
    }

    /// What passes now.
    func connections() -> [LiveConnection] {
        history.open.values.sorted { $0.id < $1.id }.compactMap { entry in
            guard let node = byPeer[ObjectIdentifier(entry.peer)],
                let text = describe(entry.peer, entry.mapping)
            else { return nil }
            return LiveConnection(
                id: entry.id, nodeID: node.id, node: text.node, mapping: entry.mapping,
                listener: text.mappingName, kind: text.kind, client: entry.client.text, target: text.target,
                openedAt: entry.openedAt, bytesUp: entry.totals[0], bytesDown: entry.totals[1],
                bytesPerSecondUp: 0, bytesPerSecondDown: 0)
        }
    }

    /// The records hold the node no more. Its peer is let go when its links have ended.
    func remove(_ id: String) {
        guard let node = nodes.removeValue(forKey: id) else { return }
        writeBack.forgetStates(of: id)
        leavingOut.remove(id)
        server.registry.setAdmissions([], of: node.peer)
        ends.watch(id, [])
        server.registry.setFormer(node.plan.removed(at: .now), of: id)
        node.endedByPlan += node.peer.revoke()
        node.peer.apply([], revision: node.peer.revision)
        gone[id] = node
        finishIfGone(node)
    }

    /// Removed nodes whose links are still ending.
    private var gone: [String: Managed] = [:]

    /// Ends the node's links; `done` hears how many sub-connections ended, here and with the plan before, once they have.
    func disconnect(_ id: String, done: @escaping (Int) -> Void) {
        guard let node = nodes[id] ?? gone[id] else { return done(justGone.removeValue(forKey: id) ?? 0) }
        let ended = node.endedByPlan + node.peer.revoke()
        node.endedByPlan = 0
        guard node.peer.hasLinks else { return done(ended) }
        node.whenGone.append { done(ended) }
    }

    /// What a removal ended, for the `disconnect` that follows it.
    private var justGone: [String: Int] = [:]

    private func finishIfGone(_ node: Managed) {
        guard !node.peer.hasLinks else { return }
        for call in node.whenGone { call() }
        node.whenGone = []
        guard gone.removeValue(forKey: node.id) != nil else { return }
        byPeer[ObjectIdentifier(node.peer)] = nil
        history.forget(node.peer)
        server.forget(node.peer)
        if node.endedByPlan > 0 {
            // At most one entry a removed node with connections, taken by the call that removed it.
            if justGone.count > 1_000 { justGone.removeAll() }
            justGone[node.id] = node.endedByPlan
        }
    }

    private func add(_ plan: NodePlan) -> Managed {
        let peer = server.makePeer(plan.name)
        peer.id = plan.id
        let node = Managed(plan, peer)
        nodes[plan.id] = node
        byPeer[ObjectIdentifier(peer)] = node
        peer.recorder = history
        peer.onListenerState = { [unowned self, unowned node] _, _ in markDirty(node) }
        peer.onReport = { [unowned self, unowned node] in markDirty(node) }
        peer.onGoAway = { [unowned self, unowned node] _, _ in markDirty(node) }
        peer.onLink = { [unowned self, unowned node] end in linkChanged(node, end) }
        peer.onStreams = { [unowned self, unowned node] in markMoved(node) }
        peer.onViolation = { [unowned self, unowned node] violation in violated(node, violation) }
        return node
    }

    // MARK: What happens

    private func admitted(_ peer: Peer, _ identity: [UInt8], _ hello: Hello, _ address: SocketAddress) {
        guard let node = byPeer[ObjectIdentifier(peer)] else { return }
        noteTakeover(node, hello, address)
        endSession(node, "replaced", silence: node.peer.silence ?? 0)
        let session = ObservedSession(
            id: store.newSessionID(), nodeID: node.id, node: node.plan.name, identity: identity,
            address: "\(address)", version: hello.programVersion, os: hello.system, instance: hello.instance)
        node.session = session
        node.sessionEnd = nil
        node.identity = identity
        history.routesMayHaveChanged()
        writeBack.tell(session)
        live.set(
            node.id,
            LiveNode(
                address: session.address, version: session.version, os: session.os,
                sinceMicroseconds: session.openedAt.microseconds, subConnections: 0,
                credential: Admission.name(identity)))
        // A new session's first observations are written anew, whatever was written of the one before.
        writeBack.forgetStates(of: node.id)
        markDirty(node)
    }

    private func endSession(
        _ node: Managed, _ reason: String, subConnections: Int? = nil, silence: UInt64 = 0
    ) {
        guard var session = node.session else { return }
        node.session = nil
        let now = Timestamp.now
        session.end = ObservedSession.End(
            at: now, reason: node.sessionEnd ?? reason, subConnections: subConnections,
            heardAt: now.earlier(nanoseconds: silence))
        writeBack.tell(session)
    }

    private func linkChanged(_ node: Managed, _ end: LinkEnd?) {
        markDirty(node)
        markMoved(node)
        guard let end else { return }
        // A link that was replaced ends after its successor stands: its session has ended by then.
        if node.peer.link == nil, node.session != nil {
            live.set(node.id, nil)
            endSession(
                node, end.word.rawValue, subConnections: end.subConnections, silence: end.silence)
        }
        finishIfGone(node)
    }

    /// Again and again: what the nodes with a link have open and, less often, that they are there.
    private func count() {
        server.loop.scheduleBySecond(after: Self.countInterval) { [weak self] in self?.count() }
        history.beat()
        writeBack.tick()
        ends.tick()
        for node in moved {
            node.hasMoved = false
            live.setSubConnections(node.id, node.peer.openStreams)
        }
        moved.removeAll(keepingCapacity: true)
        for node in leavingOut.compactMap({ nodes[$0] }) {
            tellLeftOut(node, node.auditBudget.takeLeftOut(now: server.loop.now))
        }
        guard server.loop.now - lastSeen >= Self.seenInterval else { return }
        lastSeen = server.loop.now
        let now = Timestamp.now
        let seen = nodes.values.compactMap { node in
            node.heard(now).map { SeenNode(id: node.id, identity: node.identity, at: $0) }
        }
        guard !seen.isEmpty else { return }
        // One that fails is told again the next time, as it is then.
        store.submit { (transaction) throws(RecordsError) in try transaction.seen(seen) }
    }

    /// Machines that share one uuid, by the node's id.
    func sharing() -> [String: [SharingMachine]] {
        let now = server.loop.now
        return nodes.mapValues { $0.takeovers.sharing(now: now) }.filter { !$0.value.isEmpty }
    }

    /// When the last byte of each node with a link came.
    func heard() -> [String: Timestamp] {
        let now = Timestamp.now
        return nodes.compactMapValues { $0.heard(now) }
    }

    private func markMoved(_ node: Managed) {
        guard !node.hasMoved else { return }
        node.hasMoved = true
        moved.append(node)
    }

    /// Says when a storm begins, once.
    private func noteTakeover(_ node: Managed, _ hello: Hello, _ address: SocketAddress) {
        let words = node.takeovers.note(
            hello, address: "\(address)", host: address.host, tookOver: node.peer.link != nil,
            now: server.loop.now)
        guard let words else { return }
        Log.error("uuid-shared", ("node", node.plan.name), ("machines", words))
        audit(node, "takeovers", words)
    }

    private func violated(_ node: Managed, _ violation: Violation) {
        audit(node, "violation", violation.description)
    }

    private func audit(_ node: Managed, _ action: StaticString, _ detail: String) {
        tellLeftOut(node, node.auditBudget.takeLeftOut(now: server.loop.now))
        guard node.auditBudget.admit(now: server.loop.now) else {
            leavingOut.insert(node.id)
            return
        }
        writeBack.audit(node.id, name: node.plan.name, action, detail)
    }

    private func tellLeftOut(_ node: Managed, _ count: Int) {
        guard count > 0 else { return }
        leavingOut.remove(node.id)
        writeBack.audit(
            node.id, name: node.plan.name, "entries-left-out",
            "\(count) violations and takeovers are not in the audit")
    }

    // MARK: What is written back

    private func markDirty(_ node: Managed) { writeBack.mark(node.id) }

    /// Hands over what was seen. Before the store is closed.
    func flush() {
        for node in leavingOut.compactMap({ nodes[$0] }) { tellLeftOut(node, node.auditBudget.takeLeftOut()) }
        history.flush()
        writeBack.flush()
    }

    private func observe(_ node: Managed) -> [ObservedState] {
        let peer = node.peer
        let listening = peer.listenerStates
        let answered = peer.appliedRevision
        var states = node.plan.mappings.map { mapping in
            let wanted = node.plan.wantedRevisions[mapping.id] ?? 0
            let isApplied = answered.map { $0 >= wanted } ?? false
            // A listener needs both: the server's socket, and a node that knows where to dial.
            let state: ObservedState.State =
                switch listening[mapping.id] {
                case .failed(let error, let seconds)? where mapping.kind == .listener || isApplied:
                    .failed(detail: seconds > 0 ? "\(error) (retry in \(seconds) s)" : error)
                case .active(let bound)? where isApplied: .active(bound: bound)
                default: .pending
                }
            let isFailedHere = mapping.kind == .listener && state != .pending
            return ObservedState(
                mapping: mapping.id, state: state,
                appliedRevision: isFailedHere ? max(answered ?? 0, wanted) : answered ?? 0)
        }
        for (id, reason) in node.plan.refused {
            let wanted = node.plan.wantedRevisions[id] ?? 0
            states.append(ObservedState(mapping: id, state: .failed(detail: reason), appliedRevision: wanted))
        }
        return states
    }
}

extension Timestamp {
    fileprivate func earlier(nanoseconds: UInt64) -> Timestamp {
        Timestamp(microseconds: microseconds - Int64(clamping: nanoseconds / 1_000))
    }
}
