import Logging
import Mux
import Reactor

/// Listens for one mapping. It stays bound while links come and go; a bind that fails is a state that is retried.
final class Listener: AcceptHandler {
    private static let longestRetrySeconds = 30

    let part: Part
    private(set) var state = ListenerState.pending
    private let endpoint: Endpoint
    private unowned let peer: Peer
    private var socket: (any ListeningTransport)?
    private var retry: LoopTimer?
    private var lookUp: LookUp?
    private var failures = 0
    private var isClosed = false

    init(_ part: Part, on endpoint: Endpoint, peer: Peer) {
        self.part = part
        self.endpoint = endpoint
        self.peer = peer
    }

    /// Binds now, or keeps trying.
    func start() {
        retry = nil
        if endpoint.domain != .unix, endpoint.host.isEmpty {
            let permitted = everyAddress.filter { peer.allow?.permits($0) != false }
            if permitted.isEmpty { return failed("\(endpoint.address) is not in -allow") }
            return bind(permitted)
        }
        let lookUp = LookUp(endpoint, allow: peer.allow, loop: peer.loop) { [weak self] in self?.learn() }
        self.lookUp = lookUp
        lookUp.start()
    }

    func close() {
        isClosed = true
        peer.loop.cancel(retry)
        lookUp?.cancel()
        socket?.close()
        socket = nil
    }

    /// Go's rule: no host means every address, of both families unless the domain says which.
    private var everyAddress: [SocketAddress] {
        let any4 = SocketAddress(ipv4: 0, port: endpoint.port)
        let any6 = SocketAddress(ipv6: 0, 0, port: endpoint.port)
        return switch endpoint.domain {
        case .tcp4: [any4]
        case .tcp6: [any6]
        default: [any6, any4]
        }
    }

    /// A name with several addresses: IPv4 first, as Go does.
    private func learn() {
        guard let lookUp, !isClosed else { return }
        let four = lookUp.permitted.filter { $0.family == .ipv4 }
        let isEnough = !four.isEmpty || lookUp.isFound && !lookUp.permitted.isEmpty
        guard isEnough || lookUp.isOver else { return }
        lookUp.cancel()
        self.lookUp = nil
        guard isEnough else { return failed(lookUp.objection) }
        bind(four + lookUp.permitted.filter { $0.family != .ipv4 })
    }

    /// The first address that can be bound. (On a machine without IPv6 that of `:80` is the IPv4 wildcard.)
    private func bind(_ addresses: [SocketAddress]) {
        var reason = "no address"
        for address in addresses {
            switch peer.loop.network.listen(on: address, onlyIPv6: endpoint.domain == .tcp6, handler: self) {
            case .success(let socket):
                self.socket = socket
                socket.keepAlive(every: peer.settings.keepAliveSeconds)
                failures = 0
                // After the wildcard's fallback and port 0 only the socket knows.
                state = .active(bound: "\(socket.boundAddress)")
                peer.listenerChanged(self)
                return
            case .failure(let error):
                reason = error.words(listeningOn: address)
                // 97: no IPv6 on this machine. Any other error is the answer for this listener.
                if error.number != 97 { return failed(reason) }
            }
        }
        failed(reason)
    }

    private func failed(_ reason: String) {
        failures += 1
        let seconds = min(1 << min(failures - 1, 5), Self.longestRetrySeconds)
        state = .failed(error: reason, retrySeconds: seconds)
        retry = peer.loop.schedule(after: UInt64(seconds) * 1_000_000_000) { [weak self] in self?.start() }
        peer.listenerChanged(self)
    }

    var description: String { "\(endpoint)" }

    var acceptDelay: UInt64 { peer.acceptDelay }

    func accepted(_ transport: any StreamTransport, from client: SocketAddress) {
        peer.accepted(transport, from: client, by: part)
    }

    func acceptPaused(_ error: SystemError, turnedAway: Int) {
        if turnedAway > 0 { peer.refuse(.descriptors, turnedAway, mapping: part.id, client: "-") }
        Log.limited(
            .warn, "accept-paused", key: "\(part.id)", ("mapping", part.id), ("listen", description),
            ("error", error))
    }
}
