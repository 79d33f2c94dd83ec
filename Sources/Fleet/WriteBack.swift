import Logging
import Reactor
import Records

/// Tells the records what is seen of the nodes. Level-triggered, as what is wanted is: what could not be written is looked at
/// again when the records take it, and written as it is by then. Only what has an end (sessions, entries of the audit) waits
/// here meanwhile, in bounds.
///
///     mark ─turn's end─► observe, owed ─submit─► Store
///                          ▲                       │ failed ─mailbox─► owed again, and no state counts as written
///                          └── each second, once the records write again ──┘
///
/// One loop owns it.
final class WriteBack: TurnWork {
    /// Of one node, what happened and is not in the records.
    private struct News: Sendable {
        var node = ""
        /// In their order; the last one may stand.
        var sessions: [ObservedSession] = []
        /// Sessions of which nothing will be known but that there were so many.
        var sessionsLeftOut = 0
        var audit: [Entry] = []
        var auditLeftOut = 0

        struct Entry: Sendable {
            let at = Timestamp.now
            let action: StaticString
            let detail: String
        }

        var isEmpty: Bool {
            sessions.isEmpty && audit.isEmpty && sessionsLeftOut == 0 && auditLeftOut == 0
        }

        /// A node that comes back each second is told of in so much; of the rest the number is.
        mutating func bound() {
            let sessions = sessions.count - WriteBack.maximumSessions
            if sessions > 0 {
                self.sessions.removeFirst(sessions)
                sessionsLeftOut += sessions
            }
            let entries = audit.count - WriteBack.maximumEntries
            if entries > 0 {
                audit.removeFirst(entries)
                auditLeftOut += entries
            }
        }
    }

    private static let maximumSessions = 16
    private static let maximumEntries = 32
    /// What is written later than this says when it happened.
    private static let lateMicroseconds: Int64 = 1_000_000

    private let loop: EventLoop
    private let store: Store
    /// What is seen of a node's mappings; nil when it is none any more.
    private let observe: (_ node: String) -> [ObservedState]?
    /// What the store has been given of each node's mappings.
    private var written: [String: [UInt32: ObservedState]] = [:]
    private var owed: [String: News] = [:]
    private var marked: Set<String> = []
    /// Could not be told; tried again by `tick`.
    private var waiting: Set<String> = []

    init(loop: EventLoop, store: Store, observe: @escaping (_ node: String) -> [ObservedState]?) {
        self.loop = loop
        self.store = store
        self.observe = observe
    }

    // MARK: What there is to tell

    /// What is seen of the node may have changed.
    func mark(_ node: String) {
        if marked.isEmpty { loop.atTurnEnd(self) }
        marked.insert(node)
    }

    /// A session that begins, or that has an end now.
    func tell(_ session: ObservedSession) {
        var news = owed[session.nodeID] ?? News()
        news.node = session.node
        news.sessions.removeAll { $0.id == session.id }
        news.sessions.append(session)
        news.bound()
        owed[session.nodeID] = news
        mark(session.nodeID)
    }

    func audit(_ node: String, name: String, _ action: StaticString, _ detail: String) {
        var news = owed[node] ?? News()
        news.node = name
        news.audit.append(News.Entry(action: action, detail: detail))
        news.bound()
        owed[node] = news
        mark(node)
    }

    /// The records forget what was observed of a session's mappings with the session's end, and of mappings that change.
    func forgetStates(of node: String, but kept: ((UInt32) -> Bool)? = nil) {
        if let kept {
            written[node] = written[node]?.filter { kept($0.key) }
        } else {
            written[node] = nil
        }
    }

    // MARK: Telling

    package func turnEnds() {
        let nodes = marked
        marked = []
        if store.health.isFailing {
            waiting.formUnion(nodes)
        } else {
            for node in nodes.sorted() { write(node) }
        }
    }

    /// Each second.
    func tick() {
        guard !waiting.isEmpty, !store.health.isFailing else { return }
        let nodes = waiting
        waiting = []
        for node in nodes { mark(node) }
    }

    /// All that there is, also to a store that was failing a moment ago.
    func flush() {
        for node in marked.union(waiting).sorted() { write(node) }
    }

    private func write(_ id: String) {
        let known = written[id] ?? [:]
        let states = (observe(id) ?? []).filter { known[$0.mapping] != $0 }
        let news = owed.removeValue(forKey: id) ?? News()
        guard !states.isEmpty || !news.isEmpty else { return }
        for state in states { written[id, default: [:]][state.mapping] = state }
        let (mailbox, bound) = (loop.mailbox, LoopBound(self, to: loop))
        let isQueued = store.submit(actor: .node(news.node)) { (transaction) throws(RecordsError) in
            for session in news.sessions { try transaction.setSession(session) }
            try Self.write(news, of: id, &transaction)
            try transaction.setObserved(id, states)
        } failed: { _ in
            mailbox.post { loop in bound.value(on: loop).notWritten(id, news) }
        }
        if !isQueued { notWritten(id, news) }
    }

    private static func write(
        _ news: News, of id: String, _ transaction: inout Transaction
    ) throws(RecordsError) {
        let node = try transaction.reader.node(id: id)
        for entry in news.audit {
            let isLate = transaction.now.distance(from: entry.at) > lateMicroseconds
            try transaction.audit(
                entry.action, node: node,
                detail: isLate
                    ? "\(entry.detail) (at \(entry.at), when nothing could be written)" : entry.detail)
        }
        for (count, what) in [
            (news.sessionsLeftOut, "sessions"), (news.auditLeftOut, "entries of the audit"),
        ]
        where count > 0 {
            try transaction.audit(
                "left-out", node: node, detail: "\(count) \(what), while nothing could be written")
        }
    }

    /// Nothing of it; what came after it may have been.
    private func notWritten(_ id: String, _ news: News) {
        written[id] = nil
        waiting.insert(id)
        guard !news.isEmpty else { return }
        var all = news
        if let newer = owed[id] {
            all.node = newer.node
            all.sessions.removeAll { old in newer.sessions.contains { $0.id == old.id } }
            all.sessions += newer.sessions
            all.audit += newer.audit
            all.sessionsLeftOut += newer.sessionsLeftOut
            all.auditLeftOut += newer.auditLeftOut
        }
        all.bound()
        owed[id] = all
    }
}
