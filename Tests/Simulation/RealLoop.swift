import Reactor

/// A loop on the system's sockets and clock, turned by a test on its own thread.
package final class RealLoop {
    package let loop: EventLoop

    package init() throws(SystemError) {
        loop = try EventLoop()
    }

    /// Turns until `condition`, which may also become true without an event; false after so many seconds.
    package func until(seconds: Double = 10, _ condition: () -> Bool) -> Bool {
        var isExpired = false
        let end = loop.schedule(after: UInt64(seconds * 1e9)) { isExpired = true }
        defer { loop.cancel(end) }
        while !condition() {
            if isExpired { return false }
            let tick = loop.schedule(after: 5_000_000) {}
            loop.turn()
            loop.cancel(tick)
        }
        return true
    }
}
