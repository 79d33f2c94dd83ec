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

    init(_ error: SystemError) {
        // 111: nobody listens; 2: no socket file; 110: no answer.
        let reason: CloseReason =
            switch error.number {
            case 111, 2: .targetRefused
            case 110: .targetTimeout
            default: .targetUnreachable
            }
        self.init(reason, "\(error)")
    }
}

/// Looks an endpoint up and connects to it: all its addresses in order, within one timeout. One use; cancel it or hear from
/// it once.
package final class Dialer: TransportHandler {
    package typealias Completion = (Result<any StreamTransport, DialFailure>) -> Void

    /// Go's rule: what is left of the time is shared among the addresses left, but each gets this much.
    private static let leastShare: UInt64 = 2_000_000_000

    private let endpoint: Endpoint
    private let allow: AllowList?
    private let loop: EventLoop
    private let deadline: UInt64
    private var completion: Completion?
    private var timer: LoopTimer?
    private var attempt: (any StreamTransport)?
    private var addresses: ArraySlice<SocketAddress> = []
    private var lastFailure = DialFailure(.targetUnreachable, "no address")

    package init(
        _ endpoint: Endpoint, allow: AllowList?, timeout: UInt64, loop: EventLoop,
        completion: @escaping Completion
    ) {
        self.endpoint = endpoint
        self.allow = allow
        self.loop = loop
        deadline = loop.now + timeout
        self.completion = completion
    }

    /// Begins. The completion may be called before this returns.
    package func start() {
        resolve(endpoint, on: loop) { [self] result in
            switch result {
            case .failure(let error): finish(.failure(DialFailure(.targetUnreachable, error.description)))
            case .success(let found): check(found)
            }
        }
        if completion != nil, timer == nil {
            timer = loop.schedule(after: deadline - min(loop.now, deadline)) { [weak self] in
                self?.finish(.failure(DialFailure(.targetTimeout, "the name was not resolved in time")))
            }
        }
    }

    /// Goes on with a connection that has been begun to the only address that there is.
    package func start(with attempt: any StreamTransport, to address: SocketAddress) {
        wait(for: attempt, to: address, atMost: deadline - loop.now)
    }

    /// No completion will be called; the attempt under way is given up.
    package func cancel() {
        completion = nil
        loop.cancel(timer)
        attempt?.close()
        attempt = nil
    }

    private func check(_ found: [SocketAddress]) {
        guard completion != nil else { return }
        guard let allow else { return begin(found) }
        let names = allow.names(for: endpoint.port)
        resolveAll(names[...], on: loop) { [self] resolved in
            let permitted = found.filter { allow.permits($0, resolved: resolved) }
            if permitted.isEmpty {
                let shown = found.first.map { "\($0)" } ?? "\(endpoint)"
                return finish(.failure(DialFailure(.notAllowed, "\(shown) is not in -allow")))
            }
            begin(permitted)
        }
    }

    private func begin(_ found: [SocketAddress]) {
        guard completion != nil else { return }
        addresses = found[...]
        next()
    }

    private func next() {
        loop.cancel(timer)
        attempt?.close()
        attempt = nil
        guard completion != nil else { return }
        guard let address = addresses.popFirst() else { return finish(.failure(lastFailure)) }
        let left = deadline - min(loop.now, deadline)
        guard left > 0 else { return finish(.failure(DialFailure(.targetTimeout, "no answer in time"))) }
        switch loop.network.connect(to: address) {
        case .failure(let error):
            lastFailure = DialFailure(error)
            next()
        case .success(let transport) where transport.isWritable: finish(.success(transport))
        case .success(let transport):
            let share = min(left, max(Self.leastShare, left / UInt64(addresses.count + 1)))
            wait(for: transport, to: address, atMost: share)
        }
    }

    private func wait(for transport: any StreamTransport, to address: SocketAddress, atMost share: UInt64) {
        attempt = transport
        transport.handler = self
        timer = loop.schedule(after: share) { [weak self] in
            self?.lastFailure = DialFailure(.targetTimeout, "no answer from \(address)")
            self?.next()
        }
    }

    package func transportReady(_ transport: any StreamTransport, failed: Bool) {
        guard completion != nil, attempt === transport else { return }
        if let error = transport.takeError() {
            // One that resets behind its banner has answered: what it said is still to be read.
            if error.isOfConnected { return connected(transport) }
            lastFailure = DialFailure(error)
            return next()
        }
        if transport.isWritable { connected(transport) }
    }

    private func connected(_ transport: any StreamTransport) {
        attempt = nil
        transport.handler = nil
        finish(.success(transport))
    }

    private func finish(_ result: Result<any StreamTransport, DialFailure>) {
        loop.cancel(timer)
        timer = nil
        let call = completion
        completion = nil
        call?(result)
    }
}

/// The addresses that an endpoint stands for, of its domain's family.
func resolve(
    _ endpoint: Endpoint, on loop: EventLoop,
    completion: @escaping (Result<[SocketAddress], ResolveFailure>) -> Void
) {
    if endpoint.domain == .unix { return completion(.success([SocketAddress(unix: endpoint.address)])) }
    // Go's rule: a dial without a host goes to this machine.
    let host = endpoint.host.isEmpty ? "localhost" : endpoint.host
    loop.network.resolve(host, port: endpoint.port) { result in
        switch result {
        case .failure(let error): completion(.failure(ResolveFailure(description: "\(host): \(error)")))
        case .success(let found):
            let fitting = found.filter { address in
                switch endpoint.domain {
                case .tcp4: address.family == .ipv4
                case .tcp6: address.family == .ipv6
                default: true
                }
            }
            completion(
                fitting.isEmpty
                    ? .failure(
                        ResolveFailure(
                            description: "\(host): no address in the domain \(endpoint.domain.rawValue)"))
                    : .success(fitting))
        }
    }
}

struct ResolveFailure: Error {
    let description: String
}

/// Looks names up one after the other; those that cannot be found count for nothing.
func resolveAll(
    _ names: ArraySlice<String>, on loop: EventLoop, found: [SocketAddress] = [],
    completion: @escaping ([SocketAddress]) -> Void
) {
    guard let name = names.first else { return completion(found) }
    loop.network.resolve(name, port: 0) { result in
        let more = (try? result.get()) ?? []
        resolveAll(names.dropFirst(), on: loop, found: found + more, completion: completion)
    }
}
