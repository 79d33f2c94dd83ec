import Control
import Foundation
import HTTP
import Histories
import Records
import Support
import Synchronization

/// A control service on records of its own, with a fleet that only notes what it is asked.
final class ControlFixture: Sendable {
    let directory: String
    let store: Store
    let fleet = NotingFleet()
    let service: ControlService
    static let actor = Actor.user("alice", uid: 1_000)

    init(isLive: Bool = true) throws {
        var name = Array("/tmp/goproxy-control-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { throw POSIXError(.EIO) }
        directory = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        store = try Store.open(directory: directory)
        fleet.state.withLock { $0.isLive = isLive }
        service = ControlService(
            store: store, fleet: fleet, credentials: CountingMaker(), serverVersion: "9.9.9",
            directory: directory)
    }

    deinit {
        store.close()
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Asks as alice. `address` may hold a query.
    func ask(_ method: String, _ address: String, _ body: String = "", actor: Actor = actor) -> HTTPResponse {
        let parts = address.split(separator: "?", maxSplits: 1)
        let path = parts[0].split(separator: "/").map { PercentCoding.decoded($0) ?? "" }
        var query: [String: String] = [:]
        if parts.count == 2 {
            for pair in parts[1].split(separator: "&") {
                let sides = pair.split(separator: "=", maxSplits: 1)
                query[String(sides[0])] = sides.count == 2 ? PercentCoding.decoded(sides[1]) : ""
            }
        }
        return service.handle(method, path, query: query, body: Array(body.utf8), actor: actor)
    }

    /// A node and its id.
    @discardableResult
    func add(_ name: String) throws -> String {
        try ask("POST", "/v1/nodes", #"{"name":"\#(name)"}"#).value("id")
    }

    @discardableResult
    func addMapping(_ node: String, _ kind: String = "listener", listen: String, name: String? = nil) throws
        -> UInt32
    {
        let name = name.map { #","name":"\#($0)""# } ?? ""
        let body = """
            {"node":"\(node)","kind":"\(kind)"\(name),"listen":{"domain":"tcp","addr":"\(listen)"},
            "forward":{"addr":"127.0.0.1:80"}}
            """
        return try ask("POST", "/v1/mappings", body).value("id")
    }

    /// A history of so many connections, from id 1 on.
    @discardableResult
    func makeHistory(_ count: Int, seed: UInt64 = 21) throws -> HistoryRows {
        var rows = HistoryRows(seed: seed, routes: 12, connections: count, hasHoles: false)
        try rows.write(to: "\(directory)/\(Store.fileName)")
        return rows
    }

    /// What the node's side says of a mapping, as the server would write it.
    func observe(_ id: UInt32, _ state: ObservedState.State, revision: Int64) throws {
        try store.write(actor: .server) { (transaction) throws(RecordsError) in
            guard let mapping = try transaction.reader.mapping(id: id) else { return }
            try transaction.setObserved(
                mapping.nodeID, [ObservedState(mapping: id, state: state, appliedRevision: revision)])
        }
    }
}

struct WrongAnswer: Error {
    let text: String
}

extension HTTPResponse {
    var text: String { String(decoding: body, as: UTF8.self) }

    func value<Value>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
        let object = try JSONSerialization.jsonObject(with: Data(body)) as? [String: Any]
        guard let value = object?[name] as? Value else {
            throw WrongAnswer(text: "no \(name) in \(status): \(text)")
        }
        return value
    }

    var errorCode: String? {
        let object = try? JSONSerialization.jsonObject(with: Data(body)) as? [String: [String: Any]]
        return object?["error"]?["code"] as? String
    }

    var names: [String] {
        let list = try? JSONSerialization.jsonObject(with: Data(body)) as? [[String: Any]]
        return (list ?? []).compactMap { $0["name"] as? String }
    }
}

extension LiveConnection {
    static func sample(_ id: Int64, node: String = "edge-01", up: UInt64 = 10, down: UInt64 = 20)
        -> LiveConnection
    {
        LiveConnection(
            id: id, nodeID: HistoryRows.nodeID(0), node: node, mapping: 3, listener: "web", kind: .listener,
            client: "203.0.113.9:51514", target: "127.0.0.1:80", openedAt: Timestamp(microseconds: 1_000_000),
            bytesUp: up, bytesDown: down, bytesPerSecondUp: 1, bytesPerSecondDown: 2)
    }
}

final class NotingFleet: LiveFleet {
    struct State: Sendable {
        var isLive = true
        var calls: [String] = []
        /// What the loop was asked, which changes nothing.
        var questions: [String] = []
        var online: [String: LiveNode] = [:]
        var connections: [LiveConnection] = []
        /// It does not answer in time.
        var isSlow = false
    }

    let state = Mutex(State())
    let shared = Mutex<[String: [SharingMachine]]>([:])

    func changed(nodes: [String]) {
        state.withLock { $0.calls += nodes.map { "changed \($0)" } }
    }

    func disconnect(node id: String, reason: String) -> Int {
        state.withLock { state in
            state.calls.append("disconnect \(id) \(reason)")
            return state.online.removeValue(forKey: id)?.subConnections ?? 0
        }
    }

    func online() -> [String: LiveNode] { state.withLock { $0.online } }

    func heard() -> [String: Timestamp]? { online().mapValues { _ in .now } }

    func sharing() -> [String: [SharingMachine]] { shared.withLock { $0 } }

    func connections() -> [LiveConnection] {
        state.withLock { state in
            state.questions.append("connections")
            return state.connections
        }
    }

    func passed(of ids: [Int64]?) -> [Int64: PassedBytes]? {
        state.withLock { state in
            state.questions.append("passed \(ids.map { "\($0.sorted())" } ?? "all")")
            guard !state.isSlow else { return nil }
            let asked = state.connections.filter { ids?.contains($0.id) ?? true }
            return Dictionary(
                asked.map { ($0.id, PassedBytes(up: Int64($0.bytesUp), down: Int64($0.bytesDown))) }
            ) { $1 }
        }
    }

    func kill(connection id: Int64, reason: String) -> Bool {
        state.withLock { state in
            guard let place = state.connections.firstIndex(where: { $0.id == id }) else { return false }
            state.connections.remove(at: place)
            state.calls.append("kill \(id) \(reason)")
            return true
        }
    }

    var isLive: Bool { state.withLock { $0.isLive } }

    func takeCalls() -> [String] {
        state.withLock { state in
            defer { state.calls = [] }
            return state.calls
        }
    }

    func takeQuestions() -> [String] {
        state.withLock { state in
            defer { state.questions = [] }
            return state.questions
        }
    }

    func setOnline(_ id: String, subConnections: Int) {
        let node = LiveNode(
            address: "203.0.113.9:40000", version: "0.1.0", os: "linux", sinceMicroseconds: 1_000_000,
            subConnections: subConnections)
        state.withLock { $0.online[id] = node }
    }
}

/// Credentials without their cost.
struct CountingMaker: CredentialMaker {
    private static let count = Atomic<UInt8>(0)

    func make() throws(CredentialMakerError) -> NewCredential {
        let number = Self.count.add(1, ordering: .relaxed).newValue
        let identity = [number] + (0..<15).map { _ in UInt8.random(in: 0...255) }
        return NewCredential(
            uuid: "gp1_secret\(number)", identity: identity, publicKey: [UInt8](repeating: number, count: 32),
            sealedPSK: [UInt8](repeating: number, count: 60))
    }
}
