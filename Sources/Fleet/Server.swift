// Fleet: what only the server has. The gate for unauthenticated connections, the registry of nodes, its files.
import Logging
import Mux
import Reactor
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

    /// Declares a node that logs in with `credential`, with its mappings.
    @discardableResult
    package func declare(_ name: String, credential: Credential) -> Peer {
        let peer = registry.declare(name, settings: settings, loop: loop)
        registry.admit(
            identity: credential.id, psk: credential.psk, publicKey: SigningKey(seed: credential.signingSeed).publicKey,
            as: peer)
        return peer
    }

    /// Opens the main port. Answers the address as bound.
    package func start(on address: SocketAddress) throws(ServerFailure) -> SocketAddress {
        var hello = Hello(publicKey: key.publicKey)
        hello.programVersion = programVersion
        let context: TLSContext
        do throws(TLSFailure) {
            context = try TLSContext.server { [registry] identity in registry.psk(for: identity) }
        } catch {
            throw ServerFailure(description: "TLS: \(error)")
        }
        let gate = Gate(
            context: context, key: key, hello: hello, settings: settings, maximumPerSource: maximumPerSource, loop: loop,
            judge: { [registry] hello, identity in
                registry.peer(identity: identity, publicKey: hello.publicKey) == nil
                    ? "the node's signing key is not the one on record" : nil
            },
            admitted: { [weak self] connection, address in self?.admitted(connection, address) })
        self.gate = gate
        do throws(SystemError) {
            let bound = try gate.open(address)
            Log.info("server-listening", ("address", bound))
            return bound
        } catch {
            throw ServerFailure(description: "cannot listen on \(address): \(error)")
        }
    }

    private func admitted(_ connection: SecuredConnection, _ address: SocketAddress) {
        guard let peer = registry.peer(identity: connection.identity, publicKey: connection.hello.publicKey) else {
            return connection.transport.close()
        }
        peer.adopt(connection.transport, records: connection.records, role: .accepter)
    }

    /// Takes no more connections, asks the nodes to come back later, lets sub-connections end for `drain` nanoseconds,
    /// then ends what is left.
    package func stop(drain: UInt64, _ whenStopped: @escaping () -> Void) {
        guard !isStopping else { return endNow() }
        isStopping = true
        self.whenStopped = whenStopped
        gate?.close()
        for peer in registry.peers.values {
            peer.onLink = { [weak self] _ in self?.checkStopped() }
            peer.stop(retryAfterMilliseconds: 1_000)
        }
        drainTimer = loop.schedule(after: drain) { [weak self] in self?.endNow() }
        checkStopped()
    }

    private func endNow() {
        for peer in registry.peers.values { peer.endLinks() }
        checkStopped()
    }

    private func checkStopped() {
        guard isStopping, registry.peers.values.allSatisfy({ !$0.hasLinks }), let whenStopped else { return }
        loop.cancel(drainTimer)
        self.whenStopped = nil
        whenStopped()
    }
}

package struct ServerFailure: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String
}
