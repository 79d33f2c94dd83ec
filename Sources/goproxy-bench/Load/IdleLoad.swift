// IdleLoad: connections that have carried one echo and then rest.
import Glibc

struct IdleLoad {
    private enum Stage { case connecting, awaitingEcho, resting }

    /// A tunnel that opens one after the other is no slower for it, and the queue of those that wait does not overflow.
    private static let mostAtOnce = 64

    private let ports: [UInt16]
    private let poller: Poller
    private var sockets: [Socket] = []
    private var stages: [Stage] = []
    private var resting = 0

    /// Connections go to `ports` in turn.
    init(to ports: [UInt16]) throws(BenchError) {
        self.ports = ports
        poller = try Poller()
    }

    mutating func close() {
        sockets = []
        stages = []
        resting = 0
    }

    /// Opens more until `count` rest.
    mutating func open(upTo count: Int) throws(BenchError) {
        let deadline = Deadline(seconds: Double(Deadline.patienceSeconds + count / 200))
        while resting < count {
            while sockets.count < count && sockets.count - resting < Self.mostAtOnce { try begin() }
            var failure: BenchError?
            poller.wait(milliseconds: 100) { index in
                do throws(BenchError) { try step(index) } catch { failure = failure ?? error }
            }
            if let failure { throw failure }
            if deadline.isPast {
                throw BenchError(
                    subject: "idle connections", failed: "only \(resting) of \(count) came up",
                    why: "deadline passed")
            }
        }
    }

    private mutating func begin() throws(BenchError) {
        let number = sockets.count
        let source = Socket.loopback + 1 + UInt32(number % 200)
        let socket = try Socket.connecting(to: ports[number % ports.count], from: source)
        sockets.append(socket)
        stages.append(.connecting)
        poller.add(socket, number, .writing)
    }

    private mutating func step(_ index: Int) throws(BenchError) {
        let socket = sockets[index]
        if let number = socket.pendingError {
            throw BenchError(
                subject: "idle connection \(index)", failed: "cannot connect",
                why: String(cString: strerror(number)))
        }
        try withBuffer(2 * EchoConnection.messageBytes) { (both) throws(BenchError) in
            let message = UnsafeMutableRawBufferPointer(rebasing: both[..<EchoConnection.messageBytes])
            let answer = UnsafeMutableRawBufferPointer(rebasing: both[EchoConnection.messageBytes...])
            EchoConnection.compose(message, index)
            if stages[index] == .connecting {
                try socket.send(UnsafeRawBufferPointer(message))
                poller.change(socket, index, .reading)
                stages[index] = .awaitingEcho
            } else {
                try socket.fill(answer)
                try EchoConnection.check(message, answer)
                poller.change(socket, index, .nothing)
                stages[index] = .resting
                resting += 1
            }
        }
    }
}
