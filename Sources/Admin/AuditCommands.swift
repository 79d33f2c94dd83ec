import Control
import FoundationEssentials
import JSON
import Records

/// `goproxy-admin audit …`
enum AuditCommands {
    private static let columns = [
        "id", "at", "actor", "uid", "action", "nodeID", "node", "mapping", "detail", "before", "after",
        "chain",
    ]

    /// In pages: the next begins after the last entry of the one before.
    static func list(_ session: Session) throws(AdminError) {
        let (arguments, history) = (session.arguments, session.arguments.history)
        let query = try query(session)
        if history.follows { return try follow(session, query) }
        let isWhole = arguments.since != nil || history.cursor != nil
        var left = arguments.limit ?? (isWhole ? Int.max : 100)
        var cursor = history.cursor
        var json: [UInt8] = []
        var entries: [AuditAnswer] = []
        while true {
            let page = min(left, Limits.page)
            let answer = try session.ask(
                "GET", "audit",
                query: query + [("limit", String(page))] + (cursor.map { [("cursor", String($0))] } ?? []))
            let new: [AuditAnswer] = try session.decode(answer)
            json = joined(json, answer)
            entries += new
            left -= new.count
            guard isWhole, new.count == page, left > 0, let last = new.last else { break }
            cursor = last.id
        }
        try session.print(json, csv: columns) { () throws(AdminError) in table(entries, session).text }
    }

    static func show(_ session: Session) throws(AdminError) {
        try HistoryCommands.checkZone(session.arguments)
        let json = try session.ask("GET", "audit", session.target)
        try session.print(json) { () throws(AdminError) in
            let entry: AuditAnswer = try session.decode(json)
            let text = HistoryText(isLocal: session.arguments.history.isLocal)
            let record = { (name: String) in
                JSONLayout.member(name, of: json).flatMap { $0.first == UInt8(ascii: "n") ? nil : Array($0) }
                    .map { String(decoding: $0, as: UTF8.self) }
            }
            return fields([
                ("id", String(entry.id)), ("time", text.time(entry.at)), ("actor", entry.actor),
                ("uid", entry.uid.map { String($0) }), ("action", entry.action), ("node", entry.node),
                ("node id", entry.nodeID), ("mapping", entry.mapping.map { String($0) }),
                ("detail", entry.detail ?? change(entry)), ("before", record("before")),
                ("after", record("after")), ("chain", entry.chain),
            ])
        }
    }

    private static func query(_ session: Session) throws(AdminError) -> [(String, String)] {
        let (arguments, history, now) = (session.arguments, session.arguments.history, session.console.now())
        try HistoryCommands.checkZone(arguments)
        try HistoryCommands.checkOrder(arguments, now: now)
        let filters = [
            ("since", arguments.since?.time(now: now, isLocal: history.isLocal).description),
            ("until", history.until?.time(now: now, isLocal: history.isLocal).description),
            ("node", arguments.node), ("actor", history.actor), ("action", history.action),
            ("mapping", history.mapping.map { String($0) }),
        ]
        return filters.compactMap { name, text in text.map { (name, $0) } }
    }

    /// The newest, or what came after the cursor; then what comes.
    private static func follow(_ session: Session, _ query: [(String, String)]) throws(AdminError) {
        let (arguments, history) = (session.arguments, session.arguments.history)
        guard arguments.output != .json, history.until == nil else {
            throw .usage(
                "audit: --follow has no end: no --until, and it is no JSON document", hint: "-o jsonl")
        }
        let patience = Patience(session, hasBegun: history.cursor != nil)
        var cursor = history.cursor ?? 0
        var widths: [Int] = []
        var hasBegun = false
        func write(_ json: [UInt8]) throws(AdminError) {
            let entries: [AuditAnswer] = try session.decode(json)
            cursor = entries.last?.id ?? cursor
            if hasBegun, entries.isEmpty { return }
            let lines = JSONLayout.elements(json)
            switch arguments.output {
            case .json, .jsonl:
                try session.console.write(lines.map { String(decoding: $0, as: UTF8.self) + "\n" }.joined())
            case .csv:
                let titles = hasBegun ? "" : columns.joined(separator: ",") + "\n"
                try session.console.write(titles + HistoryText.csv(columns, lines))
            case .table:
                let table = table(entries, session, widths: widths, isContinued: hasBegun)
                try session.console.write(table.text)
                widths = table.widths
            }
            hasBegun = true
        }
        if history.cursor == nil, arguments.since == nil {
            let limit = [("limit", String(min(arguments.limit ?? 10, Limits.page)))]
            guard let json = try patience.ask("audit", query: query + limit) else { return }
            try write(json)
        }
        while let json = try patience.ask(
            "audit", query: query + [("wait", "20"), ("cursor", String(cursor)), ("limit", "1000")])
        { try write(json) }
    }

    private static func table(
        _ entries: [AuditAnswer], _ session: Session, widths: [Int] = [], isContinued: Bool = false
    ) -> TextTable {
        var table = TextTable(
            ["ID", "TIME", "ACTOR", "ACTION", "NODE", "MAPPING", "DETAIL"],
            hasColor: session.console.hasColor,
            widths: widths, isContinued: isContinued)
        let isLocal = session.arguments.history.isLocal
        let (text, now) = (HistoryText(isLocal: isLocal), session.console.now())
        for entry in entries {
            let time = isLocal ? text.time(entry.at) : TimeText.both(entry.at, now: now)
            table.append([
                "\(String(entry.id))", "\(time)", TextTable.Cell(entry.actor), TextTable.Cell(entry.action),
                TextTable.Cell(entry.node), TextTable.Cell(entry.mapping.map { String($0) }),
                TextTable.Cell(entry.detail ?? change(entry)),
            ])
        }
        return table
    }

    /// What is different after, in the words of the record; of what was added or removed, its addresses.
    private static func change(_ entry: AuditAnswer) -> String? {
        let told = ["name", "tags", "state", "enabled", "listen", "forward"]
        switch (entry.before, entry.after) {
        case (.object(let before), .object(let after)):
            let changes = told.compactMap { key -> String? in
                guard let old = before[key], let new = after[key], old != new else { return nil }
                return "\(key): \(words(old)) → \(words(new))"
            }
            return changes.joined(separator: "; ")
        case (.object(let record), nil), (nil, .object(let record)):
            guard let listen = record["listen"], let forward = record["forward"] else { return nil }
            return "\(words(listen)) to \(words(forward))"
        default: return nil
        }
    }

    private static func words(_ value: JSONValue) -> String {
        switch value {
        case .string(let text): text
        case .bool(let flag): flag ? "yes" : "no"
        case .object(let fields) where fields.isEmpty: "none"
        case .object(let fields):
            if case .string(let domain) = fields["domain"], case .string(let address) = fields["addr"] {
                "\(domain) \(address)"
            } else {
                fields.sorted { $0.key < $1.key }.map { "\($0.key)=\(words($0.value))" }.joined(
                    separator: " ")
            }
        default: "none"
        }
    }

    /// Two arrays as one.
    private static func joined(_ one: [UInt8], _ other: [UInt8]) -> [UInt8] {
        guard one.count > 2 else { return other }
        guard other.count > 2 else { return one }
        return one.dropLast() + [UInt8(ascii: ",")] + other.dropFirst()
    }
}
