import Glibc
import Logging
import Reactor

/// A clock and a network in memory, driven by the loop that waits in it. Time stands still while something can be done and
/// otherwise jumps to what comes next, so that five minutes of silence take microseconds.
package final class SimulatedWorld: Poller, Network {
    package private(set) var clock: UInt64 = 1_000_000_000
    package private(set) var turns = 0
    /// The heaviest turn that the loop has told of, until it is set anew.
    package var heaviest = TurnLoad.light
    /// What no user of sockets may do, and loops that turn for nothing.
    package internal(set) var faults: [String] = []
    /// The quality of connections that `connect` makes.
    package var lines: (inout SeededRandom) -> LineQuality = { LineQuality.random(&$0) }
    /// What users of the network are told.
    package var freeDescriptors = 1 << 20
    /// Addresses at which packets disappear.
    package var blackholes: Set<SocketAddress> = []
    /// Addresses at which the machine itself knows that there is no way.
    package var unreachable: [SocketAddress: SystemError] = [:]
    /// Errors that the next `listen` calls on an address meet.
    package var listenErrors: [SocketAddress: [SystemError]] = [:]
    /// What names stand for; other names are not found. Looking one up takes 1 to 40 ms, or for ever.
    package var names: [String: [SocketAddress]] = [:]
    package var namesThatNeverAnswer: Set<String> = []
    /// Wraps each acceptance: called with the listener, the connecting end and the call that accepts.
    package var onAccept: ((SimulatedListener, SimulatedSocket, () -> Void) -> Void)?

    var random: SeededRandom
    private let seed: UInt64
    var sockets: [SimulatedSocket] = []
    var listening: [SocketAddress: SimulatedListener] = [:]
    var events = EventHeap()
    private var calls: [() -> Void] = []
    private var free: [Int] = []
    var due: [Due] = []
    var ready: [SimulatedSocket] = []
    private var dispatching: [SimulatedSocket] = []
    private var idleTurns = 0
    var hasDoneSomething = true
    var nextPort: UInt16 = 20_000
    /// Where connections that are being made go, by socket.
    var destinations: [Int: SocketAddress] = [:]
    /// How lines break that are going to, by the socket that writes to them.
    var breaks: [Int: Break] = [:]

    enum Due {
        case call(Int)
        case accept(SimulatedSocket)
    }

    /// Turns without waiting and without moving a byte that a loop may make.
    private static let mostIdleTurns = 50

    package init(seed: UInt64) {
        self.seed = seed
        random = SeededRandom(seed: seed ^ 0x5eed)
    }

    /// Says what happens, when one seed is replayed.
    package func trace(_ what: @autoclosure () -> String) {
        if Seeds.only != nil { StandardError.write("\(clock / 1_000) µs: \(what())") }
    }

    // MARK: Poller

    package func now() -> UInt64 { clock }

    package func wait(deadline: UInt64?, after load: TurnLoad) {
        turns += 1
        heaviest = max(heaviest, load)
        clock += 500 + UInt64(random.below(8_000))
        takePlace()
        let isBusy = !ready.isEmpty || !due.isEmpty
        idleTurns = isBusy || hasDoneSomething || deadline != 0 ? 0 : idleTurns + 1
        hasDoneSomething = false
        if idleTurns == Self.mostIdleTurns { faults.append("the loop turns and does nothing") }
        guard !isBusy, deadline != 0 else { return }
        guard let next = [events.first?.time, deadline].compactMap({ $0 }).min() else { return }
        clock = max(clock, next)
        takePlace()
    }

    package func dispatch() {
        swap(&ready, &dispatching)
        for socket in dispatching {
            socket.isNotified = false
            socket.deliver()
        }
        dispatching.removeAll(keepingCapacity: true)
        guard !due.isEmpty else { return }
        let taken = due
        due = []
        for item in taken {
            switch item {
            case .accept(let client): accept(client)
            case .call(let place):
                let call = calls[place]
                calls[place] = {}
                free.append(place)
                call()
            }
        }
    }

    /// Everything whose time has come happens; the loop hears of it in `dispatch`.
    private func takePlace() {
        while let event = events.popFirst(until: clock) {
            hasDoneSomething = true
            switch event.kind {
            case .arrive: arrive(sockets[event.index].outgoing)
            case .drain:
                let socket = sockets[event.index]
                socket.outgoing.isDrainPlanned = false
                if socket.outgoing.wantsRoom { notify(socket) }
            case .connect: connected(sockets[event.index])
            case .refuse: sockets[event.index].fail(SystemError(ECONNREFUSED))
            case .reset: sockets[event.index].fail(SystemError(ECONNRESET))
            case .call: due.append(.call(event.index))
            }
        }
    }

    // MARK: For the scenario

    /// Calls `body` on the loop in so many nanoseconds.
    package func after(_ nanoseconds: UInt64, _ body: @escaping () -> Void) {
        let place: Int
        if let last = free.popLast() {
            place = last
            calls[place] = body
        } else {
            place = calls.count
            calls.append(body)
        }
        events.plan(.call, place, at: clock + nanoseconds)
    }

    /// Turns the loop until `condition`, which is looked at every so many turns; false if that does not come true within so
    /// many nanoseconds of simulated time.
    package func run(
        _ loop: EventLoop, within nanoseconds: UInt64, turns limit: Int = 200_000,
        lookingEvery stride: Int = 1,
        until condition: () -> Bool
    ) -> Bool {
        let end = clock + nanoseconds
        let lastTurn = turns + limit
        var isEndPlanned = false
        var left = 0
        while true {
            left -= 1
            if left < 0 {
                if condition() { return true }
                left = stride - 1
            }
            if clock >= end || !faults.isEmpty { return condition() }
            if turns >= lastTurn {
                faults.append("\(limit) turns are not enough")
                return false
            }
            if !isEndPlanned {
                isEndPlanned = true
                after(nanoseconds) {}
            }
            loop.turn()
        }
    }

    /// Turns the loop for so many nanoseconds of simulated time.
    package func run(_ loop: EventLoop, for nanoseconds: UInt64) {
        _ = run(loop, within: nanoseconds) { false }
    }

    /// The program is stopped for a while, and time goes on.
    package func suspend(_ nanoseconds: UInt64) {
        clock += nanoseconds
    }

    /// A connection whose ends belong to nobody yet.
    package func pair(
        _ quality: LineQuality? = nil, names: (SocketAddress?, SocketAddress?) = (nil, nil)
    ) -> (SimulatedSocket, SimulatedSocket) {
        let quality = quality ?? lines(&random)
        let index = sockets.count
        let there = Channel(index: index, quality: quality, seed: seed &* 31 &+ UInt64(index))
        let back = Channel(index: index + 1, quality: quality, seed: seed &* 31 &+ UInt64(index + 1))
        let one = SimulatedSocket(
            index: index, incoming: back, outgoing: there, peerAddress: names.0, world: self)
        let other = SimulatedSocket(
            index: index + 1, incoming: there, outgoing: back, peerAddress: names.1, world: self)
        sockets.append(one)
        sockets.append(other)
        return (one, other)
    }

    /// A pair that is connected.
    package func connectedPair(_ quality: LineQuality? = nil) -> (SimulatedSocket, SimulatedSocket) {
        let pair = pair(quality)
        for end in [pair.0, pair.1] {
            end.isOwned = true
            end.open()
        }
        return pair
    }

    package func listener(at address: SocketAddress) -> SimulatedListener? { listening[address] }

    package var listeners: [SocketAddress] { Array(listening.keys) }

    /// Sockets that somebody has not closed.
    package var openSockets: [SimulatedSocket] { sockets.filter { $0.isOwned && !$0.isClosed } }

    /// Lets go of everything; the world is of no use any more.
    package func end() {
        for socket in sockets { socket.handler = nil }
        sockets = []
        listening = [:]
        calls = []
        due = []
        ready = []
        onAccept = nil
        events = EventHeap()
    }
}
