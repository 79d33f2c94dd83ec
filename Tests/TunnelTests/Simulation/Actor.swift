import Glibc
import Reactor
import Simulation

/// A client or a target's connection: sends what it planned, checks what it receives, ends as it planned.
final class Actor: TransportHandler {
    /// When the sending half is ended.
    enum EndWhen {
        case sent
        /// Everything is sent and the other's end has been heard.
        case heardEnd
        /// Everything is sent and the simulation nears its end.
        case told
    }

    /// Odd for targets.
    let key: UInt32
    let socket: SimulatedSocket
    unowned(unsafe) let simulation: TunnelSimulation

    // The plan.
    var toSend = 0
    var isEcho = false
    var endWhen = EndWhen.sent
    /// Ends both directions at once when its own is due, as programs do that do not wait for an answer.
    var closesAbruptly = false
    /// Resets when so many bytes have moved in both directions.
    var abortAfter: Int?
    /// Does not read until it is told.
    var isStalled = false {
        didSet { if isStalled { hasStalled = true } }
    }
    private(set) var hasStalled = false
    /// Stalls when so many bytes have come.
    var stallsAfter: Int?
    var readBytes = 64 << 10

    // What happened.
    private(set) var sent = 0
    private(set) var received = 0
    private(set) var heardKey: UInt32?
    private var keyBytes: [UInt8] = []
    private(set) var hasHeardEnd = false
    private(set) var hasEnded = false
    private(set) var failure: SystemError?
    private(set) var hasAborted = false
    private var echo: [UInt8] = []
    static let echoLimit = 32 << 10

    /// The one at the other end of the tunnel, when it is known.
    unowned(unsafe) var partner: Actor?
    /// The client's call, or that of the target's client.
    unowned(unsafe) var call: Call?
    let target: Target

    init(key: UInt32, socket: SimulatedSocket, target: Target, simulation: TunnelSimulation) {
        self.key = key
        self.socket = socket
        self.target = target
        self.simulation = simulation
        socket.handler = self
    }

    var isClient: Bool { key & 1 == 0 }
    var isDone: Bool { socket.isClosed }
    var hasSentAll: Bool { sent == toSend && echo.isEmpty }
    /// It does nothing that would keep the other from getting all and an end.
    var isOrderly: Bool { !hasAborted && abortAfter == nil && !closesAbruptly }
    /// Of what it sent: what its socket still holds.
    private var unread: Int { isDone ? 0 : socket.unreadBytes }
    /// Bytes that the tunnel took from it.
    var takenBytes: Int { sent - unread }

    var description: String {
        let state = [
            "sent \(sent)/\(toSend)", "received \(received)", isEcho ? "echo" : nil,
            isStalled ? "stalled" : nil,
            hasEnded ? "ended" : nil, hasHeardEnd ? "heard end" : nil, failure.map { "failed: \($0)" },
            hasAborted ? "aborted" : nil, isDone ? "done" : nil,
        ]
        return "\(isClient ? "client" : "target") \(key) (\(state.compactMap { $0 }.joined(separator: ", ")))"
    }

    /// The simulation nears its end: everything is read, and everything ends.
    func finish() {
        isStalled = false
        stallsAfter = nil
        if isClient { endWhen = .sent }
        act()
    }

    func abort() {
        guard !isDone else { return }
        hasAborted = true
        simulation.world.trace("\(description)")
        socket.reset()
    }

    func transportReady(_ transport: any StreamTransport, failed: Bool) {
        if failed {
            // What was said before it can still be read.
            readAll()
            failure = failure ?? socket.takeError() ?? SystemError(EIO)
            simulation.world.trace("\(description)")
            return socket.close()
        }
        act()
    }

    func act() {
        readAll()
        writeAll()
        guard !isDone, hasSentAll, !hasEnded, socket.isWritable else { return closeIfDone() }
        switch endWhen {
        case .sent where !isEcho || hasHeardEnd, .heardEnd where hasHeardEnd: break
        default: return
        }
        hasEnded = true
        if closesAbruptly { socket.close() } else { socket.shutdownWrite() }
        closeIfDone()
    }

    private func closeIfDone() {
        guard hasEnded, hasHeardEnd, !isDone else { return }
        simulation.world.trace("\(description)")
        socket.close()
    }

    private func readAll() {
        let scratch = simulation.scratch
        while !isDone, !isStalled, socket.isReadable, !hasHeardEnd, echo.count < Self.echoLimit {
            scratch.vectors[0] = iovec(iov_base: scratch.memory.baseAddress, iov_len: readBytes)
            switch socket.read(into: UnsafeMutableBufferPointer(rebasing: scratch.vectors[..<1])) {
            case .bytes(let count): take(UnsafeRawBufferPointer(rebasing: scratch.memory[..<count]))
            case .wouldBlock: return
            case .end:
                hasHeardEnd = true
                simulation.judgeEnd(self)
            case .failed(let error):
                failure = error
                socket.close()
            }
            abortIfPlanned()
        }
    }

    private func take(_ bytes: UnsafeRawBufferPointer) {
        if heardKey == nil {
            keyBytes.append(contentsOf: bytes.prefix(Pattern.keyBytes - keyBytes.count))
            if keyBytes.count == Pattern.keyBytes {
                let key = keyBytes.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                heardKey = key
                partner = simulation.sender(key, heardBy: self)
            }
        }
        if let heardKey, !Pattern.matches(bytes, key: heardKey, from: received) {
            simulation.fault("wrong bytes after \(received) of \(heardKey) at \(description)")
        }
        received += bytes.count
        if let call { simulation.book.judgeByte(of: call) }
        if let stallsAfter, received >= max(stallsAfter, Pattern.keyBytes) { isStalled = true }
        if let partner, received > partner.sent { simulation.fault("bytes from nowhere at \(description)") }
        if isEcho {
            echo.append(contentsOf: bytes)
            toSend += bytes.count
        }
    }

    private func writeAll() {
        while !isDone, !hasEnded, sent < toSend, socket.isWritable {
            let scratch = simulation.scratch
            var count = min(toSend - sent, scratch.memory.count)
            if isEcho {
                count = min(count, echo.count)
                echo.withUnsafeBytes {
                    scratch.memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<count]))
                }
            } else {
                Pattern.fill(
                    UnsafeMutableRawBufferPointer(rebasing: scratch.memory[..<count]), key: key, from: sent)
            }
            scratch.vectors[0] = iovec(iov_base: scratch.memory.baseAddress, iov_len: count)
            switch socket.write(UnsafeMutableBufferPointer(rebasing: scratch.vectors[..<1])) {
            case .bytes(let written):
                sent += written
                if isEcho { echo.removeFirst(written) }
                abortIfPlanned()
            case .wouldBlock, .end: return
            case .failed(let error):
                failure = error
                socket.close()
            }
        }
        // Room in the echo's memory: what was left unread is read now.
        if isEcho, !isDone, socket.isReadable, !isStalled, !hasHeardEnd, echo.count < Self.echoLimit {
            readAll()
            if sent < toSend, socket.isWritable { writeAll() }
        }
    }

    private func abortIfPlanned() {
        if let abortAfter, sent + received >= abortAfter { abort() }
    }
}

/// One client's connection to a listener of the tunnel.
final class Call {
    let number: Int
    let mapping: UInt32
    /// Which end listens.
    let isServers: Bool
    let client: Actor
    /// The target's connection, once bytes have told.
    var targetActor: Actor?
    /// The end that accepted it, and its link at that moment.
    var end: End?
    var link: Link?
    /// Something happened that may end it early or keep it from its target.
    private(set) var disturbance: String?

    init(number: Int, mapping: UInt32, isServers: Bool, client: Actor) {
        self.isServers = isServers
        self.number = number
        self.mapping = mapping
        self.client = client
    }

    func disturb(_ why: String) {
        if disturbance == nil { disturbance = why }
    }

    /// Nothing can happen to it any more. (A client that is done may have left bytes that are still on their way.)
    var isOver: Bool { client.isDone && targetActor?.isDone == true }
    /// Where its mapping was changed to forward to.
    var newTarget: Target?
    var isStalled: Bool {
        client.isStalled || client.target.manner == .stall || newTarget?.manner == .stall
            || targetActor?.isStalled == true
    }
}
