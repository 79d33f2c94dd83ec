/// How many lines of the log the other end may cause: a crowd of them at once and then one every other second, and of one mapping
/// no more than ten a minute, so that one that changes its mind all the time leaves the others their lines. What is left out
/// is counted exactly. Pure: the caller brings the time.
package struct LineBudget {
    /// A line has 200 bytes: 9 MB a day at most.
    package static let nanosecondsEach: UInt64 = 2_000_000_000
    /// Reconnections of a bad quarter of an hour. On top of it, each mapping may begin and fail once.
    package static let burst: UInt64 = 200
    package static let linesPerMapping = 10
    package static let window: UInt64 = 60_000_000_000

    /// Virtual time up to which the budget is spent (a leaky bucket in one number).
    private var spentUntil: UInt64 = 0
    private var windowEnd: UInt64 = 0
    private var lines: [UInt32: Int] = [:]
    package private(set) var leftOut = 0

    package init() {}

    /// Whether this line is to be written.
    package mutating func admit(of mapping: UInt32? = nil, mappings: Int, now: UInt64) -> Bool {
        if now >= windowEnd {
            windowEnd = now + Self.window
            lines.removeAll(keepingCapacity: true)
        }
        let most = Self.burst + 2 * UInt64(clamping: mappings)
        let next = max(spentUntil, now) + Self.nanosecondsEach
        let written = mapping.map { lines[$0] ?? 0 } ?? 0
        guard next - now <= most * Self.nanosecondsEach, written < Self.linesPerMapping else {
            leftOut += 1
            return false
        }
        spentUntil = next
        if let mapping { lines[mapping] = written + 1 }
        return true
    }

    /// The count so far; it begins anew.
    package mutating func takeLeftOut() -> Int {
        defer { leftOut = 0 }
        return leftOut
    }
}

/// When reports are taken that answer no plan. Each is the whole, so of those that come too soon only the last counts, and it waits.
package struct ReportBudget {
    package static let burst: UInt64 = 20
    package static let nanosecondsEach: UInt64 = 1_000_000_000
    private var spentUntil: UInt64 = 0

    package init() {}

    /// How long the next one has to wait; 0: it is taken.
    package mutating func take(now: UInt64) -> UInt64 {
        let next = max(spentUntil, now) + Self.nanosecondsEach
        let allowed = Self.burst * Self.nanosecondsEach
        guard next - now <= allowed else { return next - now - allowed }
        spentUntil = next
        return 0
    }
}
