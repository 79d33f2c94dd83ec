import CLinux
import Glibc
import Synchronization

/// The only door of a loop that other threads may use: closures that run on it, in the order they were posted.
package final class Mailbox: Sendable {
    package typealias Message = @Sendable (EventLoop) -> Void

    private let messages = Mutex<[Message]>([])
    /// True while messages wait, so that the loop looks without taking the lock.
    private let waiting = Atomic<Bool>(false)
    let descriptor: Int32

    package init() throws(SystemError) {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        if descriptor < 0 { throw SystemError() }
    }

    deinit {
        close(descriptor)
    }

    /// From any thread. Wakes the loop when it is asleep.
    package func post(_ message: @escaping Message) {
        messages.withLock { $0.append(message) }
        if !waiting.exchange(true, ordering: .acquiringAndReleasing) {
            var one: UInt64 = 1
            _ = write(descriptor, &one, 8)
        }
    }

    var hasMessages: Bool { waiting.load(ordering: .acquiring) }

    func drain(into loop: EventLoop) {
        guard waiting.exchange(false, ordering: .acquiringAndReleasing) else { return }
        let taken = messages.withLock { messages in
            let taken = messages
            messages = []
            return taken
        }
        for message in taken { message(loop) }
    }
}

/// Carries a reference to something that lives on one loop through other threads. Only that loop can open it.
///
/// Proof: the value is stored once and read only in `value(on:)`, which stops the program unless the caller shows the loop
/// it is bound to, and a loop is not Sendable, so whoever shows it is on its thread. The last reference may be dropped
/// elsewhere; values must not have a `deinit` that touches the loop (sockets and links are closed before).
package struct LoopBound<Value>: @unchecked Sendable {
    private let value: Value
    private let loop: ObjectIdentifier

    package init(_ value: Value, to loop: EventLoop) {
        self.value = value
        self.loop = ObjectIdentifier(loop)
    }

    package func value(on loop: EventLoop) -> Value {
        precondition(ObjectIdentifier(loop) == self.loop, "opened on another loop")
        return value
    }
}
