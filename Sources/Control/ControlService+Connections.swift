import Logging
import Records

extension ControlService {
    func listConnections(_ call: Call) throws(ControlError) -> Reply {
        var found = fleet.connections()
        if let reference = call.query["node"] {
            let node = try read { (reader) throws(RecordsError) in try reader.node(reference) }
            found = found.filter { $0.nodeID == node.id }
        }
        if let listener = call.query["listener"] {
            found = found.filter {
                [String($0.mapping), $0.listener, $0.listener.map { [node = $0.node] in "\(node)/\($0)" }]
                    .contains(listener)
            }
        }
        return Reply(found)
    }

    /// The audit first, so that nothing is ended that nobody can account for; but it does not wait for a disk.
    func killConnection(_ call: Call) throws(ControlError) -> Reply {
        let id = try Self.connectionID(call)
        let reason = call.text("reason") ?? ""
        guard !reason.allSatisfy(\.isWhitespace) else {
            throw .invalid("reason: empty: the audit needs it")
        }
        guard reason.utf8.count <= Limits.detailBytes else {
            throw .invalid("reason: \(reason.utf8.count) bytes, \(Limits.detailBytes) is the most")
        }
        guard fleet.isLive else {
            throw ControlError(
                503, "not-running", "no server is running: nothing is open", hint: "start goproxy-server")
        }
        guard let connection = fleet.connections().first(where: { $0.id == id }) else {
            throw Self.notOpen(id)
        }
        let state = "connection \(id) is ended, but who ended it is not yet on record"
        try protect(call, .connection(id, reason: reason), state) { (transaction) throws(RecordsError) in
            try transaction.audit(
                "connection-kill", node: try transaction.reader.node(id: connection.nodeID),
                mapping: connection.mapping,
                detail: "connection \(id) of \(connection.client) to \(connection.target): \(reason)")
        }
        guard fleet.kill(connection: id, reason: reason) else { throw Self.notOpen(id) }
        return Reply(connection)
    }

    private static func notOpen(_ id: Int64) -> ControlError {
        ControlError(
            404, RecordsError.Code.notFound.rawValue, "connection \(id) is not open",
            hint: "goproxy-admin conn list shows those that are")
    }
}
