import Glibc
import Reactor

// What happens between two sockets.
extension SimulatedWorld {
    /// How a connection breaks.
    package enum Break: CaseIterable {
        /// Both ends see a reset.
        case reset
        /// Both see the end of the stream, as from a proxy in between that stops.
        case end
        /// One sees a reset, the other nothing.
        case oneSided
        /// Neither sees anything.
        case silence
    }

    /// Breaks the connection in `socket`'s direction when so many more bytes of it have arrived.
    package func breakLine(_ socket: SimulatedSocket, after bytes: Int, _ way: Break) {
        let left = bytes - (socket.outgoing.queued - socket.outgoing.arrived)
        if left <= 0 || socket.outgoing.isSilent { return broken(socket, way) }
        let line = socket.outgoing
        line.cutAfter = line.written + left
        breaks[socket.index] = way
    }

    private func broken(_ socket: SimulatedSocket, _ way: Break) {
        let other = socket.other
        for end in [socket, other] where way != .end || !end.isClosed {
            end.outgoing.isSilent = true
        }
        switch way {
        case .silence: break
        case .oneSided: planReset(of: socket, after: 1_000)
        case .reset:
            planReset(of: socket, after: socket.incoming.latency())
            planReset(of: other, after: socket.outgoing.latency())
        case .end:
            for end in [socket, other] {
                end.outgoing.endByLine()
                planArrival(end.outgoing)
            }
        }
    }

    /// Nothing arrives for a while.
    package func hold(_ socket: SimulatedSocket, for nanoseconds: UInt64) {
        socket.outgoing.heldUntil = clock + nanoseconds
    }

    func socket(_ index: Int) -> SimulatedSocket { sockets[index] }

    func notify(_ socket: SimulatedSocket) {
        guard !socket.isNotified else { return }
        socket.isNotified = true
        ready.append(socket)
    }

    func hasProgressed() {
        hasDoneSomething = true
    }

    func misused(_ what: String, _ socket: SimulatedSocket) {
        faults.append("\(what), socket \(socket.index)")
    }

    func planArrival(_ line: Channel) {
        guard !line.isArrivalPlanned, !line.isSilent else { return }
        line.isArrivalPlanned = true
        events.plan(.arrive, line.index, at: clock + line.latency())
    }

    func planReset(of socket: SimulatedSocket, after nanoseconds: UInt64) {
        events.plan(.reset, socket.index, at: clock + nanoseconds)
    }

    func wasRead(_ line: Channel) {
        guard line.wantsRoom, !line.isDrainPlanned, line.hasRoomWorthAWord else { return }
        line.isDrainPlanned = true
        events.plan(.drain, line.index, at: clock + line.gap())
    }

    func arrive(_ line: Channel) {
        line.isArrivalPlanned = false
        guard !line.isSilent else { return }
        if line.heldUntil > clock {
            line.isArrivalPlanned = true
            events.plan(.arrive, line.index, at: line.heldUntil)
            return
        }
        let writer = sockets[line.index]
        let reader = writer.other
        let count = line.arrive()
        if reader.isClosed {
            // Bytes for a closed socket are answered by RST.
            if count > 0 { planReset(of: writer, after: line.latency()) }
            line.loseAll()
            return
        }
        if count > 0 || line.endArrived { notify(reader) }
        if line.isCut { return broken(writer, breaks[line.index] ?? .reset) }
        if !line.isAllArrived {
            line.isArrivalPlanned = true
            events.plan(.arrive, line.index, at: clock + line.gap())
        }
    }
}
