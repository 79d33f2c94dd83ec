import Mux
import Reactor

/// Why a dial failed: the reason that travels and is recorded, and words for the log.
package struct DialFailure: Error, Equatable, Sendable {
    package let reason: CloseReason
    package let description: String

    init(_ reason: CloseReason, _ description: String) {
        self.reason = reason
        self.description = description
    }

    init(_ error: SystemError, of address: SocketAddress) {
        // 111: nobody listens; 2: no socket file; 110: no answer.
        let reason: CloseReason =
            switch error.number {
            case 111, 2: .targetRefused
            case 110: .targetTimeout
            default: .targetUnreachable
            }
        // Both are tried again until there is no more time.
        let words =
            switch error.number {
            case 11: "the backlog of \(address) is full"
            case 99 where address.family == .ipv4: "no local port is free for \(address)"
            default: "\(error)"
            }
        self.init(reason, words)
    }
}

/// Looks an endpoint up and connects to it within one timeout. One use; cancel it or hear from it once.
///
/// Addresses are tried as RFC 8305 has it: the families in turn, the next one when the last has failed or has not answered for
/// 250 ms, and whichever answers first is the connection. A path that leads nowhere (often IPv6) costs that much and no more.
package final class Dialer: TransportHandler {
    package typealias Completion = (Result<any StreamTransport, DialFailure>) -> Void

    private struct Attempt {
        let transport: any StreamTransport
        let address: SocketAddress
    }

    private static let stagger: UInt64 = 250_000_000
    /// Under way at once: each of many addresses has at least 2 s.
    private static let maximumAttempts = 8
    /// For what passes by itself: see `isPassing`.
    private static let firstRest: UInt64 = 2_000_000
    private static let longestRest: UInt64 = 50_000_000
    /// As Go's net.Dial.
    private static let maximumSelves = 2

    private let endpoint: Endpoint
    private let allow: AllowList?
    private let isUrgent: Bool
    private let loop: EventLoop
    private let deadline: UInt64
    private var completion: Completion?
    private var timer: LoopTimer?
    private var lookUp: LookUp?
    /// How many of the look-up's addresses are in `untried` or behind it.
    private var taken = 0
    private var untried: [SocketAddress] = []
    private var lastFamily: SocketAddress.Family?
    private var attempts: [Attempt] = []
    private var nextAttempt: LoopTimer?
    private var resting: [SocketAddress] = []
    private var rest: LoopTimer?
    private var restNanoseconds = Dialer.firstRest
    private var selves = 0
    private var failure: DialFailure?

    /// `isUrgent`: the name waits behind no other.
    package init(
        _ endpoint: Endpoint, allow: AllowList?, timeout: UInt64, isUrgent: Bool = false, loop: EventLoop,
        completion: @escaping Completion
    ) {
        self.endpoint = endpoint
        self.allow = allow
        self.isUrgent = isUrgent
        self.loop = loop
        let (deadline, overflow) = loop.now.addingReportingOverflow(timeout)
        self.deadline = overflow ? .max : deadline
        self.completion = completion
    }

    /// Begins. The completion may be called before this returns.
    package func start() {
        watchDeadline()
        let lookUp = LookUp(endpoint, allow: allow, isUrgent: isUrgent, loop: loop) { [weak self] in
            self?.goOn()
        }
        self.lookUp = lookUp
        lookUp.start()
    }

    /// Goes on with a connection that has been begun to the only address that there is.
    package func start(with transport: any StreamTransport, to address: SocketAddress) {
        watchDeadline()
        wait(for: transport, to: address)
    }

    /// No completion will be called; what is under way is given up.
    package func cancel() {
        completion = nil
        letGo(of: nil)
    }

    private func watchDeadline() {
        timer = loop.schedule(after: deadline - min(loop.now, deadline)) { [weak self] in self?.expire() }
    }

    private func expire() {
        if let lookUp, lookUp.isNotAllowed {
            return finish(.failure(DialFailure(.notAllowed, lookUp.objection)))
        }
        if let attempt = attempts.first {
            return finish(.failure(DialFailure(.targetTimeout, "no answer from \(attempt.address)")))
        }
        let words = failure?.description ?? lookUp?.objection ?? "no answer"
        finish(.failure(DialFailure(.targetTimeout, "\(words), until the end of the time to dial")))
    }

    /// There is news of the look-up, an attempt has failed, or it is time for the next one.
    private func goOn() {
        guard completion != nil else { return }
        if let lookUp, lookUp.permitted.count > taken {
            untried += lookUp.permitted[taken...]
            taken = lookUp.permitted.count
        }
        while nextAttempt == nil, let address = takeNext() {
            switch loop.network.connect(to: address) {
            case .failure(let error): note(error, of: address)
            case .success(let transport) where transport.isWritable:
                guard transport.isConnectedToItself(at: address) else { return finish(.success(transport)) }
                again(address, transport)
            case .success(let transport): wait(for: transport, to: address)
            }
        }
        guard attempts.isEmpty, untried.isEmpty, resting.isEmpty, lookUp?.isOver != false else { return }
        finish(.failure(failure ?? objection))
    }

    private var objection: DialFailure {
        guard let lookUp else { return DialFailure(.targetUnreachable, "no address") }
        return DialFailure(lookUp.isNotAllowed ? .notAllowed : .targetUnreachable, lookUp.objection)
    }

    /// The first of another family than the last one's, or the first.
    private func takeNext() -> SocketAddress? {
        guard !untried.isEmpty else { return nil }
        let address = untried.remove(at: untried.firstIndex { $0.family != lastFamily } ?? 0)
        lastFamily = address.family
        return address
    }

    private func wait(for transport: any StreamTransport, to address: SocketAddress) {
        if attempts.count >= Self.maximumAttempts { attempts.removeFirst().transport.close() }
        attempts.append(Attempt(transport: transport, address: address))
        transport.handler = self
        nextAttempt = loop.schedule(after: Self.stagger) { [weak self] in
            self?.nextAttempt = nil
            self?.goOn()
        }
    }

    package func transportReady(_ transport: any StreamTransport, failed: Bool) {
        guard completion != nil, let place = attempts.firstIndex(where: { $0.transport === transport }) else {
            return
        }
        let error = transport.takeError()
        guard error != nil || transport.isWritable else { return }
        let attempt = attempts.remove(at: place)
        let isOpen =
            error.map(\.isOfConnected) ?? !transport.isConnectedToItself(at: attempt.address)
        // One that resets behind its banner has answered: what it said is still to be read.
        if isOpen {
            transport.handler = nil
            return finish(.success(transport))
        }
        if let error {
            transport.close()
            note(error, of: attempt.address)
        } else {
            again(attempt.address, transport)
        }
        loop.cancel(nextAttempt)
        nextAttempt = nil
        goOn()
    }

    /// Nobody listens there: the kernel gave the connection the very port that it was to reach, and it has found itself.
    private func again(_ address: SocketAddress, _ transport: any StreamTransport) {
        transport.reset()
        selves += 1
        if selves <= Self.maximumSelves {
            untried.insert(address, at: 0)
        } else {
            note(SystemError(111), of: address)
        }
    }

    private func note(_ error: SystemError, of address: SocketAddress) {
        let new = DialFailure(error, of: address)
        // That somebody is there and refuses says more than that another address leads nowhere.
        if failure == nil || new.reason != .targetUnreachable { failure = new }
        guard Self.isPassing(error, address) else { return }
        resting.append(address)
        guard rest == nil else { return }
        rest = loop.schedule(after: restNanoseconds) { [weak self] in
            guard let self else { return }
            rest = nil
            restNanoseconds = min(2 * restNanoseconds, Self.longestRest)
            untried += resting
            resting = []
            goOn()
        }
    }

    /// What a connect(2) that blocks waits for: 11, room in a Unix socket's backlog. And 99, a local port that is free: a client's own
    /// machine would have had one. (Of IPv6 the same number says that there is none here.)
    private static func isPassing(_ error: SystemError, _ address: SocketAddress) -> Bool {
        error.number == 11 && address.family == .unix || error.number == 99 && address.family == .ipv4
    }

    private func finish(_ result: Result<any StreamTransport, DialFailure>) {
        letGo(of: try? result.get())
        let call = completion
        completion = nil
        call?(result)
    }

    private func letGo(of winner: (any StreamTransport)?) {
        for timer in [timer, nextAttempt, rest] { loop.cancel(timer) }
        (timer, nextAttempt, rest) = (nil, nil, nil)
        for attempt in attempts where attempt.transport !== winner { attempt.transport.close() }
        attempts = []
        lookUp?.cancel()
    }
}
