// NodeFleet: many nodes in this process, on one loop and one thread.
import Glibc
import Logging
import Reactor
import Synchronization
import TLS
import Threads
import Tunnel

final class NodeFleet: Sendable {
    /// Links that stand.
    private let up = Atomic<Int>(0)
    private let mailbox = Mutex<Mailbox?>(nil)
    private let failure = Mutex<String?>(nil)

    /// As many as a server lets in from one address at once.
    private static let atOnce = 12

    init(_ credentials: [Credential], port: UInt16) throws(BenchError) {
        // 20,000 lines of listeners that became active are of no use here.
        Log.threshold = .error
        startThread("nodes") { [self] in serve(credentials, port) }
        try Deadline(seconds: 10).wait("fleet", "no loop for its nodes") {
            mailbox.withLock { $0 != nil } || failure.withLock { $0 != nil }
        }
        if let why = failure.withLock({ $0 }) {
            throw BenchError(subject: "fleet", failed: "not started", why: why)
        }
    }

    var connected: Int { up.load(ordering: .relaxed) }

    func end() {
        mailbox.withLock { $0 }?.post { loop in loop.stop() }
    }

    private func serve(_ credentials: [Credential], _ port: UInt16) {
        do {
            let loop = try EventLoop(wrap: { PretendingNetwork($0) })
            let server = try Endpoint(domain: .tcp, address: "127.0.0.1:\(port)")
            var connectors: [Connector] = []
            for credential in credentials {
                let peer = Peer(name: credential.nodeID, hasAuthority: false, loop: loop)
                let hello = Hello(publicKey: SigningKey(seed: credential.signingSeed).publicKey)
                connectors.append(
                    try Connector(server: server, credential: credential, hello: hello, peer: peer))
                let heard = peer.onLink
                peer.onLink = { [self] end in
                    up.add(end == nil ? 1 : -1, ordering: .relaxed)
                    heard?(end)
                }
            }
            mailbox.withLock { $0 = loop.mailbox }
            start(connectors[...], loop)
            loop.run()
        } catch {
            failure.withLock { $0 = "\(error)" }
        }
    }

    private func start(_ rest: ArraySlice<Connector>, _ loop: EventLoop) {
        for connector in rest.prefix(Self.atOnce) { connector.start() }
        let later = rest.dropFirst(Self.atOnce)
        guard !later.isEmpty else { return }
        // A handshake takes the server about a millisecond.
        loop.schedule(after: 15_000_000) { [self] in start(later, loop) }
    }
}

/// The system's network, but for listening: that succeeds and opens nothing.
private final class PretendingNetwork: Network {
    private let system: SystemNetwork

    init(_ system: SystemNetwork) {
        self.system = system
    }

    func listen(
        on address: SocketAddress, onlyIPv6: Bool, handler: any AcceptHandler
    ) -> Result<any ListeningTransport, SystemError> {
        .success(Pretence(boundAddress: address))
    }

    func connect(to address: SocketAddress) -> Result<any StreamTransport, SystemError> {
        system.connect(to: address)
    }

    func resolve(_ name: Name, completion: @escaping (Found) -> Void) {
        system.resolve(name, completion: completion)
    }
}

private final class Pretence: ListeningTransport {
    let boundAddress: SocketAddress

    init(boundAddress: SocketAddress) {
        self.boundAddress = boundAddress
    }

    func close() {}
}
