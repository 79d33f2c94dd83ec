import Control
import Glibc
import Logging
import Reactor
import Records
import Synchronization

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

    /// Loads the whole fleet into `server`, on its loop's thread.
    package init(server: Server, store: Store, keys: CredentialFactory) throws(RecordsError) {
        self.store = store
        self.keys = keys
        mailbox = server.loop.mailbox
        live = LiveNodes()
        let fleet = FleetState(server: server, store: store, live: live)
        state = LoopBound(fleet, to: server.loop)
        for record in try store.read({ (reader) throws(RecordsError) in try reader.fleet() }) {
            fleet.apply(NodePlan(record, keys: keys))
        }
    }

    package func changed(nodes: [String]) {
        order.withLock { _ in
            for id in nodes { post(id) }
        }
    }

    private func post(_ id: String) {
        do throws(RecordsError) {
            let record = try store.read { (reader) throws(RecordsError) in try reader.fleetNode(id: id) }
            let plan = record.map { NodePlan($0, keys: keys) }
            mailbox.post { [state] loop in
                let fleet = state.value(on: loop)
                if let plan { fleet.apply(plan) } else { fleet.remove(id) }
            }
        } catch {
            Log.error("records-unreadable", ("node", id), ("error", error.message))
        }
    }

    package func disconnect(node id: String, reason: String) -> Int {
        let answer = Answer()
        mailbox.post { [state] loop in state.value(on: loop).disconnect(id) { answer.give($0) } }
        return answer.wait(milliseconds: 2_000) ?? 0
    }

    package func online() -> [String: LiveNode] {
        live.all()
    }

    package func connections() -> [LiveConnection] { [] }

    package func kill(connection id: Int64, reason: String) -> Bool { false }

    package var isLive: Bool { true }
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

/// One number that a thread waits for, through a pipe.
private final class Answer: Sendable {
    private let reading: Int32
    private let writing: Int32

    init() {
        var ends: [Int32] = [-1, -1]
        // Without descriptors nothing is waited for: the answer is then unknown, and 0 is said.
        _ = pipe(&ends)
        (reading, writing) = (ends[0], ends[1])
    }

    deinit {
        close(reading)
        close(writing)
    }

    func give(_ value: Int) {
        var value = Int64(value)
        _ = write(writing, &value, 8)
    }

    func wait(milliseconds: Int32) -> Int? {
        var question = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
        guard reading >= 0, poll(&question, 1, milliseconds) == 1 else { return nil }
        var value: Int64 = 0
        return read(reading, &value, 8) == 8 ? Int(value) : nil
    }
}
