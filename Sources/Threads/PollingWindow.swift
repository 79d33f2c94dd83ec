/// Whether a thread should look for events for a short while before it sleeps, and for how long.
///
/// Waking a processor that sleeps costs some 20 µs on a virtual machine: an echo through a tunnel wakes six, and takes 140 µs of which
/// 100 are that. A loop that looks again instead is there when the next event comes. That is worth its processor time only while
/// events do follow each other closely, so it has to be earned: by waits that were short, whether asleep or not.
///
///     short waits ─► open: look, between yields, for 100 µs ─► event: goes on
///                                                          ├─► none: sleep, and pay for it
///                                                          └─► others want the processor: sleep, and pay for it
///
/// A wait of a millisecond closes it at once. So whatever comes less often than that, however regularly, never finds it open, and
/// an idle loop costs nothing.
package struct PollingWindow: Sendable {
    /// How long to look.
    package static let nanoseconds: UInt64 = 100_000
    /// The longest waits of a loop in an echo between processes that all sleep: with less, two loops that both sleep would never
    /// learn that they need not.
    package static let shortNanoseconds: UInt64 = 150_000
    /// A turn that took longer than this moved much: what it waits for now is room, and others are better served by the processor.
    package static let lightTurnNanoseconds: UInt64 = 50_000
    /// A yield that took longer than this has let somebody else run.
    package static let yieldNanoseconds: UInt64 = 3_000
    /// Closes it.
    package static let longNanoseconds: UInt64 = 1_000_000

    private static let most = 64
    private static let needed = 8
    /// Looking in vain outweighs four times that it helped: at most a fifth of all attempts fail, or it closes.
    private static let price = 4
    /// Then it is not tried again too soon.
    private static let closed = -24

    private let shortNanoseconds: UInt64
    private var earned = 0

    /// What a short wait is. It should be no less than what two who both sleep take to answer each other.
    package init(shortNanoseconds: UInt64 = PollingWindow.shortNanoseconds) {
        self.shortNanoseconds = shortNanoseconds
    }

    package var isOpen: Bool { earned >= Self.needed }

    /// A wait has come to its end with an event.
    package mutating func waited(_ nanoseconds: UInt64) {
        if nanoseconds <= shortNanoseconds {
            earned = min(earned + 1, Self.most)
        } else {
            earned = min(earned, nanoseconds < Self.longNanoseconds ? max(earned - 1, 0) : 0)
        }
    }

    /// The time was over, or somebody else had work for the processor, before an event came.
    package mutating func lookedInVain() {
        earned -= Self.price
        if !isOpen { earned = Self.closed }
    }
}
