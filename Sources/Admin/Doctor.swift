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
    /// Who holds the lock.
    let holder: Int32?
    private(set) var checks: [Check] = []

    static func run(_ session: Session) throws(AdminError) {
        let status = session.askServer("status").flatMap { json in
            try? session.decode(json, as: StatusAnswer.self)
        }
        var doctor = Doctor(directory: session.directory, now: session.console.now(), status: status)
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

    init(directory: String, now: Timestamp, status: StatusAnswer?) {
        self.directory = directory
        self.now = now
        self.status = status
        holder = Self.lockHolder(directory)
    }

    private mutating func lookAround() {
        versions()
        folder()
        files()
        keys()
        fileSystem()
        lock()
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
