import Control
import Flags
import Records

/// `goproxy-admin conn …`
enum ConnectionCommands {
    static func list(_ session: Session) throws(AdminError) {
        var query: [(String, String)] = []
        if let node = session.arguments.node { query.append(("node", node)) }
        if let listener = session.arguments.history.listener { query.append(("listener", listener)) }
        let json = try session.ask("GET", "connections", query: query)
        let columns = [
            "id", "openedAt", "nodeID", "node", "listener", "mapping", "kind", "client", "target", "bytesUp",
            "bytesDown", "bytesPerSecondUp", "bytesPerSecondDown",
        ]
        try session.print(json, csv: columns) { () throws(AdminError) in
            var table = session.makeTable(
                ["ID", "OPEN FOR", "NODE", "LISTENER", "CLIENT", "TARGET", "UP", "DOWN", "UP/S", "DOWN/S"],
                rightAligned: ["ID", "OPEN FOR", "UP", "DOWN", "UP/S", "DOWN/S"])
            let now = session.console.now()
            for one in try session.decode(json, as: [LiveConnection].self) {
                let seconds = Double(now.distance(from: one.openedAt)) / 1_000_000
                let bytes = { (count: UInt64) in TextTable.Cell(bytesText(Int64(clamping: count))) }
                table.append([
                    "\(String(one.id))", "\(HistoryText.duration(seconds))", TextTable.Cell(one.node),
                    TextTable.Cell(one.listener ?? String(one.mapping)), TextTable.Cell(one.client),
                    TextTable.Cell(one.target), bytes(one.bytesUp), bytes(one.bytesDown),
                    bytes(one.bytesPerSecondUp), bytes(one.bytesPerSecondDown),
                ])
            }
            return table.text
        }
    }

    static func kill(_ session: Session) throws(AdminError) {
        guard let reason = session.arguments.history.reason else {
            throw .usage("conn kill: missing --reason", hint: "\(Verb.program) help conn kill")
        }
        let id = session.target
        guard let number = Int64(id), number > 0 else {
            throw .usage(
                "conn kill: \(FlagError.quoted(id)) is not a connection's id",
                hint: "\(Verb.program) conn list")
        }
        try session.confirm(try consequence(session, number))
        let json = try session.ask("POST", "connections", id, "kill", body: ["reason": .string(reason)])
        try session.print(json) { () throws(AdminError) in
            let one: LiveConnection = try session.decode(json)
            return "Ended connection \(one.id) of \(safe(one.client)) to \(safe(one.target))\n"
        }
    }

    private static func consequence(_ session: Session, _ id: Int64) throws(AdminError) -> String {
        let all: [LiveConnection] = try session.decode(try session.ask("GET", "connections"))
        guard let one = all.first(where: { $0.id == id }) else {
            throw AdminError(
                "not-found", "connection \(id) is not open", hint: "\(Verb.program) conn list")
        }
        return
            "End connection \(id) of \(safe(one.client)) to \(safe(one.target)) on node \(safe(one.node)): both sides see it break."
    }
}
