import Control
import Records

/// Looks at an installation, in this process: the file system, the machine, and the database as a reader. It changes nothing
/// and asks the server for its state alone.
struct Doctor {
    enum State: String, Codable {
        case ok, warn, fail
    }

    struct Check: Encodable {
        let check: String
        let state: State
        let detail: String
        /// What to do; nil where all is well.
        let hint: String?

        private enum CodingKeys: String, CodingKey { case check, state, detail, hint }

        func encode(to encoder: any Encoder) throws {
            var values = encoder.container(keyedBy: CodingKeys.self)
            try values.encode(check, forKey: .check)
            try values.encode(state, forKey: .state)
            try values.encode(detail, forKey: .detail)
            try values.encode(hint, forKey: .hint)
        }
    }

    let directory: String
    let now: Timestamp
    /// What the running server says of itself; nil without one.
    let status: StatusAnswer?
    /// What is wrong with what it serves; empty without one.
    let troubles: Troubles
    /// Who holds the lock.
    let holder: Int32?
    private(set) var checks: [Check] = []

    static func run(_ session: Session) throws(AdminError) {
        let status = session.askServer("status").flatMap { json in
            try? session.decode(json, as: StatusAnswer.self)
        }
        var doctor = Doctor(
            directory: session.directory, now: session.console.now(), status: status,
            troubles: try Troubles(status, session))
        doctor.lookAround()
        try session.print(jsonText(doctor.checks)) { () throws(AdminError) in
            var table = session.makeTable(["STATE", "CHECK", "DETAIL", "DO"])
            for check in doctor.checks {
                let color: TextTable.Color =
                    switch check.state {
                    case .ok: .green
                    case .warn: .yellow
                    case .fail: .red
                    }
                table.append([
                    TextTable.Cell(check.state.rawValue.uppercased(), color), TextTable.Cell(check.check),
                    TextTable.Cell(check.detail), TextTable.Cell(check.hint),
                ])
            }
            return table.text
        }
        let failed = doctor.checks.filter { $0.state == .fail }.map(\.check)
        guard failed.isEmpty else {
            throw AdminError("unsound", "wrong here: \(failed.joined(separator: ", "))")
        }
    }

    init(directory: String, now: Timestamp, status: StatusAnswer?, troubles: Troubles) {
        self.directory = directory
        self.now = now
        self.status = status
        self.troubles = troubles
        holder = Self.lockHolder(directory)
    }

    private mutating func lookAround() {
        versions()
        folder()
        files()
        keys()
        fileSystem()
        lock()
        fleet()
        disk()
        descriptors()
        network()
        clock()
        database()
    }

    mutating func ok(_ check: String, _ detail: String) {
        checks.append(Check(check: check, state: .ok, detail: detail, hint: nil))
    }

    mutating func warn(_ check: String, _ detail: String, _ hint: String) {
        checks.append(Check(check: check, state: .warn, detail: detail, hint: hint))
    }

    mutating func fail(_ check: String, _ detail: String, _ hint: String) {
        checks.append(Check(check: check, state: .fail, detail: detail, hint: hint))
    }
}

/// `1.2GB`: for people; JSON of other commands has the number.
func bytesText(_ bytes: Int64) -> String {
    let units = ["KB", "MB", "GB", "TB"]
    guard bytes >= 1_000 else { return "\(bytes)B" }
    var tenths = bytes / 100
    var unit = 0
    while tenths >= 10_000, unit < units.count - 1 {
        tenths /= 1_000
        unit += 1
    }
    return "\(tenths / 10).\(tenths % 10)\(units[unit])"
}

/// What a server does not do that it is to do, by name: for `status` and `doctor`, which end with status 1 over it.
struct Troubles {
    /// `listener 14 "rdp" of node edge-07 (address already in use)`
    private(set) var failed: [String] = []
    /// Nodes that have been here before and are not now. One that never came is not missed.
    private(set) var away: [String] = []
    /// What does not work well, and what will stop working: `edge-07 runs on a uuid that ends …`
    private(set) var notes: [String] = []
    /// Nodes whose uuid several machines use.
    private(set) var shared: [String] = []
    /// Targets that the last client of their mapping did not reach. Not the server's fault: nobody ends with status 1 over it.
    private(set) var unreachable: [String] = []
    private var others: [String] = []

    /// - Parameter status: nil without a server, as for the doctor, who finds that out himself.
    init(_ status: StatusAnswer?, _ session: Session) throws(AdminError) {
        guard let status else { return }
        guard status.running else {
            others = ["the server is not running"]
            return
        }
        if status.failingSince != nil {
            others = ["nothing can be recorded: \(status.failure ?? "no reason given")"]
        }
        if let strangers = Doctor.strangers(in: session.directory), !strangers.isOfRoot {
            others.append("of another user than the folder: \(Self.text(strangers.names) ?? "")")
        }
        if status.mappings.failed > 0 || !status.unreachable.isEmpty, let json = session.askServer("mappings")
        {
            let mappings = try session.decode(json, as: [MappingRecord].self)
            failed = mappings.filter { $0.state == .failed }.map {
                "\($0.sentenceName) (\($0.detail ?? "no reason given"))"
            }
            for trouble in status.unreachable {
                guard let mapping = mappings.first(where: { $0.id == trouble.mapping }) else { continue }
                let since = TimeText.both(trouble.since, now: session.console.now())
                unreachable.append(
                    "\(mapping.forward) of \(mapping.sentenceName) (\(trouble.reason.rawValue), \(counted(trouble.count, "client")) since \(since))"
                )
            }
        }
        if let json = session.askServer("nodes", query: [("state", NodeState.enabled.rawValue)]) {
            let (nodes, now) = (try session.decode(json, as: [NodeAnswer].self), session.console.now())
            away = nodes.map(\.record).filter { !$0.online && $0.lastSeen != nil }.map(\.name)
            notes = nodes.filter { $0.machines.isEmpty }.compactMap { node in
                node.note(now: now).map { "\(node.record.name) \($0)" }
            }
            shared = nodes.compactMap { node in node.sharedText.map { "\(node.record.name): \($0)" } }
        }
    }

    /// A sentence for each kind.
    var all: [String] {
        var all = others
        if let text = Self.text(failed) { all.append("failed: \(text)") }
        if let text = Self.text(away) { all.append("away: \(text)") }
        if let text = Self.text(shared) { all.append("shared: \(text)") }
        return all
    }

    /// The first of many, and how many more; nil of none.
    static func text(_ names: [String], atMost most: Int = 5) -> String? {
        guard names.count > most else { return names.isEmpty ? nil : names.joined(separator: ", ") }
        return "\(names.prefix(most).joined(separator: ", ")) and \(names.count - most) more"
    }
}
