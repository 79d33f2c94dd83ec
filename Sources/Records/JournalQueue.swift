/// Openings between the log and the journal, and whether it may take them. A value, under the log's lock.
///
///     append ─► waiting ─take─► being written ─isOnDisk─► recorded ─endWrite─► told
///                  └────────────┴──────── wrote, or drop: the database was first ─► gone
struct JournalQueue {
    /// What to write at once.
    struct Batch {
        /// The ticket of the last one.
        let through: UInt64
        /// The last opening that the database has on disk.
        let written: Int64
    }

    enum Outcome {
        case done
        /// The database has to write first.
        case full
        /// There is no journal any more.
        case failed
    }

    private enum State {
        /// There is no journal, or none any more.
        case none
        case ready
        /// Until the database has written again: it does not write, the journal was full, or there is a crowd.
        case held
    }

    /// With more openings than this waiting at once the database takes them as soon as it can: one sync is shared by many then, and
    /// two files that are synced side by side seem to wait for each other.
    private static let crowd = 8

    private var state = State.none
    private var waiting: [(ticket: UInt64, opening: Opened)] = []
    /// Of the batch that is being written.
    private var writing: UInt64?
    /// Somebody waits for its end.
    private var isAwaited = false
    /// The journal's thread has nothing to do, and has to be told.
    private var isResting = false
    private(set) var isOver = false
    /// Openings up to this ticket were on disk before the database had them.
    private(set) var recorded: UInt64 = 0
    /// Openings of later routes cannot be understood without the database's next commit.
    private var lastRoute: Int64 = 0
    private var lastOpening: Int64 = 0

    mutating func begin(lastRoute: Int64, lastOpening: Int64) {
        state = .ready
        (self.lastRoute, self.lastOpening) = (lastRoute, lastOpening)
    }

    /// False when the database must have it at once, because the journal will not.
    mutating func append(_ opening: Opened, ticket: UInt64) -> Bool {
        guard state != .none else { return false }
        waiting.append((ticket, opening))
        if waiting.count > Self.crowd, state == .ready { state = .held }
        return state == .ready && opening.route <= lastRoute
    }

    /// Once, when there is something for a thread that rests.
    mutating func wakes() -> Bool {
        guard isResting, state == .ready, let first = waiting.first, first.opening.route <= lastRoute else {
            return false
        }
        isResting = false
        return true
    }

    /// The next openings, in their order: what is on disk is always all up to some ticket. Nil: there are none.
    mutating func take(into openings: inout [Opened]) -> Batch? {
        openings.removeAll(keepingCapacity: true)
        isResting = true
        guard state == .ready else { return nil }
        var through: UInt64 = 0
        for (ticket, opening) in waiting {
            guard opening.route <= lastRoute, openings.count < OpeningJournal.openingsPerBlock else { break }
            openings.append(opening)
            through = ticket
        }
        guard through > 0 else { return nil }
        isResting = false
        writing = through
        return Batch(through: through, written: lastOpening)
    }

    /// The batch is on disk. Before anybody is told: who is told sends the next ones, and these are no crowd with them.
    mutating func isOnDisk() {
        guard let writing else { return }
        recorded = writing
        drop(through: writing)
    }

    /// Answers whether somebody waits for it.
    mutating func endWrite(_ outcome: Outcome) -> Bool {
        switch outcome {
        case .done: break
        case .full: if state == .ready { state = .held }
        case .failed: end()
        }
        writing = nil
        defer { isAwaited = false }
        return isAwaited
    }

    mutating func wrote(through ticket: UInt64, lastRoute: Int64, lastOpening: Int64) {
        drop(through: ticket)
        (self.lastRoute, self.lastOpening) = (lastRoute, lastOpening)
        if state == .held, waiting.count <= Self.crowd { state = .ready }
    }

    /// Answers whether a write is under way, whose end has to be waited for.
    mutating func hold() -> Bool {
        if state == .ready { state = .held }
        isAwaited = writing != nil
        return isAwaited
    }

    mutating func drop(through ticket: UInt64) {
        let kept = waiting.firstIndex { $0.ticket > ticket } ?? waiting.count
        waiting.removeFirst(kept)
    }

    mutating func end() {
        state = .none
        waiting = []
        isOver = true
    }
}
