import Glibc
import Synchronization

/// Who is connected. When every place is taken, a newcomer gets that of whoever has gone longest without an answer being made for
/// it: one that says nothing, or half of a request, or does not read, must not keep others out. Callable from any thread.
final class Places: Sendable {
    private struct Place {
        let descriptor: Int32
        /// Of its last change: the lowest has waited longest.
        var number: UInt64
        var isBusy = false
        var isSentAway = false
    }

    private struct State {
        var places: [UInt: Place] = [:]
        var number: UInt64 = 0
        var sentAway = 0
    }

    private let state = Mutex(State())
    private let most: Int

    init(most: Int) { self.most = most }

    /// `connection` names it until `closed`, which comes before its descriptor is another's.
    func began(_ connection: UInt, _ descriptor: Int32) {
        state.withLock { state in
            state.number += 1
            state.places[connection] = Place(descriptor: descriptor, number: state.number)
            guard state.places.count - state.sentAway > most else { return }
            let idle = state.places.filter { !$0.value.isBusy && !$0.value.isSentAway }
            // With all others busy that is the newcomer itself.
            guard let (name, place) = idle.min(by: { $0.value.number < $1.value.number }) else { return }
            state.places[name]?.isSentAway = true
            state.sentAway += 1
            // Its thread wakes and closes it.
            shutdown(place.descriptor, Int32(SHUT_RDWR))
        }
    }

    /// An answer is made for it, or has been.
    func mark(_ connection: UInt, isBusy: Bool) {
        state.withLock { state in
            state.number += 1
            state.places[connection]?.isBusy = isBusy
            state.places[connection]?.number = state.number
        }
    }

    func closed(_ connection: UInt) {
        state.withLock { state in
            if state.places.removeValue(forKey: connection)?.isSentAway == true { state.sentAway -= 1 }
        }
    }
}
