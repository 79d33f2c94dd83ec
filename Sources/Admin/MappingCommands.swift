import Control
import Flags
import JSON
import Records

/// `goproxy-admin listener …` and `goproxy-admin peer-listener …`
struct MappingCommands: Sendable {
    let kind: MappingKind

    private var query: [(String, String)] { [("kind", kind.rawValue)] }

    func add(_ session: Session) throws(AdminError) {
        let arguments = session.arguments
        guard let listen = arguments.listen, let forward = arguments.forward else {
            let missing = arguments.listen == nil ? "--listen" : "--forward"
            throw .usage(
                "\(kind.rawValue) add: missing \(missing)", hint: "\(Verb.program) help \(kind.rawValue) add")
        }
        var body: [String: JSONValue] = [
            "node": .string(session.target), "kind": .string(kind.rawValue), "listen": Self.json(listen),
            "forward": Self.json(forward),
        ]
        if let name = arguments.name, !name.isEmpty { body["name"] = .string(name) }
        try finish(session, try session.ask("POST", "mappings", body: .object(body)), "Added")
    }

    func list(_ session: Session) throws(AdminError) {
        var query: [(String, String)] = []
        if let node = session.arguments.node { query.append(("node", node)) }
        let only = kind == .peerListener ? kind : session.arguments.kind
        if let only { query.append(("kind", only.rawValue)) }
        let json = try session.ask("GET", "mappings", query: query)
        try session.print(json) { () throws(AdminError) in
            Self.table(try session.decode(json, as: [MappingRecord].self), session)
        }
    }

    func show(_ session: Session) throws(AdminError) {
        let json = try session.ask("GET", "mappings", session.target, query: query)
        try session.print(json) { () throws(AdminError) in
            Self.details(try session.decode(json), now: session.console.now())
        }
    }

    func set(_ session: Session) throws(AdminError) {
        var body: [String: JSONValue] = [:]
        if let name = session.arguments.name { body["name"] = .string(name) }
        if let listen = session.arguments.listen { body["listen"] = Self.json(listen) }
        if let forward = session.arguments.forward { body["forward"] = Self.json(forward) }
        guard !body.isEmpty else {
            throw .usage(
                "\(kind.rawValue) set: nothing to change: give --name, --listen, --forward or --json",
                hint: "\(Verb.program) help \(kind.rawValue) set")
        }
        if session.arguments.listen != nil || session.arguments.forward != nil {
            try confirmCut(session, "Change")
        }
        let json = try session.ask("PATCH", "mappings", session.target, query: query, body: .object(body))
        try finish(session, json, "Changed")
    }

    func enable(_ session: Session) throws(AdminError) {
        try finish(
            session, try session.ask("POST", "mappings", session.target, "enable", query: query), "Enabled")
    }

    func disable(_ session: Session) throws(AdminError) {
        try confirmCut(session, "Disable")
        try finish(
            session, try session.ask("POST", "mappings", session.target, "disable", query: query), "Disabled")
    }

    func remove(_ session: Session) throws(AdminError) {
        let mapping: MappingRecord = try session.decode(
            try session.ask("GET", "mappings", session.target, query: query))
        let open = try connections(session, mapping)
        try session.confirm(
            "Remove \(mapping.sentenceName), \(mapping.listen) to \(mapping.forward): \(Self.loss(open)).")
        let json = try session.ask("DELETE", "mappings", String(mapping.id), query: query)
        try session.print(json) { () throws(AdminError) in "Removed \(mapping.sentenceName)\n" }
    }

    /// Asks where something would end that is open now.
    private func confirmCut(_ session: Session, _ verb: String) throws(AdminError) {
        guard !session.arguments.isForced else { return }
        let mapping: MappingRecord = try session.decode(
            try session.ask("GET", "mappings", session.target, query: query))
        let open = try connections(session, mapping)
        guard open > 0 else { return }
        try session.confirm("\(verb) \(mapping.sentenceName): \(Self.loss(open)).")
    }

    private static func loss(_ open: Int) -> String { "its sub-connections are closed, \(open) now" }

    private func connections(_ session: Session, _ mapping: MappingRecord) throws(AdminError) -> Int {
        let json = try session.ask("GET", "connections", query: [("listener", String(mapping.id))])
        return try session.decode(json, as: [LiveConnection].self).count { $0.mapping == mapping.id }
    }

    // MARK: After a change

    private func finish(_ session: Session, _ json: [UInt8], _ done: String) throws(AdminError) {
        let mapping = try session.decode(json, as: MappingRecord.self)
        func report() throws(AdminError) {
            try session.print(json) { () throws(AdminError) in "\(done) \(Self.line(mapping))\n" }
        }
        guard session.arguments.waits else { return try report() }
        let (waited, isOver): ([UInt8], Bool)
        do throws(AdminError) {
            (waited, isOver) = try wait(session, mapping)
        } catch {
            // What was recorded stays recorded, and its id is needed.
            try report()
            throw error
        }
        let now = try session.decode(waited, as: MappingRecord.self)
        try session.print(waited) { () throws(AdminError) in
            "\(done) \(Self.line(now)): \(Self.outcome(now))\n"
        }
        guard !isOver else { throw try late(session, now) }
        guard now.state == .failed else { return }
        throw AdminError("not-applied", "\(now.sentenceName) failed: \(now.detail ?? "no reason given")")
    }

    /// In portions: one wait is at most a minute.
    private func wait(_ session: Session, _ mapping: MappingRecord) throws(AdminError) -> (
        [UInt8], isOver: Bool
    ) {
        let deadline = ContinuousClock.now + session.arguments.timeout
        while true {
            let left = max(0, (deadline - ContinuousClock.now).components.seconds)
            let portion = min(50, left)
            let json = try session.ask(
                "GET", "mappings", String(mapping.id), "wait",
                query: [("revision", String(mapping.desiredRevision)), ("timeout", String(portion))],
                timeout: .seconds(portion + 10))
            if try !session.decode(json, as: WaitAnswer.self).timedOut { return (json, false) }
            if left <= portion { return (json, true) }
        }
    }

    private func late(_ session: Session, _ mapping: MappingRecord) throws(AdminError) -> AdminError {
        let node: NodeAnswer = try session.decode(try session.ask("GET", "nodes", mapping.nodeID))
        guard node.record.online else {
            return AdminError(
                "node-away", "node \(mapping.node) is away: it gets \(mapping.sentenceName) when it returns",
                hint: "\(Verb.program) node show \(mapping.node)")
        }
        return AdminError(
            "timed-out",
            "\(mapping.sentenceName) was not applied in \(durationText(session.arguments.timeout))",
            hint: "\(Verb.program) \(kind.rawValue) show \(mapping.id)")
    }

    // MARK: Texts

    static func table(_ mappings: [MappingRecord], _ session: Session) -> String {
        var table = session.makeTable(
            ["ID", "NODE", "NAME", "KIND", "LISTEN", "FORWARD", "STATE", "DETAIL"], rightAligned: ["ID"])
        for mapping in mappings {
            table.append([
                "\(String(mapping.id))", "\(mapping.node)", TextTable.Cell(mapping.name),
                mapping.kind == .listener ? "listener" : "peer", "\(mapping.listen.description)",
                "\(mapping.forward.description)",
                TextTable.Cell(mapping.state.rawValue, color(mapping.state)),
                TextTable.Cell(detail(mapping)),
            ])
        }
        return table.text
    }

    /// What there is to say beside the state: the failure, or the address when it is not the one asked for.
    private static func detail(_ mapping: MappingRecord) -> String? {
        if let detail = mapping.detail { return detail }
        guard let bound = mapping.boundAddress, bound != mapping.listen.addr else { return nil }
        return "bound to \(bound)"
    }

    private static func line(_ mapping: MappingRecord) -> String {
        "\(mapping.sentenceName): \(safe(mapping.listen.description)) to \(safe(mapping.forward.description))"
    }

    private static func outcome(_ mapping: MappingRecord) -> String {
        let detail = detail(mapping).map { ", \(safe($0))" } ?? ""
        return mapping.state.rawValue + detail
    }

    private static func details(_ mapping: MappingRecord, now: Timestamp) -> String {
        let applied = mapping.appliedRevision.map { String($0) } ?? "none"
        return fields([
            ("id", String(mapping.id)), ("node", mapping.node), ("name", mapping.name),
            ("kind", mapping.kind.rawValue), ("listen", mapping.listen.description),
            ("forward", mapping.forward.description), ("state", mapping.state.rawValue),
            ("bound to", mapping.boundAddress), ("detail", mapping.detail),
            ("revision", "\(mapping.desiredRevision) desired, \(applied) applied"),
            ("created", "\(TimeText.both(mapping.createdAt, now: now)), by \(mapping.origin.rawValue)"),
        ])
    }

    private static func color(_ state: MappingState) -> TextTable.Color {
        switch state {
        case .active: .green
        case .pending: .yellow
        case .failed: .red
        case .disabled: .dim
        }
    }

    private static func json(_ place: Place) -> JSONValue {
        ["domain": .string(place.domain), "addr": .string(place.addr)]
    }
}
