import Glibc
import Logging
import Mux
import Reactor
import Records
import Tunnel

/// When a connection may pass bytes, and what happens when it cannot be recorded.
package struct AuditPolicy: Equatable, Sendable {
    /// Bytes wait until the opening is on disk. Otherwise it is written as soon as may be.
    package var isRequired = true
    /// While the records cannot be written no connection is opened. Otherwise they pass, and the history has a gap that says so.
    package var refusesOnFailure = true

    package init() {}
}

/// Writes down every sub-connection of a server: its opening before its first byte, its end with the counts of both ends.
///
///     opening ─► slot, event ─turn's end─► HistoryLog ─► commit ─mailbox─► bytes may pass
///     reads and writes ─► the slot's totals, in a file that outlives this process
///     end ─► reason into the slot; with the node's counts ─► event ─► commit ─mailbox─► the slot is free
///
/// One loop owns it.
final class ConnectionHistory: SubConnectionRecorder, TurnWork {
    /// What a route says beside its id.
    struct RouteText: Equatable {
        let nodeID: String
        let node: String
        let identity: [UInt8]
        let kind: Records.MappingKind
        let mappingName: String?
        let listen: String
        let target: String
    }

    private static let heartbeatInterval: UInt64 = 1_000_000_000
    /// A smaller difference between the clocks' seconds is how clocks are set right slowly.
    private static let clockStepMicroseconds: Int64 = 1_000_000

    let loop: EventLoop
    let log: HistoryLog
    let slots: ConnectionSlots
    private let policy: AuditPolicy
    /// What the records know of a peer's mapping; set by who knows.
    var describe: ((Peer, UInt32) -> RouteText?)?
    /// Connections that pass bytes or wait to, by id.
    private(set) var open: [Int64: ConnectionEntry] = [:]
    private var routes: [RouteKey: Route] = [:]
    /// Nodes and mappings come and go; this many are remembered, and written again when they are met again.
    private static let maximumRoutes = 50_000
    private var events: [HistoryEvent] = []
    /// Of `events`, those that somebody waits for, with their place in it.
    private var newOpenings: [(place: Int, entry: ConnectionEntry)] = []
    private var newClosings: [(place: Int, slot: ConnectionSlots.Slot)] = []
    /// Appended and not known to be on disk, in the order of their tickets.
    private var openings = Backlog<ConnectionEntry>()
    private var closings = Backlog<ConnectionSlots.Slot>()
    private(set) var isFailing = false
    /// Of the fleet, so far.
    private var changes: UInt64 = 0
    /// Wall clock less monotonic clock.
    private var clockOffset: Int64

    private struct RouteKey: Hashable {
        let peer: ObjectIdentifier
        let mapping: UInt32
    }

    private struct Route {
        let id: Int64
        let text: RouteText
        /// The text is as it was at this count of changes.
        var changes: UInt64
    }

    init(log: HistoryLog, slots: ConnectionSlots, policy: AuditPolicy, loop: EventLoop) {
        self.log = log
        self.slots = slots
        self.policy = policy
        self.loop = loop
        clockOffset = Timestamp.now.microseconds - Int64(loop.now / 1_000)
        let (mailbox, bound) = (loop.mailbox, LoopBound(Weak(self), to: loop))
        log.onOutcome = { outcome in
            mailbox.post { loop in bound.value(on: loop).value?.take(outcome) }
        }
        beat()
    }

    private final class Weak {
        weak var value: ConnectionHistory?
        init(_ value: ConnectionHistory) { self.value = value }
    }

    // MARK: Openings

    func opening(mapping: UInt32, client: ClientAddress, of peer: Peer) -> (any SubConnectionRecord)? {
        guard let route = route(mapping, of: peer) else { return nil }
        if isFailing, policy.isRequired, policy.refusesOnFailure { return nil }
        let id = log.newConnectionID()
        let at = Timestamp.now
        let slot: ConnectionSlots.Slot?
        do throws(RecordsError) {
            slot = try slots.take(id: id, at: at, monotonicNanoseconds: loop.now)
        } catch {
            Log.limited(.error, "slots-full", key: "", ("error", error.message))
            if policy.isRequired, policy.refusesOnFailure { return nil }
            slot = nil
        }
        let entry = ConnectionEntry(
            id: id, mapping: mapping, client: ClientPlace(client), openedAt: at, openedMonotonic: loop.now,
            slot: slot, mayPass: !policy.isRequired || isFailing, kind: route.kind, peer: peer, history: self)
        open[id] = entry
        append(
            .opened(
                Opened(
                    id: id, route: route.id, at: at, monotonicMicroseconds: Int64(loop.now / 1_000),
                    client: entry.client)))
        newOpenings.append((events.count - 1, entry))
        return entry
    }

    func refused(_ reason: CloseReason, mapping: UInt32, of peer: Peer) {
        switch reason {
        case .limit: count(.limit)
        case .notRecorded: count(.notRecorded)
        default: count(.nodeAway)
        }
    }

    /// By the minute of the wall clock, in memory that outlives this process.
    func count(_ refusal: Refusal) {
        let now = Timestamp.now.microseconds
        slots.countRefusal(refusal, minute: now - now % 60_000_000)
    }

    private func route(_ mapping: UInt32, of peer: Peer) -> (id: Int64, kind: Records.MappingKind)? {
        let key = RouteKey(peer: ObjectIdentifier(peer), mapping: mapping)
        if let known = routes[key], known.changes == changes { return (known.id, known.text.kind) }
        guard let text = describe?(peer, mapping) else { return nil }
        if let known = routes[key], known.text == text {
            routes[key]?.changes = changes
            return (known.id, text.kind)
        }
        if routes.count >= Self.maximumRoutes { routes.removeAll() }
        let id = log.newRouteID()
        routes[key] = Route(id: id, text: text, changes: changes)
        append(
            .route(
                ConnectionRoute(
                    id: id, nodeID: text.nodeID, node: text.node, identity: text.identity, mapping: mapping,
                    kind: text.kind, mappingName: text.mappingName, listen: text.listen, target: text.target))
        )
        return (id, text.kind)
    }

    /// Names, credentials or mappings have changed: each route is looked at again when it is used next.
    func routesMayHaveChanged() { changes += 1 }

    func forget(_ peer: Peer) { routes = routes.filter { $0.key.peer != ObjectIdentifier(peer) } }

    // MARK: Ends

    fileprivate func ended(_ entry: ConnectionEntry, _ reason: EndReason) {
        open[entry.id] = nil
        if reason == .targetRefused { count(.targetRefused) }
        if let slot = entry.slot { slots.close(slot, reason: reason, monotonicNanoseconds: loop.now) }
    }

    fileprivate func settled(_ entry: ConnectionEntry, _ closed: Closed) {
        append(.closed(closed))
        if let slot = entry.slot { newClosings.append((events.count - 1, slot)) }
    }

    /// Ends a connection that is open; false if it is not.
    func kill(_ id: Int64) -> Bool {
        guard let connection = open[id]?.connection else { return false }
        connection.abort(.killed)
        return true
    }

    // MARK: To the store and back

    private func append(_ event: HistoryEvent) {
        if events.isEmpty { loop.atTurnEnd(self) }
        events.append(event)
    }

    package func turnEnds() { flush() }

    /// Hands over what was noted. Before the store is closed.
    func flush() {
        guard !events.isEmpty else { return }
        let last = log.append(events)
        let first = last + 1 - UInt64(events.count)
        events.removeAll(keepingCapacity: true)
        for (place, entry) in newOpenings { openings.append(entry, ticket: first + UInt64(place)) }
        for (place, slot) in newClosings { closings.append(slot, ticket: first + UInt64(place)) }
        newOpenings.removeAll(keepingCapacity: true)
        newClosings.removeAll(keepingCapacity: true)
    }

    private func take(_ outcome: HistoryOutcome) {
        switch outcome {
        case .durable(let ticket):
            while let entry = openings.popFirst(through: ticket) { entry.becameDurable() }
            while let slot = closings.popFirst(through: ticket) { slots.free(slot) }
        case .failed(let ticket, let error):
            if !isFailing {
                Log.error(
                    "history-failing", ("error", error.message),
                    ("new-connections", policy.isRequired && policy.refusesOnFailure ? "refused" : "passed"))
            }
            isFailing = true
            while let entry = openings.popFirst(through: ticket) {
                entry.couldNotBeRecorded(isRefused: policy.isRequired && policy.refusesOnFailure)
            }
        case .healed:
            isFailing = false
            Log.info("history-healed")
        }
    }

    // MARK: Each second

    private func beat() {
        let now = Timestamp.now
        slots.heartbeat(at: now, monotonicNanoseconds: loop.now)
        let offset = now.microseconds - Int64(loop.now / 1_000)
        if abs(offset - clockOffset) > Self.clockStepMicroseconds {
            let expected = Timestamp(microseconds: clockOffset + Int64(loop.now / 1_000))
            Log.warn("clock-step", ("from", expected), ("to", now))
            append(.note(.gap(.clockStep, from: expected, to: now, at: now)))
        }
        clockOffset = offset
        loop.schedule(after: Self.heartbeatInterval) { [weak self] in self?.beat() }
    }
}

/// Things in the order of their tickets.
private struct Backlog<Element> {
    private var elements: [(ticket: UInt64, element: Element)?] = []
    private var first = 0

    mutating func append(_ element: Element, ticket: UInt64) { elements.append((ticket, element)) }

    mutating func popFirst(through ticket: UInt64) -> Element? {
        guard first < elements.count, let next = elements[first], next.ticket <= ticket else { return nil }
        elements[first] = nil
        first += 1
        if first == elements.count {
            elements.removeAll(keepingCapacity: true)
            first = 0
        } else if first > 4_096, first * 2 > elements.count {
            elements.removeFirst(first)
            first = 0
        }
        return next.element
    }
}

/// One sub-connection as the history sees it.
final class ConnectionEntry: SubConnectionRecord {
    let id: Int64
    let mapping: UInt32
    let client: ClientPlace
    let openedAt: Timestamp
    let openedMonotonic: UInt64
    /// Nil when the file could not grow, and bytes pass nevertheless.
    let slot: ConnectionSlots.Slot?
    weak var connection: SubConnection?
    let totals: UnsafeMutablePointer<UInt64>
    private(set) var isDurable: Bool
    /// The opening is on disk.
    private var isRecorded = false
    private var flags: ConnectionFlags = []
    private var end: (reason: EndReason, counts: ByteCounts, at: Timestamp, durationMicroseconds: Int64)?
    private let kind: Records.MappingKind
    let peer: Peer
    private unowned let history: ConnectionHistory

    fileprivate init(
        id: Int64, mapping: UInt32, client: ClientPlace, openedAt: Timestamp, openedMonotonic: UInt64,
        slot: ConnectionSlots.Slot?, mayPass: Bool, kind: Records.MappingKind, peer: Peer,
        history: ConnectionHistory
    ) {
        self.id = id
        self.mapping = mapping
        self.client = client
        self.openedAt = openedAt
        self.openedMonotonic = openedMonotonic
        self.slot = slot
        self.kind = kind
        self.peer = peer
        self.history = history
        isDurable = mayPass
        if let slot {
            totals = slot.counts
        } else {
            totals = .allocate(capacity: 3)
            totals.initialize(repeating: 0, count: 3)
        }
    }

    deinit {
        if slot == nil { totals.deallocate() }
    }

    fileprivate func becameDurable() {
        isRecorded = true
        // With best effort bytes may have been quicker.
        if isDurable, totals[0] > 0 || totals[1] > 0 { flags.insert(.notHeld) }
        isDurable = true
        connection?.recorded()
    }

    fileprivate func couldNotBeRecorded(isRefused: Bool) {
        guard isRefused else {
            isDurable = true
            connection?.recorded()
            return
        }
        history.count(.notRecorded)
        connection?.abort(.notRecorded)
    }

    func ended(_ reason: CloseReason, counts: ByteCounts) {
        let reason = EndReason(reason)
        let nanoseconds = history.loop.now - min(openedMonotonic, history.loop.now)
        end = (reason, counts, .now, Int64(nanoseconds / 1_000))
        history.ended(self, reason)
    }

    func settled(other: ByteCounts?) {
        guard let end else { return }
        if !isRecorded, end.counts != ByteCounts(up: 0, down: 0) { flags.insert(.notHeld) }
        if let other, !agrees(other, with: end.counts, end.reason) { flags.insert(.countsDiffer) }
        history.settled(
            self,
            Closed(
                connection: id, at: end.at, durationMicroseconds: end.durationMicroseconds,
                up: Int64(clamping: end.counts.up), down: Int64(clamping: end.counts.down),
                nodeUp: other.map { Int64(clamping: $0.up) },
                nodeDown: other.map { Int64(clamping: $0.down) },
                reason: end.reason, flags: flags))
    }

    /// After an orderly end both have counted the same. After any other, bytes that were under way are lost, but no end can have
    /// passed on what the other never had.
    private func agrees(_ node: ByteCounts, with server: ByteCounts, _ reason: EndReason) -> Bool {
        if reason == .clientEOF || reason == .targetEOF { return node == server }
        return kind == .listener
            ? node.up <= server.up && node.down >= server.down
            : node.up >= server.up && node.down <= server.down
    }
}

extension EndReason {
    init(_ reason: CloseReason) {
        guard let same = EndReason(rawValue: reason.description) else {
            preconditionFailure("a reason without a word in the records: \(reason)")
        }
        self = same
    }
}

extension ClientPlace {
    init(_ client: ClientAddress) {
        switch client.family {
        case .none: self = .unix
        case .ipv4: self.init(length: 4, high: client.high, low: 0, port: client.port)
        case .ipv6: self.init(length: 16, high: client.high, low: client.low, port: client.port)
        }
    }
}
