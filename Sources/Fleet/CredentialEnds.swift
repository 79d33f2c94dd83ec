import Glibc
import Reactor
import Records

/// Watches the uuids that end at a time, by the clock that people read: it may be set at any moment, so it is asked each second,
/// and what ends within one has a timer of its own.
///
/// One loop owns it.
final class CredentialEnds {
    private static let soon: Int64 = 1_000_000

    private let loop: EventLoop
    private let store: Store
    private let ended: (_ nodes: [String], _ now: Int64) -> Void
    /// The next end of each node that has one, in microseconds since the epoch.
    private var next: [String: Int64] = [:]
    private var timer: LoopTimer?
    /// Something has ended that the records still hold, and the sub-connections that ended with a link on it.
    private var isOwed = false
    private var links: [[UInt8]: Int] = [:]

    /// - Parameter ended: hears of nodes that have a uuid whose time is over
    init(loop: EventLoop, store: Store, ended: @escaping (_ nodes: [String], _ now: Int64) -> Void) {
        self.loop = loop
        self.store = store
        self.ended = ended
    }

    deinit { loop.cancel(timer) }

    func watch(_ node: String, _ admissions: [Admission]) {
        let end = admissions.map(\.validMicroseconds.upperBound).filter { $0 < .max }.min()
        next[node] = end
        if let end, end <= Timestamp.now.microseconds + Self.soon { look() }
    }

    /// The records are to forget it, and say so. `subConnections`: of a link that stood on it.
    func note(_ identity: [UInt8], subConnections: Int?) {
        isOwed = true
        links[identity] = subConnections
    }

    /// Each second.
    func tick() {
        look()
        write()
    }

    private func look() {
        loop.cancel(timer)
        timer = nil
        guard let first = next.values.min() else { return }
        let now = Timestamp.now.microseconds
        guard first <= now + Self.soon else { return }
        timer = loop.schedule(after: UInt64(clamping: first - now) * 1_000) { [weak self] in self?.end() }
    }

    private func end() {
        timer = nil
        let now = Timestamp.now.microseconds
        let due = next.filter { $0.value <= now }.map(\.key).sorted()
        for node in due { next[node] = nil }
        if !due.isEmpty { ended(due, now) }
        look()
        write()
    }

    /// As soon as the records take it: the link has not waited for them.
    private func write() {
        guard isOwed, !store.health.isFailing else { return }
        isOwed = false
        let told = links
        links = [:]
        let (mailbox, bound) = (loop.mailbox, LoopBound(self, to: loop))
        let isQueued = store.submit { (transaction) throws(RecordsError) in
            _ = try transaction.endExpiredCredentials(links: told)
        } failed: { _ in
            mailbox.post { loop in bound.value(on: loop).owe(told) }
        }
        if !isQueued { owe(told) }
    }

    private func owe(_ told: [[UInt8]: Int]) {
        isOwed = true
        links.merge(told) { new, _ in new }
    }
}
