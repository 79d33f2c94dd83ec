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
    /// Those that have ended, with what had passed, until their end is on disk: until then the records say they are open.
    private var ending: [Int64: ConnectionEntry] = [:]
    private var routes: [RouteKey: Route] = [:]
    /// Nodes and mappings come and go; this many are remembered, and written again when they are met again.
    private static let maximumRoutes = 50_000
    private var events: [HistoryEvent] = []
    /// Of `events`, those that somebody waits for, with their place in it.
    private var newOpenings: [(place: Int, entry: ConnectionEntry)] = []
    private var newClosings: [(place: Int, entry: ConnectionEntry)] = []
    /// Appended and not known to be on disk, in the order of their tickets.
    private var openings = Backlog<ConnectionEntry>()
    private var closings = Backlog<ConnectionEntry>()
    /// The counts of minutes that are over, on their way to the disk.
    private var refusals = RefusalNotes.none
    private(set) var isFailing = false
    /// A commit has been under way for longer than anybody waits.
    private var isHanging = false
    private static let hangNanoseconds: UInt64 = 5_000_000_000
    private var crowd = Crowd()
    private(set) var targetTroubles = TargetTroubles()
    /// Of the fleet, so far.
    private var changes: UInt64 = 0
    /// Wall clock less monotonic clock.
    private var clockOffset: Int64

    private enum RefusalNotes: Equatable {
        case none
        /// The last of them in `events`.
        case noted(place: Int)
        case appended(ticket: UInt64)
    }

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
        clockOffset = Self.clocks().offset
        let (mailbox, bound) = (loop.mailbox, LoopBound(Weak(self), to: loop))
        log.onOutcome = { outcome in
            mailbox.post { loop in bound.value(on: loop).value?.take(outcome) }
        }
    }

    private final class Weak {
        weak var value: ConnectionHistory?
        init(_ value: ConnectionHistory) { self.value = value }
    }

    // MARK: Openings

    func opening(mapping: UInt32, client: ClientAddress, of peer: Peer) -> (any SubConnectionRecord)? {
        guard let route = route(mapping, of: peer) else { return nil }
        if isFailing || isHanging, refusesNow { return nil }
        let id = log.newConnectionID()
        let at = Timestamp.now
        let slot: ConnectionSlots.Slot?
        do throws(RecordsError) {
            slot = try slots.take(id: id, at: at, monotonicNanoseconds: loop.now)
        } catch {
            Log.limited(.error, "slots-full", key: "", ("error", error.message))
            if refusesNow { return nil }
            slot = nil
            slots.followWithoutSlot(id)
        }
        let entry = ConnectionEntry(
            id: id, mapping: mapping, client: ClientPlace(client), openedAt: at, openedMonotonic: loop.now,
            slot: slot, mayPass: !policy.isRequired || isFailing || isHanging, kind: route.kind, peer: peer,
            history: self)
        open[id] = entry
        append(
            .opened(
                Opened(
                    id: id, route: route.id, at: at, monotonicMicroseconds: Int64(loop.now / 1_000),
                    client: entry.client)))
        newOpenings.append((events.count - 1, entry))
        return entry
    }

    /// What becomes of connections that cannot be recorded.
    private var refusesNow: Bool { policy.isRequired && policy.refusesOnFailure }

    func refused(_ cause: RefusalCause, _ count: Int, mapping: UInt32, of peer: Peer) {
        let refusal: Refusal =
            switch cause {
            case .limit: .limit
            case .nodeAway, .mappingRemoved: .nodeAway
            case .notRecorded: .notRecorded
            case .clientShare: .clientShare
            case .mappingShare: .mappingShare
            case .nodeShare: .nodeShare
            case .descriptors: .descriptors
            case .loop: .loop
            }
        for _ in 0..<count { self.count(refusal) }
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

    func ended(_ entry: ConnectionEntry, _ reason: EndReason) {
        open[entry.id] = nil
        ending[entry.id] = entry
        if reason == .targetRefused { count(.targetRefused) }
        targetTroubles.ended(entry.mapping, reason, at: .now)
        if let slot = entry.slot { slots.close(slot, reason: reason, monotonicNanoseconds: loop.now) }
    }

    func settled(_ entry: ConnectionEntry, _ closed: Closed) {
        append(.closed(closed))
        newClosings.append((events.count - 1, entry))
    }

    private func endIsDurable(_ entry: ConnectionEntry) {
        ending[entry.id] = nil
        if let slot = entry.slot { slots.free(slot) } else { slots.forgetWithoutSlot(entry.id) }
        guard crowd.hasLeft(remaining: open.count + ending.count) else { return }
        loop.giveBackMemory(after: Crowd.restNanoseconds) { [weak self] in self?.shrink() }
    }

    /// A crowd has gone: lists and tables become as large as what is in them.
    private func shrink() {
        open = Dictionary(uniqueKeysWithValues: open.map { $0 })
        ending = Dictionary(uniqueKeysWithValues: ending.map { $0 })
        if events.isEmpty { (events, newOpenings, newClosings) = ([], [], []) }
        openings.shrink()
        closings.shrink()
        slots.shrink()
        log.giveBackMemory()
    }

    /// What has passed through those whose end is not on disk, of these ids or of all.
    func passed(of ids: [Int64]?) -> [Int64: PassedBytes] {
        guard let ids else { return open.merging(ending) { $1 }.mapValues(\.passed) }
        return ids.reduce(into: [:]) { found, id in found[id] = (open[id] ?? ending[id])?.passed }
    }

    /// Ends a connection that is open; false if it is not.
    func kill(_ id: Int64) -> Bool {
        guard let connection = open[id]?.connection else { return false }
        connection.abort(.killed)
        return true
    }

    // MARK: To the store and back

    private func append(_ event: HistoryEvent) {
        if events.isEmpty { loop.firstAtTurnEnd(self) }
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
        for (place, entry) in newClosings { closings.append(entry, ticket: first + UInt64(place)) }
        if case .noted(let place) = refusals { refusals = .appended(ticket: first + UInt64(place)) }
        newOpenings.removeAll(keepingCapacity: true)
        newClosings.removeAll(keepingCapacity: true)
    }

    private func take(_ outcome: HistoryOutcome) {
        isHanging = false
        switch outcome {
        case .recorded(let ticket):
            while let entry = openings.popFirst(through: ticket) { entry.becameDurable() }
        case .durable(let ticket):
            while let entry = openings.popFirst(through: ticket) { entry.becameDurable() }
            while let entry = closings.popFirst(through: ticket) { endIsDurable(entry) }
            if case .appended(let last) = refusals, last <= ticket {
                slots.freeRefusals()
                refusals = .none
            }
        case .failed(let ticket, let error):
            if !isFailing {
                Log.error(
                    "history-failing", ("error", error.message),
                    ("new-connections", refusesNow ? "refused" : "passed"))
            }
            isFailing = true
            while let entry = openings.popFirst(through: ticket) {
                entry.couldNotBeRecorded(isRefused: refusesNow)
            }
        case .healed:
            isFailing = false
            Log.info("history-healed")
        }
    }

    /// Both clocks at one moment: a turn that takes long must not look like a step.
    private static func clocks() -> (wall: Timestamp, monotonic: UInt64, offset: Int64) {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let monotonic = UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
        let wall = Timestamp.now
        return (wall, monotonic, wall.microseconds - Int64(monotonic / 1_000))
    }

    /// A disk that neither writes nor fails: nobody is told anything, and clients must not wait for ever.
    private func lookForHang() {
        guard !isHanging, let oldest = openings.first,
            loop.now - min(oldest.openedMonotonic, loop.now) > Self.hangNanoseconds
        else { return }
        isHanging = true
        Log.error(
            "history-hangs", ("seconds", Self.hangNanoseconds / 1_000_000_000),
            ("new-connections", refusesNow ? "refused" : "passed"))
        openings.forEach { $0.couldNotBeRecorded(isRefused: refusesNow) }
    }

    /// Each second.
    func beat() {
        let (now, monotonic, offset) = Self.clocks()
        slots.heartbeat(at: now, monotonicNanoseconds: monotonic)
        let step = offset - clockOffset
        let expected = Timestamp(microseconds: now.microseconds - step)
        if abs(step) > Self.clockStepMicroseconds {
            Log.warn("clock-step", ("from", expected), ("to", now))
            append(.note(.gap(.clockStep, from: expected, to: now, at: now)))
        }
        clockOffset = offset
        lookForHang()
        guard refusals == .none else { return }
        for note in slots.endedRefusals(now: now) {
            append(.note(note))
            refusals = .noted(place: events.count - 1)
        }
    }
}
