import Control
import Records

/// `history top`: the server counts for a second at a time, and the parts are added up here. So it is said how far it has come,
/// it takes as long as it takes, and whoever does not want to wait gets what there is.
enum HistoryTop {
    static func run(_ session: Session) throws(AdminError) {
        let arguments = session.arguments
        let by = arguments.history.by
        let filters =
            try HistoryCommands.query(session) + [
                ("by", by.rawValue), ("limit", String(Limits.totalsPart)), ("timeout", "1"),
            ]
        session.console.catchInterrupts()
        let progress = Progress(session.console)
        defer { progress.end() }
        let text = HistoryText(isLocal: arguments.history.isLocal)
        var all: [String: ConnectionTotals] = [:]
        var connections: Int64 = 0
        var from: Timestamp?
        var cursor: String?
        repeat {
            let part: TopAnswer = try session.decode(
                try session.ask(
                    "GET", "history", "top", query: filters + (cursor.map { [("cursor", $0)] } ?? [])))
            for entry in part.entries {
                all[entry.name, default: ConnectionTotals()] += ConnectionTotals(
                    connections: entry.connections, up: entry.bytesUp, down: entry.bytesDown)
            }
            guard all.count <= Limits.totalsKeys else {
                throw AdminError(
                    RecordsError.Code.limit.rawValue, "more than \(Limits.totalsKeys) of them",
                    hint: "narrow it down: --since, --node, --client")
            }
            connections += part.connections
            from = part.from ?? from
            cursor = part.next
            progress.show(
                "counted \(connections) connections, back to \(from.map(text.time) ?? "the newest")")
        } while cursor != nil && !session.console.isInterrupted()
        progress.end()
        let top = TopAnswer(
            by, all, byConnections: arguments.history.sort == "connections", limit: arguments.limit ?? 10,
            next: cursor, reached: from)
        let isCSV = arguments.output == .csv
        try session.print(
            isCSV ? jsonText(top.entries) : jsonText(top),
            csv: ["name", "connections", "bytesUp", "bytesDown"]
        ) { () throws(AdminError) in table(top, session) }
        guard !top.complete else { return }
        throw AdminError(
            "interrupted",
            "stopped: these are the connections back to \(from.map(text.time) ?? "the newest") only",
            hint: "give --since for less", status: .interrupted)
    }

    private static func table(_ top: TopAnswer, _ session: Session) -> String {
        var table = session.makeTable(
            [top.by.uppercased(), "CONNECTIONS", "UP", "DOWN"], rightAligned: ["CONNECTIONS", "UP", "DOWN"])
        for entry in top.entries {
            table.append([
                TextTable.Cell(entry.name), "\(String(entry.connections))", "\(bytesText(entry.bytesUp))",
                "\(bytesText(entry.bytesDown))",
            ])
        }
        table.append([
            TextTable.Cell("all \(top.names)"), "\(String(top.connections))", "\(bytesText(top.bytesUp))",
            "\(bytesText(top.bytesDown))",
        ])
        return table.text
    }
}
