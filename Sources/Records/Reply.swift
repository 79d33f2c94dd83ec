import Synchronization

/// Carries one answer from the writer's thread to the one that waits for it.
final class Reply<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var error: RecordsError?
    }

    private let state = Mutex(State())
    private let bell = Semaphore()

    /// The answer, should the commit succeed.
    func keep(_ value: Value) {
        state.withLock { $0.value = value }
    }

    func finish(_ error: RecordsError?) {
        state.withLock { $0.error = error }
        bell.post()
    }

    /// Once.
    func wait() throws(RecordsError) -> Value {
        bell.wait()
        let state = state.withLock { $0 }
        if let error = state.error { throw error }
        guard let value = state.value else { throw .closed }
        return value
    }
}
