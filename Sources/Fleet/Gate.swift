import Glibc
import Logging
import Mux
import Reactor
import Records
import TLS
import Tunnel

/// The server's main port: what stands between an accepted connection and an authenticated link.
///
/// A half-open TLS connection costs 71 KiB, so a connection gets one only when its first bytes are the beginning of a
/// ClientHello of a size that ours can have. Until a node has proved itself nothing is answered but TLS alerts, and lines
/// in the log are limited.
///
/// What it costs the loop is measured like a node's: handshakes that are too many for a turn wait for the next.
final class Gate: AcceptHandler, TurnWork {
    /// Ours is about 250 bytes.
    static let maximumFirstRecordBytes = 1_024

    private let loop: EventLoop
    private let settings: TunnelSettings
    private let context: TLSContext
    private let key: SigningKey
    private let hello: Hello
    private let judge: Handshake.Judge
    private let admitted: (SecuredConnection, SocketAddress) -> Void
    private let refused: (Refusal) -> Void
    private let isHeldOff: () -> Bool
    /// Whose the last unknown identity is, where it was one.
    private let former: () -> NodePlan.Former?
    private var limits: SourceLimits
    private var share = TurnShare()
    /// Those whose first bytes are there.
    private var waiting: [Visitor] = []
    private var isScheduled = false
    private var visitors: [ObjectIdentifier: Visitor] = [:]
    private var socket: (any ListeningTransport)?

    init(
        context: TLSContext, key: SigningKey, hello: Hello, settings: TunnelSettings, maximumPerSource: Int,
        loop: EventLoop, judge: @escaping Handshake.Judge,
        admitted: @escaping (SecuredConnection, SocketAddress) -> Void,
        isHeldOff: @escaping () -> Bool, former: @escaping () -> NodePlan.Former?,
        refused: @escaping (Refusal) -> Void
    ) {
        self.former = former
        self.isHeldOff = isHeldOff
        self.context = context
        self.key = key
        self.hello = hello
        self.settings = settings
        self.loop = loop
        self.judge = judge
        self.admitted = admitted
        self.refused = refused
        limits = SourceLimits(maximumPerSource: maximumPerSource)
    }

    /// Binds the main port.
    func open(_ address: SocketAddress) throws(SystemError) -> SocketAddress {
        let socket = try loop.network.listen(on: address, onlyIPv6: false, handler: self).get()
        self.socket = socket
        // A node speaks first; one that does not costs the kernel a little and us nothing.
        socket.announceWhenHeard()
        return socket.boundAddress
    }

    func close() {
        socket?.close()
        socket = nil
        for visitor in visitors.values { visitor.sendAway() }
        visitors.removeAll()
        waiting.removeAll()
    }

    var acceptDelay: UInt64 {
        share.begin(loop)
        return share.delay(loop)
    }

    func accepted(_ transport: any StreamTransport, from client: SocketAddress) {
        share.spend(TurnCost.refusal)
        if let refusal = limits.enter(client, now: loop.now) {
            Log.limited(.warn, "gate-refused", key: refusal, ("address", client), ("reason", refusal))
            refused(.source)
            return transport.reset()
        }
        let visitor = Visitor(transport, from: client, timeout: settings.handshakeTimeout, gate: self)
        visitors[ObjectIdentifier(visitor)] = visitor
        visitor.start()
    }

    fileprivate func enqueue(_ visitor: Visitor) {
        waiting.append(visitor)
        schedule()
    }

    private func schedule() {
        guard !isScheduled else { return }
        isScheduled = true
        loop.atTurnEnd(self)
    }

    package func turnEnds() {
        isScheduled = false
        share.begin(loop)
        var begun = 0
        while begun < waiting.count, !share.isSpent {
            share.spend(TurnCost.handshake)
            waiting[begun].begin()
            begun += 1
        }
        waiting = Array(waiting.dropFirst(begun))
        guard !waiting.isEmpty, !isScheduled else { return }
        let delay = share.delay(loop)
        guard delay > 0 else { return schedule() }
        isScheduled = true
        loop.schedule(after: delay) { [weak self] in
            guard let self else { return }
            isScheduled = false
            schedule()
        }
    }

    func acceptPaused(_ error: SystemError, turnedAway: Int) {
        for _ in 0..<turnedAway { refused(.descriptors) }
        Log.limited(.error, "accept-paused", key: "gate", ("error", error))
    }

    /// `isInnocent`: others at its address have not failed with it.
    /// `former`: it came with what was a node's.
    fileprivate func left(
        _ visitor: Visitor, failure: String?, isInnocent: Bool = false, former: NodePlan.Former? = nil
    ) {
        guard visitors.removeValue(forKey: ObjectIdentifier(visitor)) != nil else { return }
        limits.left(visitor.address, failed: failure != nil && !isInnocent, now: loop.now)
        guard let failure else { return }
        if let former {
            return Log.limited(
                .warn, "handshake-failed", key: "\(visitor.address.host) \(former.node)",
                ("address", visitor.address), ("node", former.node),
                ("reason", "\(failure): a uuid of this node that lets nobody in: \(former.why)"))
        }
        Log.limited(
            .warn, "handshake-failed", key: "\(visitor.address.host) \(failure)",
            ("address", visitor.address),
            ("reason", failure))
    }

    /// One connection that has not proved anything yet.
    fileprivate final class Visitor: TransportHandler {
        let address: SocketAddress
        private let transport: any StreamTransport
        private unowned let gate: Gate
        private let deadline: UInt64
        private var firstBytes: [UInt8] = []
        private var timer: LoopTimer?
        private var handshake: Handshake?
        /// For its turn, with its first bytes.
        private var isWaiting = false
        private var isGone = false

        init(_ transport: any StreamTransport, from address: SocketAddress, timeout: UInt64, gate: Gate) {
            self.transport = transport
            self.address = address
            self.gate = gate
            deadline = gate.loop.now + timeout
        }

        func start() {
            transport.handler = self
            timer = gate.loop.schedule(after: deadline - gate.loop.now) { [weak self] in
                self?.refuse("no TLS within \((self?.gate.settings.handshakeTimeout ?? 0) / 1_000_000_000) s")
            }
        }

        func sendAway() {
            isGone = true
            gate.loop.cancel(timer)
            handshake?.cancel()
            transport.close()
        }

        func transportReady(_ transport: any StreamTransport, failed: Bool) {
            if failed { return refuse(transport.takeError().map { "\($0)" } ?? "connection failed") }
            while transport.isReadable, handshake == nil, !isWaiting {
                let scratch = gate.loop.scratch
                // The whole first record at most: what follows it is read by the handshake.
                scratch.vectors[0] = iovec(
                    iov_base: scratch.input.baseAddress,
                    iov_len: 5 + Gate.maximumFirstRecordBytes - firstBytes.count)
                switch transport.read(into: UnsafeMutableBufferPointer(rebasing: scratch.vectors[..<1])) {
                case .bytes(let count):
                    firstBytes.append(contentsOf: scratch.input[..<count])
                    look()
                case .wouldBlock: return
                case .end: return refuse("closed before TLS began")
                case .failed(let error): return refuse("\(error)")
                }
            }
        }

        /// A TLS record is type, version (3.x), length; ClientHello is of type 22.
        private func look() {
            if firstBytes[0] != 0x16 { return refuse("not TLS: \(Self.guess(firstBytes))") }
            guard firstBytes.count >= 5 else { return }
            guard firstBytes[1] == 3 else { return refuse("not TLS") }
            let length = Int(firstBytes[3]) << 8 | Int(firstBytes[4])
            guard length <= Gate.maximumFirstRecordBytes else {
                return refuse("not a node: a first record of \(length) bytes")
            }
            isWaiting = true
            gate.enqueue(self)
        }

        private static func guess(_ bytes: [UInt8]) -> String {
            for word in ["GET ", "POST", "HEAD", "PUT ", "OPTI", "CONN", "PRI "]
            where bytes.starts(with: word.utf8) {
                return "an HTTP client"
            }
            if bytes.starts(with: "SSH-".utf8) { return "an SSH client" }
            return "first byte 0x" + String(bytes[0], radix: 16)
        }

        func begin() {
            guard !isGone else { return }
            gate.loop.cancel(timer)
            timer = nil
            let gate = gate
            do throws(TLSFailure) {
                let handshake = try Handshake(
                    role: .accepter, transport: transport, context: gate.context, key: gate.key,
                    hello: gate.hello,
                    loop: gate.loop, timeout: deadline - min(gate.loop.now, deadline), judge: gate.judge,
                    completion: { [weak self] result in self?.finished(result) })
                self.handshake = handshake
                handshake.start(with: firstBytes)
                firstBytes = []
            } catch {
                refuse(error.description)
            }
        }

        private func finished(_ result: Result<SecuredConnection, HandshakeFailure>) {
            switch result {
            case .failure(let failure):
                if failure.cause == .unknownCredential, gate.isHeldOff() {
                    gate.refused(.logins)
                    return gate.left(self, failure: "too many logins with this credential", isInnocent: true)
                }
                var former: NodePlan.Former?
                switch failure.cause {
                case .wrongCredential: gate.refused(.wrongCredential)
                case .unknownCredential:
                    gate.refused(.unknownNode)
                    former = gate.former()
                case .other: break
                }
                gate.left(self, failure: failure.description, former: former)
            case .success(let connection):
                gate.share.spend(TurnCost.login)
                gate.left(self, failure: nil)
                gate.admitted(connection, address)
            }
        }

        private func refuse(_ reason: String) {
            isGone = true
            gate.loop.cancel(timer)
            transport.close()
            gate.left(self, failure: reason)
        }
    }
}
