import Buffers
import Glibc
import Mux
import Reactor
import Support
import TLS
import Tunnel

/// What somebody has who wants to be a node.
struct NodeSecret: Sendable {
    var identity: [UInt8]
    var psk: [UInt8]
    var signingSeed: [UInt8]

    init(identity: [UInt8], psk: [UInt8], signingSeed: [UInt8]) {
        (self.identity, self.psk, self.signingSeed) = (identity, psk, signingSeed)
    }

    init(uuid: String) throws {
        let credential = try Credential(uuid: uuid)
        self.init(identity: credential.id, psk: credential.psk, signingSeed: credential.signingSeed)
    }
}

/// One link to a server, logged in like a node, on which anything can be said. It has its own loop and runs while it is asked
/// something; one thread uses it.
final class HostileNode {
    struct Said: Sendable {
        let kind: FrameKind
        let stream: UInt32
        let payload: [UInt8]
    }

    private let loop: EventLoop
    private var connection: SecuredConnection?
    private var failure: String?
    private var control: [UInt8] = []
    private let reader = Reader()
    /// Everything but pings, in order; whole control messages.
    private(set) var heard: [Said] = []
    private(set) var isOver = false
    private var pongs: [[UInt8]] = []
    /// What TLS said at the end, if it was no clean one.
    private(set) var tlsFailure: TLSFailure?
    /// Answers each plan as a node does whose every listener is bound there.
    private let reports: ((UInt32) -> ListenerState)?

    /// Logs in; the error is what a real node would log.
    init(
        _ server: Support.Endpoint, _ secret: NodeSecret, version: String = "6.6.6",
        system: String = "Hostile", instance: UInt64? = nil, reports: ((UInt32) -> ListenerState)? = nil
    ) throws {
        self.reports = reports
        loop = try EventLoop()
        let key = SigningKey(seed: secret.signingSeed)
        var hello = Hello(publicKey: key.publicKey)
        (hello.programVersion, hello.system) = (version, system)
        if let instance { hello.drawInstance(instance) }
        let context = try TLSContext.client(identity: secret.identity, psk: secret.psk)
        let place = try Reactor.Endpoint(domain: .tcp, address: server.address)
        var handshake: Handshake?
        let dialer = Dialer(place, allow: nil, timeout: 10_000_000_000, loop: loop) { [unowned self] result in
            switch result {
            case .failure(let reason): failure = reason.description
            case .success(let transport):
                handshake = try? Handshake(
                    role: .dialer, transport: transport, context: context, key: key, hello: hello, loop: loop,
                    timeout: 10_000_000_000, judge: { _, _ in nil },
                    completion: { [unowned self] in finished($0) })
                handshake?.start()
            }
        }
        dialer.start()
        try turn("logs in", within: .seconds(20)) { failure != nil || connection != nil }
        withExtendedLifetime((dialer, handshake)) {}
        if let failure { throw Failure("not let in: \(failure)") }
    }

    private func finished(_ result: Result<SecuredConnection, HandshakeFailure>) {
        switch result {
        case .failure(let reason): failure = reason.description
        case .success(let secured):
            connection = secured
            reader.onReady = { [unowned self] in read() }
            secured.transport.handler = reader
            take()
            read()
        }
    }

    private final class Reader: TransportHandler {
        var onReady: () -> Void = {}
        func transportReady(_ transport: any StreamTransport, failed: Bool) { onReady() }
    }

    // MARK: Saying

    func send(_ kind: FrameKind, stream: UInt32 = 0, flags: UInt8 = 0, _ payload: [UInt8]) throws {
        let head = big(stream) + [kind.rawValue, flags] + big(UInt16(payload.count))
        guard let connection else { throw Failure("no link") }
        if let failure = (head + payload).withUnsafeBytes({ connection.records.write($0) }) {
            throw Failure("\(failure)")
        }
        flush()
    }

    func send(_ message: ControlMessage) throws { try send(control: message.encoded) }

    func send(control message: [UInt8]) throws {
        for start in stride(from: 0, to: max(message.count, 1), by: Frame.maximumPayloadBytes) {
            let piece = Array(message[start...].prefix(Frame.maximumPayloadBytes))
            let isLast = start + piece.count == message.count
            try send(.control, flags: isLast ? 0 : Frame.moreFlag, piece)
        }
    }

    /// A stream of ours on this mapping, for a client that nobody has seen.
    @discardableResult
    func open(_ mapping: UInt32, slot: UInt32 = 0) throws -> UInt32 {
        let stream = UInt32(Role.dialer.rawValue) << 31 | 1 << 16 | slot
        let client = [4, 0] + big(UInt16(50_000)) + [127, 0, 0, 1] + [UInt8](repeating: 0, count: 12)
        try send(.open, stream: stream, big(mapping) + big(UInt32(65_536)) + big(UInt32(65_536)) + client)
        return stream
    }

    /// A frame of any kind, right or wrong.
    func send(kind: UInt8, stream: UInt32, flags: UInt8, _ payload: [UInt8]) throws {
        let frame = big(stream) + [kind, flags] + big(UInt16(payload.count)) + payload
        guard let connection else { throw Failure("no link") }
        if let failure = frame.withUnsafeBytes({ connection.records.write($0) }) {
            throw Failure("\(failure)")
        }
        flush()
    }

    // MARK: Hearing

    /// Whether the server still listens on this link, when it has heard all that was said. One of both it does.
    func isAnswered() throws -> Bool {
        let number = big(UInt64.random(in: 0 ... .max))
        if !isOver { try? send(.ping, number) }
        try turn("is answered or sent away", within: .seconds(20)) { isOver || pongs.contains(number) }
        return pongs.contains(number)
    }

    /// The revision of the newest plan.
    func planRevision() throws -> Int64 {
        for said in heard.reversed() where said.kind == .control {
            if case .plan(let number, _, _) = try? ControlMessage(said.payload, maximumMappings: 256) {
                return number
            }
        }
        throw Failure("no plan")
    }

    func waitFor(_ kind: FrameKind, stream: UInt32? = nil, within limit: Duration = .seconds(10)) throws
        -> Said
    {
        var found: Said?
        try turn("hears \(kind)", within: limit) {
            found = heard.first { $0.kind == kind && (stream == nil || $0.stream == stream) }
            return found != nil || isOver
        }
        guard let found else { throw Failure("the link ended before \(kind): \(heard)") }
        return found
    }

    /// The parts of the newest plan, once there is one of this revision or later.
    func waitForPlan(_ revision: Int64 = 0) throws -> [Part] {
        var found: [Part]?
        try turn("gets a plan of revision \(revision)", within: .seconds(10)) {
            for said in heard where said.kind == .control {
                if case .plan(let number, let parts, _) = try? ControlMessage(
                    said.payload, maximumMappings: 256),
                    number >= revision
                {
                    found = parts
                }
            }
            return found != nil
        }
        return found ?? []
    }

    /// Waits until the server has closed the link; answers the reason that its last words gave.
    func waitForEnd() throws -> GoAwayReason? {
        try turn("is sent away", within: .seconds(10)) { isOver }
        return heard.last { $0.kind == .goaway }.flatMap { GoAwayReason(rawValue: $0.payload[0]) }
    }

    /// A record that nobody has sealed.
    func sendDamagedRecord() {
        let record: [UInt8] = [23, 3, 3, 0, 100] + [UInt8](repeating: 7, count: 100)
        record.withUnsafeBytes { connection?.records.output.append($0) }
        flush()
    }

    /// Lets the link live for a moment, when there is nothing to wait for.
    func live(_ time: Duration) throws {
        let end = ContinuousClock.now + time
        try turn("time passes", within: time + .seconds(10)) { ContinuousClock.now > end || isOver }
    }

    private func turn(_ what: String, within limit: Duration, _ isDone: () -> Bool) throws {
        let deadline = ContinuousClock.now + limit
        while !isDone() {
            guard ContinuousClock.now < deadline else {
                throw Failure("not within \(limit): the hostile node \(what); it heard \(heard.suffix(5))")
            }
            loop.schedule(after: 5_000_000) {}
            loop.turn()
        }
    }

    private func read() {
        guard let connection else { return }
        while connection.transport.isReadable, !isOver {
            let scratch = loop.scratch
            scratch.vectors[0] = iovec(iov_base: scratch.input.baseAddress, iov_len: scratch.input.count)
            switch connection.transport.read(
                into: UnsafeMutableBufferPointer(rebasing: scratch.vectors[..<1]))
            {
            case .bytes(let count):
                connection.records.feed(UnsafeRawBufferPointer(rebasing: scratch.input[..<count]))
                take()
            case .wouldBlock: return
            case .end, .failed: return end()
            }
        }
    }

    private func take() {
        guard let connection else { return }
        let plain = UnsafeMutableRawBufferPointer(rebasing: loop.scratch.plain[..<Frame.maximumBytes])
        while !isOver {
            switch connection.records.read(into: plain) {
            case .bytes(let count):
                var frames = FrameReader(UnsafeRawBufferPointer(rebasing: plain[..<count]))
                while let frame = try? frames.next() { take(frame) }
            case .wantsInput: return flush()
            case .closed: return end()
            case .failed(let reason):
                tlsFailure = reason
                return end()
            }
        }
    }

    private func take(_ frame: Frame) {
        switch frame.kind {
        case .ping: try? send(.pong, [UInt8](frame.payload))
        case .pong: pongs.append([UInt8](frame.payload))
        case .control:
            control += frame.payload
            guard frame.flags == 0 else { return }
            heard.append(Said(kind: .control, stream: 0, payload: control))
            if let reports,
                case .plan(let revision, let parts, _) = try? ControlMessage(control, maximumMappings: 256)
            {
                let mine = parts.filter { if case .listen = $0.task { true } else { false } }.map(\.id)
                let states = Dictionary(uniqueKeysWithValues: mine.map { ($0, reports($0)) })
                try? send(.report(revision: revision, states: states))
            }
            control = []
        default:
            heard.append(
                Said(kind: frame.kind, stream: frame.stream.rawValue, payload: [UInt8](frame.payload)))
        }
    }

    private func flush() {
        guard let connection else { return }
        let output = connection.records.output
        while !output.isEmpty {
            let used = output.describe(in: loop.scratch.vectors)
            switch connection.transport.write(
                UnsafeMutableBufferPointer(rebasing: loop.scratch.vectors[..<used]))
            {
            case .bytes(let count): output.discard(count)
            case .wouldBlock: loop.turn()
            case .end, .failed: return end()
            }
        }
    }

    private func end() {
        isOver = true
        connection?.transport.close()
    }

    deinit { connection?.transport.close() }
}

func big<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { [UInt8]($0) }
}
