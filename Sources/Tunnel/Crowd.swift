/// Tells when most of many sub-connections have ended. What they had is then free, but the allocator keeps it: 10,000 that
/// rested and closed left 14 MB with two processes that had 46 before.
package struct Crowd {
    /// Fewer are not worth a walk over the heap.
    static let least = 1_000
    /// For the rest to leave; the walk takes some milliseconds and should be the last.
    package static let restNanoseconds: UInt64 = 1_000_000_000

    private var most = 0

    package init() {}

    /// True once for each time that three quarters of a crowd have gone.
    package mutating func hasLeft(remaining: Int) -> Bool {
        most = max(most, remaining)
        guard most >= Self.least, remaining <= most / 4 else { return false }
        most = remaining
        return true
    }
}
