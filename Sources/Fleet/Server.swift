// Fleet: what only the server has. The gate for unauthenticated connections, the registry of nodes, its files.
import Logging
import Mux
import Reactor
import Records
import TLS
import Tunnel

/// A server as a value that a program or a test configures, starts on any port, and stops.
package final class Server {
    package let registry = Registry()
    package let loop: EventLoop
    package let settings: TunnelSettings
    /// Connections that one source may have under authentication. 16 is OpenSSH's order of magnitude; a fleet behind one
    /// address comes back through it in its nodes' jitter.
    package var maximumPerSource = 16
    /// Hears of each link that stands, before anything goes over it.
    package var onAdmitted: ((_ peer: Peer, _ identity: [UInt8], Hello, SocketAddress) -> Void)?
    /// Hears of each connection that was turned away before it was a node's.
    package var onRefused: ((Refusal) -> Void)?
    private var peers: [Peer] = []
    private let key: SigningKey
    private let programVersion: String
    private var gate: Gate?
    private var drainTimer: LoopTimer?
    private var whenStopped: (() -> Void)?
    private var isStopping = false

    package init(key: SigningKey, settings: TunnelSettings, programVersion: String, loop: EventLoop) {
        self.key = key
        self.settings = settings
        self.programVersion = programVersion
        self.loop = loop
    }

    /// A node, without mappings and without anybody who may log in as it yet.
    package func makePeer(_ name: String) -> Peer {
        let peer = Peer(name: name, hasAuthority: true, settings: settings, loop: loop)
        peers.append(peer)
        return peer
    }

    /// A node that logs in with `credential`; for programs without records.
    @discardableResult
    package func declare(_ name: String, credential: Credential) -> Peer {
        let peer = makePeer(name)
        registry.setAdmissions([Admission(credential)], of: peer)
        return peer
    }

    /// Nobody logs in as this node any more; its links and listeners have been ended before.
    package func forget(_ peer: Peer) {
        registry.setAdmissions([], of: peer)
        peers.removeAll { $0 === peer }
    }

    /// Opens the main port. Answers the address as bound.
    package func start(on address: SocketAddress) throws(ServerFailure) -> SocketAddress {
        var hello = Hello(publicKey: key.publicKey)
        hello.programVersion = programVersion
        let context: TLSContext
        do throws(TLSFailure) {
            context = try TLSContext.server { [registry, unowned loop] identity in
                registry.psk(for: identity, now: loop.now)
            }
        } catch {
            throw ServerFailure(description: "TLS: \(error)")
        }
        let gate = Gate(
            context: context, key: key, hello: hello, settings: settings, maximumPerSource: maximumPerSource,
            loop: loop,
            judge: { [registry] hello, identity in
                registry.peer(identity: identity, publicKey: hello.publicKey) == nil
                    ? "the node's signing key is not the one on record" : nil
            },
            admitted: { [weak self] connection, address in self?.admitted(connection, address) },
            isHeldOff: { [registry] in registry.heldOff }, former: { [registry] in registry.former },
            refused: { [weak self] in self?.onRefused?($0) })
        self.gate = gate
        do throws(SystemError) {
            return try gate.open(address)
        } catch {
            throw ServerFailure(
                description: "cannot listen on \(address): \(error.words(listeningOn: address))")
        }
    }

    private func admitted(_ connection: SecuredConnection, _ address: SocketAddress) {
        guard let peer = registry.peer(identity: connection.identity, publicKey: connection.hello.publicKey)
        else {
            return connection.transport.close()
        }
        registry.loggedIn(connection.identity ?? [], now: loop.now)
        onAdmitted?(peer, connection.identity ?? [], connection.hello, address)
        peer.adopt(
            connection.transport, records: connection.records, role: .accepter,
            features: connection.hello.features)
    }

    /// Takes no more connections, asks the nodes to come back later, lets sub-connections end for `drain` nanoseconds,
    /// then ends what is left.
    package func stop(drain: UInt64, _ whenStopped: @escaping () -> Void) {
        guard !isStopping else { return endNow() }
        isStopping = true
        self.whenStopped = whenStopped
        gate?.close()
        for peer in peers {
            peer.onLink = { [weak self] _ in self?.checkStopped() }
            peer.stop(retryAfterMilliseconds: 1_000)
        }
        drainTimer = loop.schedule(after: drain) { [weak self] in self?.endNow() }
        checkStopped()
    }

    private func endNow() {
        for peer in peers { peer.endLinks() }
        checkStopped()
    }

    private func checkStopped() {
        guard isStopping, peers.allSatisfy({ !$0.hasLinks }), let whenStopped else { return }
        loop.cancel(drainTimer)
        self.whenStopped = nil
        whenStopped()
    }
}

package struct ServerFailure: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String
}
