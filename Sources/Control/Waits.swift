import Glibc
import Synchronization

/// Those who wait for a mapping, each on its own thread. Observed states come by way of the store, so a waiter looks again: after
/// a tenth of the time that it has waited, between 5 and 250 ms. It is late by a tenth at most, and 32 who wait for long cost 128
/// reads by primary key a second.
final class Waits: Sendable {
    /// Half of the control socket's connections: the others stay free for those who do not wait.
    static let limit = 32
    private let waiting = Atomic<Int>(0)
    /// Readable for ever once there is nothing to wait for any more.
    private let bell: (read: Int32, write: Int32)

    init() {
        var ends: [Int32] = [-1, -1]
        // Without descriptors nobody can wait long: `poll` passes over -1.
        _ = pipe(&ends)
        for descriptor in ends where descriptor >= 0 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        bell = (ends[0], ends[1])
    }

    deinit {
        close(bell.read)
        close(bell.write)
    }

    /// False when too many wait.
    func begin() -> Bool {
        if waiting.add(1, ordering: .relaxed).newValue <= Self.limit { return true }
        finish()
        return false
    }

    func finish() { waiting.subtract(1, ordering: .relaxed) }

    /// False when there is nothing to wait for any more.
    func pause(after waited: Duration) -> Bool {
        pause(milliseconds: Int32(min(250, max(5, waited / .milliseconds(10)))))
    }

    private func pause(milliseconds: Int32) -> Bool {
        var descriptor = pollfd(fd: bell.read, events: Int16(POLLIN), revents: 0)
        return poll(&descriptor, 1, milliseconds) <= 0
    }

    var isEnded: Bool { !pause(milliseconds: 0) }

    func end() { _ = Glibc.write(bell.write, [1], 1) }
}
