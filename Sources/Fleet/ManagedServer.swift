import Control
import Logging
import Reactor
import HTTP
import Records
import TLS
import Threads
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
        package var retention = Retention()

        package init() {}
    }

    /// The node that flags declare.
    package static let flagNode = "default"
    package static let socketName = "control.sock"

    package let server: Server
    /// Hears, on another thread, that the records cannot be written any more, whatever is done: the program must end. Set it
    /// before `start`.
    package var whenLost: (@Sendable (String) -> Void)?
    private let directory: DataDirectory
    private let version: String
    private let publicAddress: String?
    private let historySettings: HistorySettings
    private let keys: CredentialFactory
    private var running: Running?
    private var isStopping = false

    /// What there is between `start` and `stop`.
    private struct Running {
        let store: Store
        let reconciler: Reconciler
        let service: ControlService
        let control: HTTPServer
    }

    /// Makes the keys at the first start.
    /// - Parameter publicAddress: host:port as nodes reach this server, where that is not what it binds
    package init(
        directory: DataDirectory, settings: TunnelSettings, history: HistorySettings = HistorySettings(),
        version: String, publicAddress: String? = nil, loop: EventLoop
    ) throws(ServerFailure) {
        self.directory = directory
        self.version = version
        self.publicAddress = publicAddress
        historySettings = history
        do throws(DataDirectory.Failure) {
            keys = try CredentialFactory(directory)
            server = Server(
                key: try directory.serverKey(), settings: settings, programVersion: version, loop: loop)
        } catch {
            throw ServerFailure(description: error.description)
        }
    }

    /// Opens the main port first, so that a port in use changes nothing; then takes the records, makes them what the flags say,
    /// loads the fleet, and opens the control socket. Answers the main port's address as bound.
    package func start(on address: SocketAddress, flags: Flags) throws(ServerFailure) -> SocketAddress {
        let bound = try server.start(on: address)
        Log.info("starting", ("version", version), ("data", directory.path), ("address", bound))
        do {
            running = try run(flags, nodeAddress: publicAddress ?? Self.nodeAddress(bound))
        } catch let error as RecordsError {
            throw ServerFailure(description: "records: \(error)")
        } catch {
            throw ServerFailure(description: "\(error)")
        }
        Log.info("server-listening", ("address", bound))
        Log.info("control-listening", ("path", "\(directory.path)/\(Self.socketName)"))
        return bound
    }

    /// What nodes dial, as far as the socket tells: with `0.0.0.0` the port alone.
    private static func nodeAddress(_ bound: SocketAddress) -> String {
        ["0.0.0.0", "::"].contains(bound.host) ? ":\(bound.port)" : "\(bound)"
    }

    private func run(_ flags: Flags, nodeAddress: String) throws -> Running {
        let store = try Store.open(directory: directory.path, server: version)
        guard let slots = store.takeSlots() else {
            throw ServerFailure(description: "the records were opened without their slots")
        }
        let history = ConnectionHistory(
            log: store.history, slots: slots, policy: historySettings.policy, loop: server.loop)
        store.onLost = { [whenLost] in whenLost?($0.message) }
        try store.write(actor: .server) { (transaction) throws(RecordsError) in
            _ = try transaction.closeSessions(
                reason: "server-crash", lastAlive: try transaction.reader.lastCrash())
            _ = try transaction.endExpiredCredentials()
            // For commands without a server.
            try transaction.set(.nodeAddress, nodeAddress)
        }
        try declare(flags, in: store)
        store.startRetention(historySettings.retention)
        let reconciler = try Reconciler(server: server, store: store, keys: keys, history: history)
        let service = ControlService(
            store: store, fleet: reconciler, credentials: keys, serverVersion: version,
            directory: directory.path, nodeAddress: nodeAddress)
        let control = try HTTPServer(unixSocket: "\(directory.path)/\(Self.socketName)") {
            service.handle($0)
        }
        return Running(store: store, reconciler: reconciler, service: service, control: control)
    }

    private func declare(_ flags: Flags, in store: Store) throws {
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

    /// As `Server.stop`; the records are closed when the links are, and the control socket.
    package func stop(drain: UInt64, _ whenStopped: @escaping () -> Void) {
        guard let running, !isStopping else { return server.stop(drain: drain, whenStopped) }
        isStopping = true
        var left = 2
        let closeAtLast = { [self] in
            left -= 1
            guard left == 0 else { return }
            close(running)
            whenStopped()
        }
        stopControl(running, closeAtLast)
        server.stop(drain: drain, closeAtLast)
    }

    /// On a thread of its own: it waits for the requests that are under way, and connections go on meanwhile.
    private func stopControl(_ running: Running, _ done: @escaping () -> Void) {
        let done = LoopBound(done, to: server.loop)
        let (service, control, mailbox) = (running.service, running.control, server.loop.mailbox)
        startThread("control-stop") {
            // Those who wait for a node hold the socket's threads.
            service.stop()
            control.stop()
            mailbox.post { loop in done.value(on: loop)() }
        }
    }

    /// Nothing moves any more: the loop may wait for the disk.
    private func close(_ running: Running) {
        running.reconciler.flush(on: server.loop)
        do throws(RecordsError) {
            try running.store.write(actor: .server) { (transaction) throws(RecordsError) in
                _ = try transaction.closeSessions(reason: "server-stop")
            }
        } catch {
            Log.error("records-not-closed", ("error", error.message))
        }
        running.store.close()
    }
}
