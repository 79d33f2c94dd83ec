import Control
import Flags
import Glibc
import JSON
import Reactor
import Records

/// `goproxy-admin node …`
enum NodeCommands {
    static func add(_ session: Session) throws(AdminError) {
        var body: [String: JSONValue] = ["name": .string(session.target)]
        if !session.arguments.tags.isEmpty { body["tags"] = tags(session.arguments.tags) }
        try session.console.requireRoom()
        let json = try session.ask("POST", "nodes", body: .object(body))
        let node = try session.decode(json, as: NodeAnswer.self)
        do throws(AdminError) {
            try session.printOnce(json) { () throws(AdminError) in
                "Created node \(node.record.name)  (id \(node.record.id))\n" + start(session, node)
            }
        } catch { throw takenBack(node.record, session, error) }
    }

    /// A node that nobody can be is none.
    private static func takenBack(_ node: NodeRecord, _ session: Session, _ why: AdminError) -> AdminError {
        do throws(AdminError) { _ = try session.ask("DELETE", "nodes", node.id) } catch {
            return AdminError(
                why.code,
                "\(why.message); node \(node.name) was added, its uuid is lost, and it cannot be removed: \(error.message)",
                hint: "\(Verb.program) node remove \(node.name)")
        }
        return AdminError(
            why.code, "\(why.message), and the uuid is shown once: node \(node.name) was removed again")
    }

    static func list(_ session: Session) throws(AdminError) {
        var query: [(String, String)] = []
        if let tag = session.arguments.tagFilter { query.append(("tag", tag)) }
        if let state = session.arguments.state { query.append(("state", state.rawValue)) }
        let json = try session.ask("GET", "nodes", query: query)
        let columns = [
            "id", "name", "tags", "state", "online", "onlineSince", "lastSeen", "address", "version", "os",
            "mappings", "subConnections", "createdAt", "origin", "revision",
        ]
        try session.print(json, csv: columns) { () throws(AdminError) in
            let nodes = try session.decode(json, as: [NodeAnswer].self)
            let now = session.console.now()
            // A column of its own only where there is something in it.
            let hasNotes = nodes.contains { $0.note(now: now) != nil }
            var table = session.makeTable(
                ["NAME", "ID", "STATE", "LINK", "ADDRESS", "LAST SEEN", "MAPPINGS", "TAGS"]
                    + (hasNotes ? ["NOTE"] : []),
                rightAligned: ["MAPPINGS"])
            for node in nodes {
                let record = node.record
                table.append(
                    [
                        "\(record.name)", "\(record.id.prefix(8))",
                        TextTable.Cell(record.state.rawValue, record.state == .disabled ? .dim : nil),
                        record.online ? TextTable.Cell("up", .green) : TextTable.Cell("away", .yellow),
                        TextTable.Cell(record.address),
                        TextTable.Cell(record.lastSeen.map { TimeText.both($0, now: now) }),
                        "\(record.mappings)", TextTable.Cell(text(record.tags)),
                    ] + (hasNotes ? [TextTable.Cell(node.note(now: now), .yellow)] : []))
            }
            return table.text
        }
    }

    static func show(_ session: Session) throws(AdminError) {
        let json = try session.ask("GET", "nodes", session.target)
        try session.print(json) { () throws(AdminError) in
            let node = try session.decode(json, as: NodeAnswer.self)
            let mappings = try session.ask("GET", "mappings", query: [("node", node.record.id)])
            let list = try session.decode(mappings, as: [MappingRecord].self)
            var text = details(node, now: session.console.now())
            if !node.credentials.isEmpty { text += "\n" + node.credentialTable(session) }
            return list.isEmpty ? text : text + "\n" + MappingCommands.table(list, session)
        }
    }

    static func rename(_ session: Session) throws(AdminError) {
        let body: JSONValue = ["name": .string(session.arguments.targets[1])]
        let json = try session.ask("PATCH", "nodes", session.target, body: body)
        try session.print(json) { () throws(AdminError) in
            let node = try session.decode(json, as: NodeAnswer.self).record
            return "Renamed node \(safe(session.target)) to \(node.name)  (id \(node.id))\n"
        }
    }

    static func tag(_ session: Session) throws(AdminError) {
        var arguments = session.arguments
        for text in arguments.targets.dropFirst() {
            do throws(FlagError) {
                try arguments.addTag(text)
            } catch {
                throw .usage("node tag: \(FlagError.quoted(text)): \(error)")
            }
        }
        guard !arguments.tags.isEmpty || !arguments.removedTags.isEmpty else {
            throw .usage("node tag: no tags: give KEY=VALUE or --remove key")
        }
        let body: JSONValue = [
            "tags": tags(arguments.tags), "removeTags": .array(arguments.removedTags.map { .string($0) }),
        ]
        let json = try session.ask("PATCH", "nodes", session.target, body: body)
        try session.print(json) { () throws(AdminError) in
            let node = try session.decode(json, as: NodeAnswer.self).record
            return "Node \(node.name): \(node.tags.isEmpty ? "no tags" : safe(text(node.tags)))\n"
        }
    }

    static func enable(_ session: Session) throws(AdminError) {
        let json = try session.ask("POST", "nodes", session.target, "enable")
        try session.print(json) { () throws(AdminError) in
            "Enabled node \(try session.decode(json, as: NodeAnswer.self).record.name)\n"
        }
    }

    static func disable(_ session: Session) throws(AdminError) {
        let node = try find(session)
        try session.confirm("Disable node \(named(node)): it can log in no more, and \(losses(node)).")
        let json = try session.ask("POST", "nodes", node.record.id, "disable")
        try session.print(json) { () throws(AdminError) in
            "Disabled node \(node.record.name)\(try ended(session, json))\n"
        }
    }

    static func remove(_ session: Session) throws(AdminError) {
        let node = try find(session)
        let mappings = counted(node.record.mappings, "mapping")
        try session.confirm(
            "Remove node \(named(node)): it goes with its \(mappings) and its uuids, and \(losses(node)).")
        let json = try session.ask("DELETE", "nodes", node.record.id)
        try session.print(json) { () throws(AdminError) in
            "Removed node \(node.record.name) and \(mappings)\(try ended(session, json))\n"
        }
    }

    static func rotate(_ session: Session) throws(AdminError) {
        let node = try find(session)
        let overlap = session.arguments.overlap.components.seconds
        if overlap == 0 {
            try session.confirm(
                "Rotate the uuid of node \(named(node)): the old one ends at once, and \(losses(node)).")
        }
        try session.console.requireRoom()
        let json = try session.ask(
            "POST", "nodes", node.record.id, "rotate", body: ["overlapSeconds": .integer(overlap)])
        let old = overlap == 0 ? "has ended" : "is good for another \(durationText(.seconds(overlap)))"
        do throws(AdminError) {
            try session.printOnce(json) { () throws(AdminError) in
                let node = try session.decode(json, as: NodeAnswer.self)
                return
                    "Rotated the uuid of node \(node.record.name); the old one \(old)\(try ended(session, json))\n"
                    + start(session, node)
            }
        } catch {
            throw AdminError(
                error.code,
                "\(error.message): the new uuid of node \(node.record.name) is lost, the old one \(old)",
                hint: "\(Verb.program) node rotate \(node.record.name)")
        }
    }

    // MARK: Texts

    private static func find(_ session: Session) throws(AdminError) -> NodeAnswer {
        try session.decode(try session.ask("GET", "nodes", session.target))
    }

    private static func named(_ node: NodeAnswer) -> String {
        "\(node.record.name) (id \(node.record.id.prefix(8))…)"
    }

    private static func losses(_ node: NodeAnswer) -> String {
        guard let count = node.subConnections else { return "it is away now" }
        return "its link closes with \(counted(count, "sub-connection"))"
    }

    private static func ended(_ session: Session, _ json: [UInt8]) throws(AdminError) -> String {
        guard let count = try session.decode(json, as: NodeAnswer.self).subConnectionsEnded, count > 0 else {
            return ""
        }
        return "; \(counted(count, "sub-connection")) ended"
    }

    /// The command line that the node is started with.
    private static func start(_ session: Session, _ node: NodeAnswer) -> String {
        let status = try? session.decode(session.ask("GET", "status"), as: StatusAnswer.self)
        let known = status?.nodeAddress.flatMap { try? Endpoint(domain: .tcp, address: $0) }
        let host = session.arguments.host ?? known.flatMap { $0.host.isEmpty ? nil : $0.host } ?? machineName
        let port = session.arguments.port ?? known.map { Int($0.port) } ?? 925
        return """
              On the node, run:
                goproxy-node -host \(safe(host)) -port \(port) -uuid \(node.uuid ?? "")    # shown once

            """
    }

    private static var machineName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "SERVER" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func tags(_ tags: [String: String]) -> JSONValue {
        .object(tags.mapValues { .string($0) })
    }

    private static func text(_ tags: [String: String]) -> String {
        tags.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
    }

    private static func details(_ node: NodeAnswer, now: Timestamp) -> String {
        let record = node.record
        let link = node.onlineSince.map { "up since \(TimeText.both($0, now: now))" } ?? "away"
        let lines: [(String, String?)] = [
            ("name", record.name), ("id", record.id), ("state", record.state.rawValue), ("link", link),
            ("address", record.address), ("last seen", node.lastSeenText(now: now)),
            ("note", node.note(now: now)),
            ("version", record.version), ("os", record.os), ("tags", text(record.tags)),
            ("sub-connections", node.subConnections.map { String($0) }),
            ("created", "\(TimeText.both(record.createdAt, now: now)), by \(record.origin.rawValue)"),
        ]
        return fields(lines)
    }
}

/// Names and values in two columns; without a value, no line.
func fields(_ lines: [(String, String?)]) -> String {
    let width = lines.map(\.0.count).max() ?? 0
    return lines.compactMap { name, value in
        guard let value, !value.isEmpty else { return nil }
        return name + String(repeating: " ", count: width - name.count) + "  \(safe(value))\n"
    }.joined()
}
