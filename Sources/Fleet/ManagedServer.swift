import Control
import Logging
import Reactor
import HTTP
import Records
import TLS
import Tunnel

/// A server with its records: the store, the gate, the reconciler and the control socket, as one value that a program or a
/// test starts on any port and stops.
package final class ManagedServer {
    /// What the command line declares: the node `default` and exactly these mappings, beside what operators declared.
    package struct Flags {
        package var uuid: String?
        package var isWeak = false
        package var mappings: [NewMapping] = []

        package init() {}
    }

    /// What is kept of connections, and for how long.
    package struct HistorySettings {
        package var policy = AuditPolicy()
        /// Nil: for ever.
        package var keepSeconds: Int64?
        /// Of the database; nil: as large as it gets.
        package var maximumBytes: Int64?

        package init() {}
    }

    /// The node that flags declare.
    package static let flagNode = "default"
    package static let socketName = "control.sock"

    package let server: Server
    /// Hears, on another thread, that the records cannot be written any more, whatever is done: the program must end. Set it
    /// before `start`.
    package var whenLost: (@Sendable (String) -> Void)? {
        didSet {
            let whenLost = whenLost
            store.onLost = { whenLost?($0.message) }
        }
    }
    private let directory: DataDirectory
    private let version: String
    private let keys: CredentialFactory
    private let store: Store
    private let history: ConnectionHistory
    private var reconciler: Reconciler?
    private var service: ControlService?
    private var control: HTTPServer?

    /// Takes the data directory: its keys, its lock, its database.
    package init(
        directory: DataDirectory, settings: TunnelSettings, history: HistorySettings = HistorySettings(),
        version: String, loop: EventLoop
    ) throws(ServerFailure) {
        self.directory = directory
        self.version = version
        do {
            keys = try CredentialFactory(directory)
            server = Server(
                key: try directory.serverKey(), settings: settings, programVersion: version, loop: loop)
            store = try Store.open(directory: directory.path, server: version)
            guard let slots = store.takeSlots() else {
                throw ServerFailure(description: "the records were opened without their slots")
            }
            self.history = ConnectionHistory(
                log: store.history, slots: slots, policy: history.policy, loop: loop)
        } catch let error as DataDirectory.Failure {
            throw ServerFailure(description: error.description)
        } catch {
            throw ServerFailure(description: "\(error)")
        }
    }

    /// Opens the main port first, so that a port in use changes nothing; then the records are made what the flags say, the
    /// fleet is loaded, and the control socket opens. Answers the main port's address as bound.
    package func start(on address: SocketAddress, flags: Flags) throws(ServerFailure) -> SocketAddress {
        let bound = try server.start(on: address)
        do {
            try store.write(actor: .server) { (transaction) throws(RecordsError) in
                _ = try transaction.closeSessions(reason: "server-crash")
            }
            try declare(flags)
            let reconciler = try Reconciler(server: server, store: store, keys: keys, history: history)
            self.reconciler = reconciler
            let service = ControlService(
                store: store, fleet: reconciler, credentials: keys, serverVersion: version,
                directory: directory.path)
            self.service = service
            control = try HTTPServer(unixSocket: "\(directory.path)/\(Self.socketName)") {
                service.handle($0)
            }
        } catch let error as RecordsError {
            throw ServerFailure(description: "records: \(error.message)")
        } catch {
            throw ServerFailure(description: "\(error)")
        }
        Log.info("control-listening", ("path", "\(directory.path)/\(Self.socketName)"))
        return bound
    }

    private func declare(_ flags: Flags) throws {
        let credential = try flags.uuid.map { uuid in
            let new = try keys.make(uuid: uuid)
            return NewCredentialRecord(
                identity: new.identity, publicKey: new.publicKey, sealedPSK: new.sealedPSK, weak: flags.isWeak
            )
        }
        let mappings = flags.mappings
        try store.write(actor: .flags) { (transaction) throws(RecordsError) in
            _ = try transaction.replaceFlagMappings(node: Self.flagNode, credential: credential, mappings)
        }
    }

    /// As `Server.stop`; the records are closed when the links are.
    package func stop(drain: UInt64, _ whenStopped: @escaping () -> Void) {
        // Those who wait for a node hold the socket's threads, and this loop waits for those.
        service?.stop()
        control?.stop()
        control = nil
        server.stop(drain: drain) { [store, history] in
            history.flush()
            do throws(RecordsError) {
                try store.write(actor: .server) { (transaction) throws(RecordsError) in
                    _ = try transaction.closeSessions(reason: "server-stop")
                }
            } catch {
                Log.error("records-not-closed", ("error", error.message))
            }
            store.close()
            whenStopped()
        }
    }
}
