import Mux
import Reactor

/// What is still to be done for a sub-connection whose other end's socket has failed. A reset drops what the kernel has not sent, so
/// it waits until all that was said before has been written and acknowledged; tcp(7) tells nobody of that, so it is looked at.
package final class Parting {
    /// Without any progress. A client that does not read is reset without its last bytes, as by a direct connection.
    package static let patience: UInt64 = 10_000_000_000
    private static let firstLook: UInt64 = 500_000
    private static let lastLook: UInt64 = 1_000_000_000

    let reason: CloseReason
    var timer: LoopTimer?
    private var interval = Parting.firstLook
    private var progressAt: UInt64
    private var left = Int.max

    package init(_ reason: CloseReason, now: UInt64) {
        self.reason = reason
        progressAt = now
    }

    /// When to look again; nil: it has waited long enough. `left`: what has not been acknowledged, and not been written.
    package func next(left: Int, now: UInt64) -> UInt64? {
        if left < self.left { (self.left, progressAt) = (left, now) }
        guard now - progressAt < Self.patience else { return nil }
        defer { interval = min(2 * interval, Self.lastLook) }
        return interval
    }
}
