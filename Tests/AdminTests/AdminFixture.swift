import Admin
import Control
import Fleet
import Foundation
import HTTP
import Histories
import Records
import SQLite
import Support
import Synchronization

/// The admin program in this process, on a data directory of its own: beside a control socket, or alone with the records.
final class AdminFixture {
    let directory: String
    private var server: (http: HTTPServer, service: ControlService, store: Store)?
    let fleet = AnsweringFleet()

    init(hasServer: Bool) throws {
        var name = Array("/tmp/goproxy-admin-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { throw POSIXError(.EIO) }
        directory = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if hasServer { try start() }
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(atPath: directory)
    }

    func start(mode: UInt32 = 0o600) throws {
        let store = try Store.open(directory: directory)
        fleet.store.withLock { $0 = store }
        let service = ControlService(
            store: store, fleet: fleet, credentials: try CredentialFactory(try DataDirectory(directory)),
            serverVersion: "9.9.9", directory: directory)
        let http = try HTTPServer(unixSocket: "\(directory)/control.sock", mode: mode) { service.handle($0) }
        server = (http, service, store)
    }

    func stop() {
        guard let server else { return }
        server.service.stop()
        server.http.stop()
        fleet.store.withLock { $0 = nil }
        server.store.close()
        self.server = nil
    }

    /// A history of so many connections, from id 1 on, and as many of them open now as the fleet is told.
    func makeHistory(_ count: Int, seed: UInt64 = 31, open: Int = 0) throws -> HistoryRows {
        if server == nil { try Store.open(directory: directory).close() }
        var rows = HistoryRows(seed: seed, routes: 12, connections: count, hasHoles: false)
        try rows.write(to: "\(directory)/\(Store.fileName)")
        let live = rows.connections.filter { $0.end == nil }.prefix(open).map { one in
            LiveConnection(
                id: one.id, nodeID: one.route.nodeID, node: one.route.node, mapping: one.route.mapping,
                listener: one.route.name, kind: one.route.kind, client: "203.0.113.9:51514",
                target: one.route.target, openedAt: Timestamp(microseconds: one.at), bytesUp: 1_200_000,
                bytesDown: 88_000, bytesPerSecondUp: 500, bytesPerSecondDown: 0)
        }
        fleet.open.withLock { $0 = live }
        return rows
    }

    /// Rows by their own SQL.
    func insert(_ script: String) throws {
        let database = try Database(path: "\(directory)/\(Store.fileName)", mode: .readWrite)
        _ = try database.pragma("PRAGMA wal_autocheckpoint = 0")
        try database.run(script: script)
    }

    struct Outcome {
        let status: Int32
        let output: String
        let error: String

        var errorCode: String? {
            let object = try? JSONSerialization.jsonObject(with: Data(error.utf8)) as? [String: [String: Any]]
            return object?["error"]?["code"] as? String
        }
    }

    /// - Parameter answer: what the operator types; nil when there is no terminal.
    func run(
        _ words: [String], answer: String? = nil, isTerminal: Bool = false, outputError: Int32 = 0,
        foreseen: Int32 = 0,
        isErrorTerminal: Bool = false, isInterrupted: Bool = false, environment: [String: String] = [:],
        now: Timestamp = .now, clock: (() -> Timestamp)? = nil
    ) -> Outcome {
        var (output, error) = ("", "")
        var console = Console(
            write: { output += $0 }, writeError: { error += $0 }, readLine: { answer },
            isOutputTerminal: isTerminal, isInputTerminal: answer != nil,
            environment: environment.merging(["GOPROXY_DATA": directory]) { one, _ in one },
            now: clock ?? { now })
        console.isErrorTerminal = isErrorTerminal
        console.isInterrupted = { isInterrupted }
        console.foresee = { foreseen }
        console.put = {
            if outputError == 0 { output += $0 }
            return outputError
        }
        let status = Admin.run(words, on: console)
        return Outcome(status: status, output: output, error: error)
    }

    /// Words apart by spaces.
    func run(_ line: String, answer: String? = nil) -> Outcome {
        run(line.split(separator: " ").map(String.init), answer: answer)
    }

    var schema: JSONSchema {
        get throws { try JSONSchema(document: Array(jsonText(OpenAPI.document(version: "1")))) }
    }
}

/// A fleet whose nodes apply at once what they are sent: each listening address is bound as asked, `…:5` is in use.
final class AnsweringFleet: LiveFleet {
    let store = Mutex<Store?>(nil)
    let links = Mutex<[String: LiveNode]>([:])
    let open = Mutex<[LiveConnection]>([])
    let shared = Mutex<[String: [SharingMachine]]>([:])
    let applies = Atomic<Bool>(true)

    func changed(nodes: [String]) {
        guard applies.load(ordering: .relaxed), let store = store.withLock({ $0 }) else { return }
        for id in nodes {
            store.submit { (transaction) throws(RecordsError) in
                guard let node = try transaction.reader.fleetNode(id: id) else { return }
                let states = node.mappings.filter(\.enabled).map { mapping in
                    ObservedState(
                        mapping: mapping.id,
                        state: mapping.listen.addr.hasSuffix(":5")
                            ? .failed(detail: "address already in use (retry in 8 s)")
                            : .active(bound: mapping.listen.addr.replacing(":0", with: ":41234")),
                        appliedRevision: node.node.revision)
                }
                try transaction.setObserved(id, states)
            }
        }
    }

    func disconnect(node id: String, reason: String) -> Int {
        links.withLock { $0.removeValue(forKey: id)?.subConnections ?? 0 }
    }

    func online() -> [String: LiveNode] { links.withLock { $0 } }

    func heard() -> [String: Timestamp]? { online().mapValues { _ in .now } }

    func sharing() -> [String: [SharingMachine]] { shared.withLock { $0 } }

    func connections() -> [LiveConnection] { open.withLock { $0 } }

    func passed(of ids: [Int64]?) -> [Int64: PassedBytes]? {
        let asked = connections().filter { ids?.contains($0.id) ?? true }
        return Dictionary(
            asked.map { ($0.id, PassedBytes(up: Int64($0.bytesUp), down: Int64($0.bytesDown))) }
        ) { $1 }
    }

    func kill(connection id: Int64, reason: String) -> Bool {
        open.withLock { open in
            guard let place = open.firstIndex(where: { $0.id == id }) else { return false }
            open.remove(at: place)
            return true
        }
    }

    var isLive: Bool { true }

    func setOnline(_ id: String, subConnections: Int, since: Int64 = 1_000_000) {
        let node = LiveNode(
            address: "203.0.113.9:40000", version: "0.1.0", os: "linux", sinceMicroseconds: since,
            subConnections: subConnections)
        links.withLock { $0[id] = node }
    }
}
