import Synchronization

/// Whether the store writes.
package struct StoreHealth: Hashable, Sendable {
    /// Since when nothing could be written; nil while all is well.
    package var failingSince: Timestamp?
    /// What stands in the way.
    package var reason: String?
    /// The database was moved or deleted under the program: it never writes again.
    package var isLost = false

    package var isFailing: Bool { failingSince != nil }
}

/// What the writer's thread tells the others of its state.
final class StoreSignals: Sendable {
    private struct State {
        var health = StoreHealth()
        var loss: RecordsError?
        var down: HistoryGap?
        var onLost: (@Sendable (RecordsError) -> Void)?
    }

    private let state = Mutex(State())

    var health: StoreHealth {
        get { state.withLock(\.health) }
        set { state.withLock { $0.health = newValue } }
    }

    /// Since when no server has run, where this program is none.
    var down: HistoryGap? {
        get { state.withLock(\.down) }
        set { state.withLock { $0.down = newValue } }
    }

    /// Called once, and at once when the loss was before.
    var onLost: (@Sendable (RecordsError) -> Void)? {
        get { state.withLock(\.onLost) }
        set {
            let loss = state.withLock { state in
                state.onLost = newValue
                return state.loss
            }
            if let loss { newValue?(loss) }
        }
    }

    func lose(_ error: RecordsError) {
        let call = state.withLock { state in
            guard state.loss == nil else { return nil as (@Sendable (RecordsError) -> Void)? }
            state.loss = error
            state.health.isLost = true
            return state.onLost
        }
        call?(error)
    }
}
