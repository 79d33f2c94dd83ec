import Logging
import Mux
import Reactor
import TLS

/// The other end of a main link, whether or not a link is up. It owns the mappings and their listeners: a reconnect replaces
/// the link inside it, and no port is closed and bound again.
///
/// Both ends hold one (a server one for each node). They differ in `hasAuthority`: the end that has it declares the mappings,
/// runs its parts of them, and sends the other its parts, whenever either changes and whenever a link comes up.
///
///     let endpoint = try Endpoint(domain: .tcp, address: "127.0.0.1:1080")
///     peer.newListener(listen: endpoint, forward: target)        // listens here, the other end dials
///     peer.newPeerListener(listen: endpoint, forward: target)    // listens there, this end dials
///
/// One loop owns it.
package final class Peer {
    /// What logs call the node.
    package var name: String
    /// In the records of the authority; nil where there are none, and until they are heard of.
    package var id: String?
    package let loop: EventLoop
    package let hasAuthority: Bool
    /// What the other end may make this one dial or bind; nil: anything.
    package let allow: AllowList?
    package let settings: TunnelSettings
    let share = NodeShare()
    var shares = Shares()
    /// Where dials of this end stand that may lead back to it.
    var dials: [ClientAddress: SubConnection] = [:]
    /// Hears of each change of a listening part, at either end. (The end with the authority hears of both ends' parts.)
    package var onListenerState: ((_ mapping: UInt32, ListenerState) -> Void)?
    /// Hears that the other end has answered a plan: it runs that revision, and its listeners are as `listenerStates` says.
    package var onReport: (() -> Void)?
    /// Hears what the other end did that no correct end does; its link ends.
    package var onViolation: ((Violation) -> Void)?
    /// Hears that a link came up (nil) or why it ended. While stopping also when the last bytes of one that has ended have
    /// been written: see `hasLinks`.
    package var onLink: ((LinkEnd?) -> Void)?
    /// Hears, at the end of a turn, that `openStreams` may have changed; not of what changes with a link's coming and going.
    package var onStreams: (() -> Void)?
    /// Hears that the other end wants this one to go, and when it may come back.
    package var onGoAway: ((GoAwayReason, _ retryAfterMilliseconds: UInt32) -> Void)?
    /// Keeps the records of the sub-connections; nil at a node.
    package var recorder: (any SubConnectionRecorder)?
    /// Why sub-connections end when this program stops.
    package var stopReason: CloseReason { hasAuthority ? .serverStop : .nodeStop }

    package private(set) var link: MainLink?
    /// At the end without authority: whether a plan has come over the present link. Until then its mappings are those of an
    /// earlier server, and an OPEN of one that is gone would be a violation.
    var hasPlan = false
    /// Links on which nothing new is opened; they live until their last sub-connection ends.
    private var draining: [MainLink] = []
    private static let maximumDraining = 4
    /// Links that are over, with sub-connections that have everything and still write it to slow sockets. All of them together hold
    /// half of what one link may.
    private var finishing: [MainLink] = []
    private static let maximumFinishing = 4
    private static let maximumLingering = 256
    private static let maximumLingeringBytes = 32 << 20

    /// Declared here (with authority), in the order of their ids.
    private(set) var mappings: [UInt32: Mapping] = [:]
    private var parts: [UInt32: Part] = [:]
    private var listeners: [UInt32: Listener] = [:]
    /// Mappings that this end has had: an OPEN of one of them may have crossed its removal.
    private(set) var known: Set<UInt32> = []
    package internal(set) var revision: Int64 = 0
    /// The revision that the other end has answered over the present link; nil before its first answer.
    package internal(set) var appliedRevision: Int64?
    var remoteStates: [UInt32: ListenerState] = [:]
    /// What the other end may make this one write, whatever it says and however often it comes back.
    var lines = LineBudget()
    var linesLeftOutTimer: LoopTimer?
    var reports = ReportBudget()
    /// The last report of those that came too soon.
    var heldReport: (states: [UInt32: ListenerState], timer: LoopTimer)?
    package private(set) var isStopping = false
    private var pendingNotice: LoopTimer?
    private var lastNotice: UInt64 = 0

    /// Plans and reports are sent at most this often; each carries the whole, so nothing is lost by waiting.
    private static let noticeInterval: UInt64 = 50_000_000
    /// The other end's parts as it was last told, at the end with the authority.
    private var announced: [UInt32: Part] = [:]
    /// The revision of the last plan sent over the present link. The other end has heard of no later one.
    private(set) var announcedRevision: Int64 = 0
    /// The most parts of a plan sent over it.
    private(set) var mostAnnounced = 0
    /// Plans that did not wait for their time, since `earlySince`.
    private var earlyNotices = 0
    private var earlySince: UInt64 = 0
    /// A second: with the 20 of `noticeInterval` they stay below the 33 control messages that the multiplexer grants.
    private static let maximumEarlyNotices = 10

    package init(
        name: String, hasAuthority: Bool, allow: AllowList? = nil,
        settings: TunnelSettings = TunnelSettings(),
        loop: EventLoop
    ) {
        self.name = name
        self.hasAuthority = hasAuthority
        self.allow = allow
        self.settings = settings
        self.loop = loop
    }

    // MARK: Mappings, at the end with the authority

    /// Listens at this end and forwards to an address that the other end reaches. Returns the mapping's id.
    /// The bind is tried at once and, if it fails, again; `onListenerState` says how it went.
    @discardableResult
    package func newListener(listen: Endpoint, forward: Endpoint) -> UInt32 {
        add(.listener, listen, forward)
    }

    /// Listens at the other end and forwards to an address that this end reaches. Returns the mapping's id.
    @discardableResult
    package func newPeerListener(listen: Endpoint, forward: Endpoint) -> UInt32 {
        add(.peerListener, listen, forward)
    }

    private func add(_ kind: MappingKind, _ listen: Endpoint, _ forward: Endpoint) -> UInt32 {
        let id = (known.max() ?? 0) + 1
        let mapping = Mapping(id: id, kind: kind, listen: listen, forward: forward)
        apply(mappings.values + [mapping], revision: revision + 1)
        return id
    }

    /// Makes `wanted` the whole set of mappings. Those that stay as they are keep their listeners and their
    /// sub-connections; the sub-connections of those that go or change end.
    package func apply(_ wanted: [Mapping], revision: Int64) {
        precondition(hasAuthority, "only the end with the authority declares mappings")
        precondition(wanted.count <= settings.maximumMappings && Set(wanted.map(\.id)).count == wanted.count)
        self.revision = revision
        mappings = Dictionary(uniqueKeysWithValues: wanted.map { ($0.id, $0) })
        remoteStates = remoteStates.filter { mappings[$0.key]?.kind == .peerListener }
        install(wanted.map(\.ownPart))
        // A mapping whose own part is unchanged may have changed at the other end: that end finds out itself.
        notify()
    }

    /// The state of every listener, as far as it is known here.
    package var listenerStates: [UInt32: ListenerState] {
        var states = remoteStates
        for (id, listener) in listeners { states[id] = listener.state }
        return states
    }

    // MARK: Parts, at both ends

    /// Compares with what runs; the difference is the work.
    func install(_ wanted: [Part]) {
        let next = Dictionary(uniqueKeysWithValues: wanted.map { ($0.id, $0) })
        // In order, as everything here: a dictionary's differs from run to run.
        for (id, part) in parts.sorted(by: { $0.key < $1.key }) where next[id] != part {
            listeners.removeValue(forKey: id)?.close()
            for link in links { link.endSubConnections(of: id, reason: .mappingRemoved) }
        }
        let before = parts
        parts = next
        for part in wanted.sorted(by: { $0.id < $1.id }) where before[part.id] != part {
            known.insert(part.id)
            guard case .listen(let endpoint) = part.task, !isStopping else { continue }
            let listener = Listener(part, on: endpoint, peer: self)
            listeners[part.id] = listener
            listener.start()
        }
    }

    /// Where to dial for an OPEN of `mapping`; nil if it was here and is gone.
    func target(of mapping: UInt32) throws(Violation) -> Endpoint? {
        if case .forward(let endpoint) = parts[mapping]?.task { return endpoint }
        if parts[mapping] == nil, known.contains(mapping) { return nil }
        throw .unknownMapping
    }

    /// For logs. A node does not know where the server dials for its peer listeners.
    func targetText(of mapping: UInt32) -> String {
        if case .forward(let endpoint) = parts[mapping]?.task { return "\(endpoint)" }
        return mappings[mapping].map { "\($0.forward)" } ?? "-"
    }

    func listenerChanged(_ listener: Listener) {
        log(listener.state, of: listener.part, listen: listener.description)
        onListenerState?(listener.part.id, listener.state)
        notify()
    }

    /// A client has connected to a listener of this end.
    func accepted(_ client: any StreamTransport, from address: SocketAddress, by part: Part) {
        share.outgoing.spend(TurnCost.refusal)
        let isReady = hasAuthority || hasPlan
        // A full link is the limit; no link, or one that is being given up, means that nobody is there.
        var cause: RefusalCause = link?.isClosing == false && isReady && !isStopping ? .limit : .nodeAway
        if isReady, announce(part.id), let link {
            guard let refusal = link.open(client, from: address, mapping: part.id) else {
                return share.outgoing.spend(TurnCost.stream - TurnCost.refusal)
            }
            if cause == .limit { cause = refusal }
        }
        refuse(cause, mapping: part.id, client: "\(address)")
        client.reset()
    }

    /// The other end learns of a mapping before it hears of a client of it. False when that would be one plan too many: a
    /// mapping that is changed this often takes clients again when the next plan is due.
    private func announce(_ mapping: UInt32) -> Bool {
        guard hasAuthority, pendingNotice != nil, announced[mapping] != mappings[mapping]?.otherPart else {
            return true
        }
        if loop.now - min(earlySince, loop.now) >= 1_000_000_000 {
            (earlySince, earlyNotices) = (loop.now, 0)
        }
        guard earlyNotices < Self.maximumEarlyNotices else { return false }
        earlyNotices += 1
        sendNotice()
        return true
    }

    // MARK: Links

    private var links: [MainLink] { (link.map { [$0] } ?? []) + draining + finishing }

    /// How long ago the link's last byte came; nil without a link.
    package var silence: UInt64? { link?.silence }

    package var openStreams: Int { links.reduce(0) { $0 + $1.openStreams } }

    /// Takes an authenticated connection as the new main link. One that was up is told that it has been replaced.
    package func adopt(
        _ transport: any StreamTransport, records: any RecordLayer, role: Role,
        features: UInt32 = Hello.namesLoops
    ) {
        let new = MainLink(
            transport: transport, records: records, role: role, features: features, peer: self,
            settings: settings)
        if let old = link {
            forgetLink()
            keepDraining(old)
            old.close(
                .replaced, retryAfterMilliseconds: 0, sub: .linkLost,
                as: LinkEnd(word: .replaced, detail: "a newer session has taken over"))
        }
        link = new
        hasPlan = false
        mostAnnounced = 0
        say(
            .info, "link-up", ("node", name), ("address", new.remoteAddress.map(\.description) ?? "memory"),
            ("cipher", new.records.cipherText), ("congestion", new.transport.congestionControl ?? "none"))
        onLink?(nil)
        // Before anything that has arrived is read: the plan precedes the first OPEN in both directions.
        sendNotice()
        new.start()
        if isStopping { new.drain(.stopping, retryAfterMilliseconds: 1_000) }
    }

    func goingAway(_ link: MainLink, _ reason: GoAwayReason, retryAfterMilliseconds: UInt32) {
        say(
            .info, "link-going-away", ("node", name), ("reason", reason),
            ("retry-after-ms", retryAfterMilliseconds))
        guard self.link === link else { return }
        forgetLink()
        keepDraining(link)
        if !hasAuthority, reason == .revoked || reason == .replaced { releaseListeners() }
        onGoAway?(reason, retryAfterMilliseconds)
    }

    /// This program is the node no more, for a long time or for ever: its ports are for whoever is, often the next process on the same
    /// machine, and a client is better refused than accepted and reset. The plan of a later link binds them again.
    private func releaseListeners() {
        guard !listeners.isEmpty else { return }
        say(.info, "listeners-closed", ("node", name), ("listeners", listeners.count))
        for (id, listener) in listeners.sorted(by: { $0.key < $1.key }) {
            listener.close()
            parts[id] = nil
        }
        listeners.removeAll()
    }

    private func keepDraining(_ link: MainLink) {
        draining.append(link)
        if draining.count > Self.maximumDraining {
            draining[0].end(LinkEnd(word: .replaced, detail: "too many links are being given up"))
        }
    }

    func ended(_ link: MainLink, _ reason: LinkEnd) {
        say(
            .info, "link-down", ("node", name), ("reason", reason.word.rawValue), ("detail", reason.detail),
            ("sub-connections", reason.subConnections))
        draining.removeAll { $0 === link }
        if !link.lingering.isEmpty { finish(link) }
        if self.link === link { forgetLink() }
        onLink?(reason)
    }

    /// A node that comes again and again, and leaves each time what nobody takes, has no more than this of it: the oldest goes.
    private func finish(_ link: MainLink) {
        finishing.append(link)
        while lingersTooMuch, let oldest = finishing.first {
            oldest.endLingering(.limit) { [unowned self] in lingersTooMuch }
        }
    }

    private var lingersTooMuch: Bool {
        finishing.count > Self.maximumFinishing
            || finishing.reduce(0) { $0 + $1.lingering.count } > Self.maximumLingering
            || finishing.reduce(0) { $0 + $1.multiplexer.bufferedBytes } > Self.maximumLingeringBytes
    }

    /// There is none, or it is being given up: nobody speaks for the other end any more, and nothing that was said holds.
    private func forgetLink() {
        link = nil
        appliedRevision = nil
        remoteStates.removeAll()
        dropHeldReport()
    }

    /// The last sub-connection of a link that is over has written everything.
    func finished(_ link: MainLink) {
        guard finishing.contains(where: { $0 === link }) else { return }
        finishing.removeAll { $0 === link }
        if isStopping { onLink?(link.closeEnd) }
    }

    func violated(_ link: MainLink, _ violation: Violation) {
        say(
            .warn, "violation", ("node", name),
            ("address", link.remoteAddress.map(\.description) ?? "memory"),
            ("reason", violation.description))
        onViolation?(violation)
    }

    /// Closes the listeners and asks the other end to go; links close when their sub-connections have ended.
    package func stop(retryAfterMilliseconds: UInt32) {
        isStopping = true
        loop.cancel(pendingNotice)
        countLinesLeftOut()
        for listener in listeners.values { listener.close() }
        listeners.removeAll()
        for link in links { link.drain(.stopping, retryAfterMilliseconds: retryAfterMilliseconds) }
    }

    /// Ends what is left at once.
    package func endLinks() {
        for link in links {
            link.end(LinkEnd(word: .stopping, detail: "the time to drain is over"))
            link.endLingering(stopReason)
        }
    }

    /// Sends the node away: its links close at once, and it is told to come back only after a minute. Returns how many
    /// sub-connections ended with them.
    @discardableResult
    package func revoke(because detail: String = "the node's credential is not valid any more") -> Int {
        let ended = openStreams
        for link in links {
            link.close(
                .revoked, retryAfterMilliseconds: 60_000, sub: .revoked,
                as: LinkEnd(word: .revoked, detail: detail))
            link.endLingering(.revoked)
        }
        return ended
    }

    /// Whether something is open, or still written to a slow socket.
    package var hasLinks: Bool { !links.isEmpty }

    // MARK: Plans and reports

    /// Sends the plan or the report: now, or when the last one is old enough.
    func notify() {
        guard link != nil, pendingNotice == nil else { return }
        let since = loop.now - min(lastNotice, loop.now)
        pendingNotice = loop.schedule(after: Self.noticeInterval - min(since, Self.noticeInterval)) {
            [weak self] in self?.sendNotice()
        }
    }

    private func sendNotice() {
        loop.cancel(pendingNotice)
        pendingNotice = nil
        guard let link, hasAuthority || hasPlan else { return }
        lastNotice = loop.now
        if hasAuthority {
            let parts = mappings.values.map(\.otherPart).sorted { $0.id < $1.id }
            (announcedRevision, mostAnnounced) = (revision, max(mostAnnounced, parts.count))
            announced = Dictionary(uniqueKeysWithValues: parts.map { ($0.id, $0) })
            link.send(
                .plan(revision: revision, parts: parts, node: id.map { NodeName(name: name, id: $0) }))
        } else {
            link.send(.report(revision: revision, states: listeners.mapValues(\.state)))
        }
    }
}
