import Control
import JSON
import Records
import Tunnel

/// The commands of one word.
enum OtherCommands {
    static func status(_ session: Session) throws(AdminError) {
        let json = try session.ask("GET", "status")
        let status: StatusAnswer = try session.decode(json)
        let troubles = try Troubles(status, session)
        try session.print(json) { () throws(AdminError) in
            let now = session.console.now()
            let server =
                status.startedAt.map { "running since \(TimeText.both($0, now: now))" }
                ?? "not running; this is what the records say"
            let mappings = status.mappings
            return fields([
                ("server", server), ("version", status.version), ("pid", status.pid.map { String($0) }),
                ("nodes", "\(status.nodes): \(status.online) online, \(status.disabledNodes) disabled"),
                (
                    "mappings",
                    """
                    \(mappings.active + mappings.pending + mappings.failed + mappings.disabled): \
                    \(mappings.active) active, \(mappings.pending) pending, \(mappings.failed) failed, \
                    \(mappings.disabled) disabled
                    """
                ), ("sub-connections", String(status.subConnections)),
                ("database", database(status)),
                (
                    "history",
                    status.historyUse.map {
                        "\(bytesText($0.maximumBytes)) at most, \(bytesText($0.keptBytes)) of it never pruned"
                            + ($0.isTight ? ": too much, raise -history-max" : "")
                    }
                ),
                (
                    "records",
                    status.failingSince.map {
                        "nothing can be recorded since \(TimeText.both($0, now: now)): \(status.failure ?? "")"
                    } ?? "all written"
                ), ("failed", Troubles.text(troubles.failed)), ("away", Troubles.text(troubles.away)),
                ("shared", Troubles.text(troubles.shared)),
                ("unreachable", Troubles.text(troubles.unreachable)),
            ])
        }
        guard troubles.all.isEmpty else {
            throw AdminError(
                "unsound", "wrong here: \(troubles.all.joined(separator: "; "))",
                hint: "\(Verb.program) doctor")
        }
    }

    private static func database(_ status: StatusAnswer) -> String {
        let held = status.logHolder.map { ", kept from beginning anew by \($0)" } ?? ""
        return
            "\(bytesText(Int64(status.databaseBytes))), its log of writes \(bytesText(Int64(status.logBytes)))\(held)"
    }

    /// In pages: the next begins after the last entry of the one before.
    static func audit(_ session: Session) throws(AdminError) {
        let arguments = session.arguments
        let since = arguments.since?.time(now: session.console.now())
        var left = arguments.limit ?? (since == nil ? 100 : Int.max)
        let filters = [
            ("since", since?.description),
            ("until", arguments.history.until?.time(now: session.console.now()).description),
            ("node", arguments.node), ("actor", arguments.history.actor),
            ("action", arguments.history.action),
        ]
        var query = filters.compactMap { name, text in text.map { (name, $0) } }
        var json: [UInt8] = []
        var entries: [AuditAnswer] = []
        while true {
            let page = min(left, Limits.page)
            let answer = try session.ask("GET", "audit", query: query + [("limit", String(page))])
            let new: [AuditAnswer] = try session.decode(answer)
            json = joined(json, answer)
            entries += new
            left -= new.count
            guard since != nil, new.count == page, left > 0, let last = new.last else { break }
            query = query.filter { $0.0 != "cursor" } + [("cursor", String(last.id))]
        }
        try session.print(json) { () throws(AdminError) in
            var table = session.makeTable(["TIME", "ACTOR", "ACTION", "NODE", "MAPPING", "DETAIL"])
            for entry in entries {
                table.append([
                    "\(TimeText.both(entry.at, now: session.console.now()))", TextTable.Cell(entry.actor),
                    TextTable.Cell(entry.action), TextTable.Cell(entry.node),
                    TextTable.Cell(entry.mapping.map { String($0) }),
                    TextTable.Cell(entry.detail ?? change(entry)),
                ])
            }
            return table.text
        }
    }

    static func version(_ session: Session) throws(AdminError) {
        let json: JSONValue = ["version": .string(Version.number)]
        try session.print(jsonText(json)) { () throws(AdminError) in Version.text(Verb.program) + "\n" }
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
