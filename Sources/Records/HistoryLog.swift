import Synchronization
import Threads

/// What became of what was appended. Told on the writer's thread, where nothing else is said; the next batch waits meanwhile.
package enum HistoryOutcome: Sendable {
    /// All openings up to this ticket are on disk, though not in the database yet. Told on the journal's thread.
    case recorded(through: UInt64)
    /// All events up to this ticket are on disk, but for those that were told to have failed.
    case durable(through: UInt64)
    /// The openings up to this ticket that are not durable are dropped for good: they are never written. Routes, closings and
    /// notes are kept and tried again.
    case failed(through: UInt64, RecordsError)
    /// The store writes again.
    case healed
}

/// The history's way in. Events are written in their order by the writer's thread, in one commit with whatever else waits
/// there; nobody who appends waits for the disk. Any thread.
///
/// Every opening is followed by exactly one closing, also one whose opening failed: that closing is passed over.
package final class HistoryLog: Sendable {
    private struct State {
        var events: [HistoryEvent] = []
        /// Somebody waits for one of them: an opening that the journal does not take.
        var isUrgent = false
        var journal = JournalQueue()
        /// The writer looks by itself before long, and is told of openings only.
        var isAttended = false
        /// Of the last event appended.
        var ticket: UInt64 = 0
        var lastOpening: Int64 = 0
        var lastRoute: Int64 = 0
        var isClosed = false
        var hearer: Hearer?
        var commits: UInt64 = 0
        var waiters: [Semaphore] = []
        var hasEndedWaits = false
        var givesBackMemory = false
    }

    /// In a struct, a closure goes through the lock as it is; bare it would be wrapped anew each time it is read.
    private struct Hearer {
        let call: @Sendable (HistoryOutcome) -> Void
    }

    private let state = Mutex(State())
    private let connectionIDs = Atomic<Int64>(0)
    private let routeIDs = Atomic<Int64>(0)
    private let bell: Semaphore
    private let journalBell = Semaphore()
    private let journalIsIdle = Semaphore()

    init(bell: Semaphore) {
        self.bell = bell
    }

    /// With the highest ids that were ever given. Before anybody else has the log.
    func begin(lastConnection: Int64, lastRoute: Int64) {
        connectionIDs.store(lastConnection, ordering: .relaxed)
        routeIDs.store(lastRoute, ordering: .relaxed)
        state.withLock { state in
            state.lastOpening = lastConnection
            state.lastRoute = lastRoute
        }
    }

    /// The last connection's id that was given.
    var lastConnection: Int64 { connectionIDs.load(ordering: .relaxed) }

    /// Above every id on disk and in the slot file.
    package func newConnectionID() -> Int64 { connectionIDs.add(1, ordering: .relaxed).newValue }

    package func newRouteID() -> Int64 { routeIDs.add(1, ordering: .relaxed).newValue }

    /// Answers the ticket of the last event. Not bounded here: the caller has as many connections as there are slots. Events
    /// appended after the store has closed are gone; the slot file tells of them at the next start.
    @discardableResult
    package func append(_ events: [HistoryEvent]) -> UInt64 {
        guard !events.isEmpty else { return state.withLock(\.ticket) }
        let (ticket, rings, ringsJournal) = state.withLock { state in
            var isUrgent = false
            var ticket = state.ticket
            for event in events {
                Self.check(event, &state)
                ticket += 1
                // What the database will not have must not be told as recorded.
                guard !state.isClosed, case .opened(let opening) = event else { continue }
                if !state.journal.append(opening, ticket: ticket) { isUrgent = true }
            }
            // The writer knows of what it has not taken; it is told again only when somebody waits for it.
            let rings = isUrgent ? !state.isUrgent : state.events.isEmpty && !state.isAttended
            state.isUrgent = state.isUrgent || isUrgent
            state.ticket = ticket
            if !state.isClosed { state.events.append(contentsOf: events) }
            return (ticket, rings, state.journal.wakes())
        }
        if ringsJournal { journalBell.post() }
        if rings { bell.post() }
        return ticket
    }

    /// A crowd has gone: the writer lets go of what it keeps for the next one.
    package func giveBackMemory() {
        state.withLock { $0.givesBackMemory = true }
        bell.post()
    }

    /// Whether `giveBackMemory` was called; once for each time.
    func takeMemoryWish() -> Bool {
        state.withLock { state in
            defer { state.givesBackMemory = false }
            if state.givesBackMemory, state.events.isEmpty { state.events = [] }
            return state.givesBackMemory
        }
    }

    /// The chain is in the order of the ids. Events out of order are a fault of ours.
    private static func check(_ event: HistoryEvent, _ state: inout State) {
        switch event {
        case .opened(let opened):
            precondition(opened.id > state.lastOpening, "connection \(opened.id) is opened out of order")
            state.lastOpening = opened.id
        case .route(let route):
            precondition(route.id > state.lastRoute, "route \(route.id) is out of order")
            state.lastRoute = route.id
        case .closed, .note: break
        }
    }

    /// Set once, before the first `append`.
    package var onOutcome: (@Sendable (HistoryOutcome) -> Void)? {
        get { state.withLock { $0.hearer }?.call }
        set { state.withLock { $0.hearer = newValue.map(Hearer.init) } }
    }

    // MARK: Following

    /// Waits until more than `number` commits have been made, for at most so long, and answers how many there are. Commits are
    /// counted from the store's opening. Any number of threads may wait.
    package func waitForCommit(after number: UInt64, milliseconds: Int) -> UInt64 {
        let bell = Semaphore()
        let commits: UInt64? = state.withLock { state in
            guard state.commits <= number, !state.hasEndedWaits, milliseconds > 0 else {
                return state.commits
            }
            state.waiters.append(bell)
            return nil
        }
        if let commits { return commits }
        bell.wait(milliseconds: milliseconds)
        return state.withLock { state in
            state.waiters.removeAll { $0 === bell }
            return state.commits
        }
    }

    /// How many commits there are.
    package var commits: UInt64 { state.withLock(\.commits) }

    /// Ends all waits, now and from now on.
    package func endWaits() {
        state.withLock { state in
            state.hasEndedWaits = true
            for waiter in state.waiters { waiter.post() }
            state.waiters = []
        }
    }

    // MARK: The writer's side

    /// What there is to write.
    enum Waiting {
        case nothing
        /// Nobody waits for any of it: closings, which the slot file holds too.
        case canWait
        case urgent
    }

    /// `isAttended`: the writer will look again by itself, and closings need not wake it.
    func look(isAttended: Bool) -> Waiting {
        state.withLock { state in
            state.isAttended = isAttended
            return state.isUrgent || state.isClosed ? .urgent : state.events.isEmpty ? .nothing : .canWait
        }
    }

    /// Exchanges what waits for an emptied list, whose memory is used again. Answers the ticket of the last event.
    func take(into emptied: inout [HistoryEvent]) -> UInt64 {
        state.withLock { state in
            swap(&state.events, &emptied)
            state.isUrgent = false
            return state.ticket
        }
    }

    func tell(_ outcome: HistoryOutcome) {
        state.withLock { $0.hearer }?.call(outcome)
    }

    func countCommit() {
        state.withLock { state in
            state.commits += 1
            for waiter in state.waiters { waiter.post() }
            state.waiters = []
        }
    }

    /// What is appended from now on is not taken.
    func close() {
        state.withLock { $0.isClosed = true }
        endWaits()
    }
}

// MARK: The journal's side

extension HistoryLog {
    /// Openings go to a journal too, from now on. `lastRoute` and `lastOpening` are in the database.
    func beginJournal(lastRoute: Int64, lastOpening: Int64) {
        state.withLock { $0.journal.begin(lastRoute: lastRoute, lastOpening: lastOpening) }
    }

    /// Waits for openings that the journal can take, awake while they follow each other closely. Nil when there will be none any more.
    func waitForOpenings(
        into openings: inout [Opened], looking nanoseconds: UInt64, _ window: inout PollingWindow
    ) -> JournalQueue.Batch? {
        while true {
            let (batch, isOver) = state.withLock { ($0.journal.take(into: &openings), $0.journal.isOver) }
            if isOver { return nil }
            if let batch { return batch }
            journalBell.wait(looking: nanoseconds, &window)
        }
    }

    /// What was taken last is on disk; nobody has been told yet.
    func journalIsOnDisk() { state.withLock { $0.journal.isOnDisk() } }

    /// What was taken last is on disk, and who waits for it has been told; or it is not, and the database must have it.
    func endJournalWrite(_ outcome: JournalQueue.Outcome) {
        let wakes = state.withLock { state in
            if outcome != .done { state.isUrgent = true }
            return state.journal.endWrite(outcome)
        }
        if wakes { journalIsIdle.post() }
        if outcome != .done { bell.post() }
    }

    /// The database has all up to this ticket on disk, and writes.
    func wrote(through ticket: UInt64, lastRoute: Int64, lastOpening: Int64) {
        let wakes = state.withLock { state in
            state.journal.wrote(through: ticket, lastRoute: lastRoute, lastOpening: lastOpening)
            return state.journal.wakes()
        }
        if wakes { journalBell.post() }
    }

    /// The database does not write: nothing new goes into the journal until it does. Answers the ticket up to which openings are in
    /// it, and told; waits for a write to it that is under way.
    func holdJournal() -> UInt64 {
        let waits = state.withLock { $0.journal.hold() }
        if waits { journalIsIdle.wait() }
        return state.withLock { $0.journal.recorded }
    }

    /// Openings up to this ticket were dropped.
    func dropFromJournal(through ticket: UInt64) {
        state.withLock { $0.journal.drop(through: ticket) }
    }

    func endJournal() {
        state.withLock { $0.journal.end() }
        journalBell.post()
    }
}
