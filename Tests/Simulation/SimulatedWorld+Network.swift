import Glibc
import Reactor

// Listening, connecting, looking up.
extension SimulatedWorld {
    package func listen(
        on address: SocketAddress, onlyIPv6: Bool, handler: any AcceptHandler
    ) -> Result<any ListeningTransport, SystemError> {
        if let error = listenErrors[address]?.popLast() { return .failure(error) }
        var bound = address
        if address.family != .unix, address.port == 0 {
            nextPort += 1
            bound = address.with(port: nextPort)
        }
        guard listening[bound] == nil else { return .failure(SystemError(EADDRINUSE)) }
        let listener = SimulatedListener(bound, handler: handler, world: self)
        listening[bound] = listener
        return .success(listener)
    }

    package func connect(to address: SocketAddress) -> Result<any StreamTransport, SystemError> {
        if let error = unreachable[address] { return .failure(error) }
        return .success(dial(address, from: nil))
    }

    /// As `connect`, from an address that the other end will see.
    package func dial(_ address: SocketAddress, from client: SocketAddress?, quality: LineQuality? = nil)
        -> SimulatedSocket
    {
        let index = sockets.count
        let client =
            client ?? SocketAddress(ipv4: 0x7f00_0001, port: UInt16(truncatingIfNeeded: 32_768 + index / 2))
        let (one, _) = pair(quality, names: (address, client))
        one.isOwned = true
        if blackholes.contains(address) { return one }
        destinations[index] = address
        events.plan(listening[address] == nil ? .refuse : .connect, index, at: clock + one.outgoing.latency())
        return one
    }

    func connected(_ client: SimulatedSocket) {
        guard !client.isClosed else { return }
        guard let address = destinations[client.index], listening[address] != nil else {
            return client.fail(SystemError(ECONNREFUSED))
        }
        client.open()
        due.append(.accept(client))
    }

    func accept(_ client: SimulatedSocket) {
        if let address = destinations[client.index], let delay = listening[address]?.handler.acceptDelay,
            delay > 0
        {
            return after(delay) { [unowned self] in due.append(.accept(client)) }
        }
        let server = client.other
        guard let address = destinations.removeValue(forKey: client.index), let listener = listening[address],
            let from = server.peerAddress
        else {
            // The listener was closed with this one in its backlog.
            server.open()
            return server.reset()
        }
        let accept = {
            server.isOwned = true
            server.open()
            listener.handler.accepted(server, from: from)
        }
        if let onAccept { onAccept(listener, client, accept) } else { accept() }
    }

    func closed(_ listener: SimulatedListener) {
        if listening[listener.boundAddress] === listener { listening[listener.boundAddress] = nil }
    }

    package func resolve(_ name: Name, completion: @escaping (Found) -> Void) {
        if let address = SocketAddress(numeric: name.host, port: name.port) {
            return completion(Found(.success([address])))
        }
        if namesThatNeverAnswer.contains(name.host) { return }
        after(UInt64(1 + random.below(40)) * 1_000_000) { [self] in
            guard let found = names[name.host] else {
                return completion(Found(.failure(ResolveError("name not known"))))
            }
            let fitting = found.filter { name.family == nil || $0.family == name.family }
                .map { $0.with(port: name.port) }
            // A name server may say later what there is of the other family.
            guard random.below(4) == 0 else { return completion(Found(.success(fitting))) }
            let first = fitting.first?.family
            completion(Found(.success(fitting.filter { $0.family == first }), isLast: false))
            after(UInt64(1 + random.below(40)) * 1_000_000) {
                completion(Found(.success(fitting.filter { $0.family != first })))
            }
        }
    }
}

/// A listening socket of a simulated world.
package final class SimulatedListener: ListeningTransport {
    package let boundAddress: SocketAddress
    let handler: any AcceptHandler
    private unowned let world: SimulatedWorld

    init(_ address: SocketAddress, handler: any AcceptHandler, world: SimulatedWorld) {
        boundAddress = address
        self.handler = handler
        self.world = world
    }

    package private(set) var keepAliveSeconds: Int?

    package func keepAlive(every seconds: Int) { keepAliveSeconds = seconds }

    package func close() {
        world.closed(self)
    }
}
