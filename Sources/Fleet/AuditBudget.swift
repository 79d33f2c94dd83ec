/// What one node can make the server write into the audit, which is kept for ever: so many entries in ten minutes. What is left out
/// is counted exactly, and the count is an entry of its own when the next one is due. Pure: the caller brings the time.
package struct AuditBudget {
    package static let most = 10
    package static let window: UInt64 = 600_000_000_000

    private var times: [UInt64] = []
    package private(set) var leftOut = 0

    package init() {}

    /// Whether this entry is to be written.
    package mutating func admit(now: UInt64) -> Bool {
        guard hasRoom(now: now) else {
            leftOut += 1
            return false
        }
        times.append(now)
        return true
    }

    /// How many were left out, once they can be told; 0 until then. It begins anew.
    package mutating func takeLeftOut(now: UInt64) -> Int {
        guard leftOut > 0, hasRoom(now: now) else { return 0 }
        times.append(now)
        return takeLeftOut()
    }

    /// The count so far, at an end.
    package mutating func takeLeftOut() -> Int {
        defer { leftOut = 0 }
        return leftOut
    }

    private mutating func hasRoom(now: UInt64) -> Bool {
        times.removeAll { now - min($0, now) > Self.window }
        return times.count < Self.most
    }
}
