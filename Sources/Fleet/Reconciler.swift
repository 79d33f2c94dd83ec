import Control
import Glibc
import Logging
import Reactor
import Records
import Synchronization
import Threads

/// Where the two columns meet: the records say what is wanted, the peers run it, and what they report goes back.
///
///     changed(nodes) ─► read the records ─► NodePlan ─mailbox─► FleetState on the loop ─► Peer.apply
///     Peer: listeners, reports, links ─► FleetState ─submit─► Store
///
/// Level-triggered: a plan is the whole of a node, so one too many does no harm and none is lost.
package final class Reconciler: LiveFleet {
    private let store: Store
    private let keys: CredentialFactory
    private let mailbox: Mailbox
    private let state: LoopBound<FleetState>
    private let live: LiveNodes
    /// Plans are posted in the order in which they were read: an older one must not come after a newer.
    private let order = Mutex<Void>(())
    /// Nodes whose records could not be read: what is wanted of them is not lost, but looked at again each second.
    private let unread = Mutex<Set<String>>([])
    private static let againMilliseconds: Int32 = 1_000
    /// Closed before it could be recorded.
    private let bars = Mutex<Set<Bar>>([])

    /// Loads the whole fleet into `server`, on its loop's thread.
    init(
        server: Server, store: Store, keys: CredentialFactory, history: ConnectionHistory
    ) throws(RecordsError) {
        self.store = store
        self.keys = keys
        mailbox = server.loop.mailbox
        live = LiveNodes()
        let fleet = FleetState(server: server, store: store, live: live, history: history)
        state = LoopBound(fleet, to: server.loop)
        for record in try store.read({ (reader) throws(RecordsError) in try reader.fleet() }) {
            fleet.apply(NodePlan(record, keys: keys))
        }
        let ended = try store.read { (reader) throws(RecordsError) in try reader.endedCredentials() }
        fleet.know(Dictionary(grouping: ended, by: \.nodeID))
    }

    package func changed(nodes: [String]) {
        order.withLock { _ in
            for id in nodes { post(id) }
        }
    }

    private func post(_ id: String) {
        do throws(RecordsError) {
            let record = try store.read { (reader) throws(RecordsError) in try reader.fleetNode(id: id) }
            let plan = record.map { record in
                NodePlan(bars.withLock { record.without($0) }, keys: keys)
            }
            mailbox.post { [state] loop in
                let fleet = state.value(on: loop)
                if let plan { fleet.apply(plan) } else { fleet.remove(id) }
            }
        } catch {
            guard error != .closed else { return }
            Log.limited(.error, "records-unreadable", key: id, ("node", id), ("error", error.message))
            let isFirst = unread.withLock { unread in
                defer { unread.insert(id) }
                return unread.isEmpty
            }
            guard isFirst else { return }
            startThread("plans-again") { [weak self] in
                poll(nil, 0, Self.againMilliseconds)
                self?.readAgain()
            }
        }
    }

    private func readAgain() {
        changed(
            nodes: unread.withLock { unread in
                defer { unread = [] }
                return unread.sorted()
            })
    }

    /// On the loop, before the store is closed: hands over what was seen.
    func flush(on loop: EventLoop) { state.value(on: loop).flush() }

    package func disconnect(node id: String, reason: String) -> Int {
        ask(milliseconds: 2_000) { fleet, answer in fleet.disconnect(id) { answer.give($0) } } ?? 0
    }

    package func kill(connection: Int64, reason: String) -> Bool {
        ask { fleet, answer in answer.give(fleet.history.kill(connection)) } ?? false
    }

    package func protect(
        _ bar: Bar, _ record: @escaping @Sendable () throws(RecordsError) -> Void
    ) -> Protection {
        let first = Answer<RecordsError?>()
        let over = Mutex(false)
        startThread("protect") { [weak self] in
            var failure = Self.failure(of: record)
            first.give(failure)
            while let reason = failure, reason.isOfDisk {
                poll(nil, 0, Self.againMilliseconds)
                failure = Self.failure(of: record)
            }
            if let failure {
                Log.error("not-recorded", ("what", bar.description), ("error", failure.message))
            }
            over.withLock { $0 = true }
            self?.lift(bar)
        }
        let told = first.wait(milliseconds: 1_000)
        if let told {
            guard let failure = told else { return .recorded }
            guard failure.isOfDisk else { return .refused(failure) }
        }
        Log.warn("closed-unrecorded", ("what", bar.description))
        bars.withLock { _ = $0.insert(bar) }
        let ended = shut(bar)
        // It may have been recorded just now.
        if over.withLock({ $0 }) { lift(bar) }
        return .closed(ended: ended, told ?? nil)
    }

    private static func failure(of record: () throws(RecordsError) -> Void) -> RecordsError? {
        do throws(RecordsError) { try record() } catch { return error }
        return nil
    }

    private func shut(_ bar: Bar) -> Int {
        switch bar {
        case .node(let id):
            changed(nodes: [id])
            return disconnect(node: id, reason: "closed")
        case .mapping(_, let node): changed(nodes: [node])
        case .connection(let id, let reason): _ = kill(connection: id, reason: reason)
        }
        return 0
    }

    /// The records say now what is wanted.
    private func lift(_ bar: Bar) {
        guard bars.withLock({ $0.remove(bar) }) != nil else { return }
        switch bar {
        case .node(let id), .mapping(_, let id): changed(nodes: [id])
        case .connection: break
        }
    }

    package func heard() -> [String: Timestamp]? {
        live.all().isEmpty ? [:] : ask { fleet, answer in answer.give(fleet.heard()) }
    }

    package func sharing() -> [String: [SharingMachine]] {
        ask { fleet, answer in answer.give(fleet.sharing()) } ?? [:]
    }

    package func passed(of ids: [Int64]?) -> [Int64: PassedBytes]? {
        ask { fleet, answer in answer.give(fleet.history.passed(of: ids)) }
    }

    package func targetTroubles() -> [TargetTrouble] {
        ask { fleet, answer in answer.give(fleet.history.targetTroubles.all) } ?? []
    }

    /// Two looks a fifth of a second apart: the difference is the rate.
    package func connections() -> [LiveConnection] {
        let clock = ContinuousClock()
        let (before, start) = (snapshot(), clock.now)
        guard !before.isEmpty else { return [] }
        usleep(200_000)
        let (after, took) = (snapshot(), start.duration(to: clock.now))
        let earlier = Dictionary(before.map { ($0.id, $0) }) { first, _ in first }
        let milliseconds = UInt64(max(1, took / .milliseconds(1)))
        // The counts lie in a file.
        let rate = { (first: UInt64, last: UInt64) in (last - min(first, last)) / milliseconds &* 1_000 }
        return after.map { connection in
            guard let first = earlier[connection.id] else { return connection }
            var connection = connection
            connection.bytesPerSecondUp = rate(first.bytesUp, connection.bytesUp)
            connection.bytesPerSecondDown = rate(first.bytesDown, connection.bytesDown)
            return connection
        }
    }

    private func snapshot() -> [LiveConnection] {
        ask { fleet, answer in answer.give(fleet.connections()) } ?? []
    }

    /// Asks the loop; nil when it does not answer in time.
    private func ask<Value: Sendable>(
        milliseconds: Int32 = 1_000, _ question: @escaping @Sendable (FleetState, Answer<Value>) -> Void
    ) -> Value? {
        let answer = Answer<Value>()
        mailbox.post { [state] loop in question(state.value(on: loop), answer) }
        return answer.wait(milliseconds: milliseconds)
    }

    package func online() -> [String: LiveNode] {
        live.all()
    }

    package var isLive: Bool { true }
}

extension RecordsError {
    /// Of the file, the disk or whoever holds the database, and not of what was asked.
    fileprivate var isOfDisk: Bool {
        switch code {
        case .busy, .locked, .corrupt, .io: self != .closed
        case .notFound, .ambiguous, .conflict, .invalid, .limit, .newer: false
        }
    }
}

extension Bar: CustomStringConvertible {
    package var description: String {
        switch self {
        case .node(let id): "node \(id)"
        case .mapping(let id, _): "mapping \(id)"
        case .connection(let id, _): "connection \(id)"
        }
    }
}

extension FleetNode {
    /// As it is while that is closed.
    fileprivate func without(_ bars: Set<Bar>) -> FleetNode {
        guard !bars.isEmpty else { return self }
        var copy = self
        if bars.contains(.node(node.id)) { (copy.credentials, copy.mappings) = ([], []) }
        copy.mappings.removeAll { bars.contains(.mapping($0.id, node: node.id)) }
        return copy
    }
}

/// The nodes with a link, written by the loop and read by whoever asks.
final class LiveNodes: Sendable {
    private let nodes = Mutex<[String: LiveNode]>([:])

    func set(_ id: String, _ node: LiveNode?) {
        nodes.withLock { $0[id] = node }
    }

    func setSubConnections(_ id: String, _ count: Int) {
        nodes.withLock { $0[id]?.subConnections = count }
    }

    func all() -> [String: LiveNode] {
        nodes.withLock { $0 }
    }
}

/// One value that a thread waits for, through a pipe.
private final class Answer<Value: Sendable>: Sendable {
    private let value = Mutex<Value?>(nil)
    private let reading: Int32
    private let writing: Int32

    init() {
        var ends: [Int32] = [-1, -1]
        // Without descriptors nothing is waited for: the answer is then unknown.
        _ = pipe(&ends)
        (reading, writing) = (ends[0], ends[1])
    }

    deinit {
        close(reading)
        close(writing)
    }

    func give(_ value: Value) {
        self.value.withLock { $0 = value }
        var one: UInt8 = 1
        _ = write(writing, &one, 1)
    }

    func wait(milliseconds: Int32) -> Value? {
        var question = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
        guard reading >= 0, poll(&question, 1, milliseconds) == 1 else { return nil }
        return value.withLock { $0 }
    }
}
