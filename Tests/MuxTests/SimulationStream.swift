import Mux

/// What one end wants to send on one stream; both ends look at it, as a judge would.
final class SimulationFlow {
    let key: Int
    /// Less than at first when the sender finishes early.
    var planned: Int
    var sent = 0
    var received = 0
    var isFinished = false

    init(key: Int, planned: Int) {
        self.key = key
        self.planned = planned
    }
}

/// A stream as both ends agreed on it.
final class SimulationCall {
    let number: Int
    /// From the opener, and back to it.
    let flows: [SimulationFlow]
    let client: ClientAddress
    /// Why either end reset it; a CLOSE must carry one of them.
    var resetReasons: [CloseReason] = []
    /// Kept open by its opener, so that others get smaller windows.
    var isFiller = false
    /// Its id was still held at the other end.
    var isRefused = false

    init(number: Int, there: Int, back: Int) {
        self.number = number
        flows = [
            SimulationFlow(key: number * 2, planned: there),
            SimulationFlow(key: number * 2 + 1, planned: back),
        ]
        client = ClientAddress(
            family: .ipv4, port: UInt16(truncatingIfNeeded: number), high: UInt64(number) << 32,
            low: ~UInt64(number))
    }
}

/// One end's view of a stream: what an owner of a multiplexer keeps.
final class SimulationStream {
    let id: StreamID
    let call: SimulationCall
    let out: SimulationFlow
    let into: SimulationFlow
    let isOurs: Bool
    /// Came, not consumed.
    var buffered = 0
    /// The consumer does not read. `untilEnd`: not before everything else is done.
    var isStalled = false
    var isStalledUntilEnd = false
    var isAccepted = false
    var isFinishedHere = false
    var isFinishedThere = false
    var isOver = false
    var isReleased = false
    /// Lets go of its stream before the last bytes have left.
    var releasesEarly = false

    init(id: StreamID, call: SimulationCall, isOurs: Bool) {
        self.id = id
        self.call = call
        self.isOurs = isOurs
        out = call.flows[isOurs ? 0 : 1]
        into = call.flows[isOurs ? 1 : 0]
    }

    var isDone: Bool { isOver || (isFinishedHere && isFinishedThere) }
}

struct SimulationFailure: Error, CustomStringConvertible {
    let description: String
}
