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
        if endpoint.domain == .unix { return check([SocketAddress(unix: endpoint.address)]) }
        if endpoint.host.isEmpty {
            // Go's rule: no host means every address, of both families unless the domain says which.
            let any4 = SocketAddress(ipv4: 0, port: endpoint.port)
            let any6 = SocketAddress(ipv6: 0, 0, port: endpoint.port)
            switch endpoint.domain {
            case .tcp4: return check([any4])
            case .tcp6: return check([any6])
            default: return check([any6, any4])
            }
        }
        resolve(endpoint, on: peer.loop) { [weak self] result in
            guard let self, !isClosed else { return }
            switch result {
            case .failure(let error): failed(error.description)
            // A name with several addresses: IPv4 first, as Go does.
            case .success(let found): check(found.filter { $0.family == .ipv4 } + found.filter { $0.family == .ipv6 })
            }
        }
    }

    func close() {
        isClosed = true
        peer.loop.cancel(retry)
        socket?.close()
        socket = nil
    }

    private func check(_ addresses: [SocketAddress]) {
        guard let allow = peer.allow else { return bind(addresses) }
        resolveAll(allow.names(for: endpoint.port)[...], on: peer.loop) { [weak self] resolved in
            guard let self, !isClosed else { return }
            let permitted = addresses.filter { allow.permits($0, resolved: resolved) }
            if permitted.isEmpty { return failed("\(endpoint.address) is not in the node's -allow") }
            bind(permitted)
        }
    }

    /// The first address that can be bound. (On a machine without IPv6 that of `:80` is the IPv4 wildcard.)
    private func bind(_ addresses: [SocketAddress]) {
        var reason = "no address"
        for address in addresses {
            switch peer.loop.network.listen(on: address, onlyIPv6: endpoint.domain == .tcp6, handler: self) {
            case .success(let socket):
                self.socket = socket
                failures = 0
                // After the wildcard's fallback and port 0 only the socket knows.
                state = .active(bound: "\(socket.boundAddress)")
                peer.listenerChanged(self)
                return
            case .failure(let error):
                reason = "\(error)"
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

    func accepted(_ transport: any StreamTransport, from client: SocketAddress) {
        peer.accepted(transport, from: client, by: part)
    }

    func acceptPaused(_ error: SystemError) {
        Log.limited(
            .warn, "accept-paused", key: "\(part.id)", ("mapping", part.id), ("listen", description), ("error", error))
    }
}
