import Glibc
import Synchronization

/// Who reads, and since when; and the door at which a new reader waits for a moment while the log of writes is emptied.
///
/// The log begins anew only when nobody reads from it. Readers that overlap, each short, would keep it growing for ever.
package final class ReaderGate: Sendable {
    package struct Reading: Sendable {
        /// What it is for: the request and who asked.
        package let name: String
        /// Monotonic.
        package let sinceNanoseconds: UInt64
    }

    /// What reads on this thread are for: named by whoever has a request.
    @TaskLocal package static var name = "the server"

    private struct State {
        var readings: [UInt64: Reading] = [:]
        var next: UInt64 = 0
        var isClosed = false
        var holder: String?
    }

    /// Whatever becomes of the log, nobody waits longer to begin.
    private static let longestWaitNanoseconds: UInt64 = 1_000_000_000
    private let state = Mutex(State())

    /// On the reader's thread. `end` has to follow.
    func begin() -> UInt64 {
        let start = Monotonic.nanoseconds
        while true {
            let number = state.withLock { state -> UInt64? in
                let now = Monotonic.nanoseconds
                if state.isClosed, now - start < Self.longestWaitNanoseconds { return nil }
                state.next += 1
                state.readings[state.next] = Reading(name: Self.name, sinceNanoseconds: now)
                return state.next
            }
            if let number { return number }
            usleep(1_000)
        }
    }

    func end(_ number: UInt64) {
        state.withLock { $0.readings[number] = nil }
    }

    /// Who kept the log of writes from beginning anew when it was to, if it could not since.
    var holder: String? { state.withLock { $0.holder } }
    func holds(_ reader: String?) { state.withLock { $0.holder = reader } }

    func close() { state.withLock { $0.isClosed = true } }
    func open() { state.withLock { $0.isClosed = false } }

    /// The one that has been reading for longest; nil when nobody reads.
    var oldest: Reading? {
        state.withLock { $0.readings.values.min { $0.sinceNanoseconds < $1.sinceNanoseconds } }
    }
}
