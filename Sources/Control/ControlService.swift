import Glibc
import HTTP
import JSON
import Logging
import Records
import Synchronization

/// Answers what operators ask: the same in the server, behind the control socket, and in the admin's process while the server
/// is down.
///
/// Callable from any thread; a call blocks until its change is durable. Refusals are JSON too, and never traps.
package final class ControlService: Sendable {
    let store: Store
    let fleet: any LiveFleet
    let credentials: any CredentialMaker
    let serverVersion: String
    let directory: String?
    let nodeAddress: String?
    let startedAt = Timestamp.now
    let waits = Waits()
    let repeatedReads = RepeatedReads()

    /// - Parameters:
    ///   - directory: of the data, for the size of the database in the status
    ///   - nodeAddress: what nodes dial; nil while no server runs
    package init(
        store: Store, fleet: any LiveFleet, credentials: any CredentialMaker, serverVersion: String,
        directory: String? = nil, nodeAddress: String? = nil
    ) {
        self.store = store
        self.fleet = fleet
        self.credentials = credentials
        self.serverVersion = serverVersion
        self.directory = directory
        self.nodeAddress = nodeAddress
    }

    /// For `HTTPServer`: whoever connected is the actor.
    package func handle(_ request: HTTPRequest) -> HTTPResponse {
        handle(
            request.method, request.path, query: request.query, body: request.body,
            actor: Self.actor(request.peer))
    }

    /// - Parameter path: segments, without escapes.
    package func handle(
        _ method: String, _ path: [String], query: [String: String] = [:], body: [UInt8] = [], actor: Actor
    ) -> HTTPResponse {
        var allowed: [String] = []
        for route in Route.all {
            guard let segments = route.match(path) else { continue }
            guard route.method == method else {
                allowed.append(route.method)
                continue
            }
            do throws(ControlError) {
                let call = try checked(route, segments, query, body, actor)
                return HTTPResponse(status: route.status, body: try answer(route, call).body)
            } catch {
                return refuse(error)
            }
        }
        guard allowed.isEmpty else {
            let methods = allowed.joined(separator: ", ")
            return refuse(
                ControlError(405, "no-such-method", "\(shown(method)): this address takes \(methods)"),
                headers: ["Allow": methods])
        }
        return refuse(
            ControlError(
                404, "no-such-path", "\(shown("/" + path.joined(separator: "/"))): no such address",
                hint: "GET /v1/openapi.json lists all"))
    }

    /// Wakes those who wait for a mapping or follow the history; they are answered that the time is over. Call it before the
    /// HTTP server's `stop`.
    package func stop() {
        waits.end()
        store.history.endWaits()
        writeEndedReads(all: true)
    }

    /// The user whose process it is; behind sudo the one who logged in, and as whom.
    package static func actor(_ peer: PeerIdentity) -> Actor {
        let name = userName(peer.uid)
        switch peer.login {
        case .kernel(let uid): return .user("\(userName(uid)) (as \(name))", uid: peer.uid)
        case .sudo(let login) where login != name:
            return .user("\(login) (as \(name), says sudo)", uid: peer.uid)
        case .sudo, nil: return .user(name, uid: peer.uid)
        }
    }

    private static func userName(_ uid: UInt32) -> String {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var text = [CChar](repeating: 0, count: 4_096)
        let result = getpwuid_r(uid, &entry, &text, text.count, &found)
        let name = result == 0 && found != nil ? entry.pw_name.map { String(cString: $0) } : nil
        return name ?? "uid \(uid)"
    }

    /// Should what it reads stand in the way of something, the log names it.
    private func answer(_ route: Route, _ call: Call) throws(ControlError) -> Reply {
        let name = "\(route.method) \(route.path) of \(call.actor.name)"
        return try ReaderGate.$name.withValue(name) { () -> Result<Reply, ControlError> in
            do throws(ControlError) { return .success(try route.handle(self, call)) } catch {
                return .failure(error)
            }
        }.get()
    }

    private func checked(
        _ route: Route, _ segments: [String: String], _ query: [String: String], _ body: [UInt8],
        _ actor: Actor
    ) throws(ControlError) -> Call {
        for name in query.keys.sorted() where !route.query.contains(where: { $0.name == name }) {
            let known = route.query.map(\.name).joined(separator: ", ")
            throw .invalid(
                "parameter \(shown(name)): unknown", hint: known.isEmpty ? nil : "known here: \(known)")
        }
        for field in route.query {
            if let text = query[field.name] { try field.check(text: text) }
        }
        guard let schema = route.body else {
            return Call(segments: segments, query: query, body: [:], actor: actor)
        }
        var object: [String: JSONValue] = [:]
        if !body.isEmpty {
            let value: JSONValue
            do throws(JSONFault) { value = try JSONValue(body) } catch { throw .invalid("body: \(error)") }
            guard case .object(let given) = value else {
                throw .invalid("body: must be an object, not \(value.kind)")
            }
            object = given
        }
        try Field.check(object, schema.fields)
        return Call(segments: segments, query: query, body: object, actor: actor)
    }

    private func refuse(_ error: ControlError, headers: [String: String] = [:]) -> HTTPResponse {
        // In the admin's process the caller prints it.
        if error.status == 500, fleet.isLive {
            Log.limited(
                .error, "control-failed", key: error.code, ("code", error.code), ("error", error.message))
        }
        let body = ErrorBody(code: error.code, message: error.message, hint: error.hint)
        return HTTPResponse(status: error.status, body: jsonText(body), headers: headers)
    }
}
