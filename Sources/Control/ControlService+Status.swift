import Glibc
import Records

extension ControlService {
    func status() throws(ControlError) -> Reply {
        let (counts, remembered) = try control { () throws(RecordsError) in
            try store.read { (reader) throws(RecordsError) in
                (try reader.counts(), try reader.fact(.nodeAddress))
            }
        }
        let online = fleet.online()
        let health = store.health
        return Reply(
            StatusAnswer(
                running: fleet.isLive, version: serverVersion, pid: fleet.isLive ? Int(getpid()) : nil,
                startedAt: fleet.isLive ? startedAt : nil, nodeAddress: nodeAddress ?? remembered,
                nodes: counts.nodes,
                disabledNodes: counts.disabledNodes, online: online.count,
                subConnections: online.values.reduce(0) { $0 + $1.subConnections },
                mappings: StatusAnswer.Mappings(
                    active: counts.active, pending: counts.pending, failed: counts.failed,
                    disabled: counts.disabled), databaseBytes: databaseBytes,
                historyMaximumBytes: store.historyUse?.maximumBytes,
                historyKeptBytes: store.historyUse?.keptBytes, failingSince: health.failingSince,
                failure: health.reason, logBytes: bytes(of: "-wal"), logHolder: store.logHolder,
                unreachable: fleet.targetTroubles()))
    }

    func audit(_ call: Call) throws(ControlError) -> Reply {
        let limit = call.number("limit") ?? 100
        let cursor = call.number("cursor").map { Int64($0) }
        let filter = AuditFilter(
            since: try call.queryTime("since"), until: try call.queryTime("until"), node: call.query["node"],
            actor: call.query["actor"], action: call.query["action"],
            mapping: call.number("mapping").map { Int64($0) })
        try Self.requireOrder(filter.since, filter.until)
        if let action = filter.action { try requireKnown(action) }
        if let seconds = call.number("wait") {
            let entries = try awaitAudit(filter, after: cursor ?? 0, limit: limit, seconds)
            return Reply(entries.map(AuditAnswer.init))
        }
        let entries = try read { (reader) throws(RecordsError) in
            if filter.since == nil, cursor == nil {
                return Array(try reader.newestAudit(filter, limit: limit).reversed())
            }
            return try reader.audit(filter, cursor: cursor ?? 0, limit: limit)
        }
        return Reply(entries.map(AuditAnswer.init))
    }

    /// A word that no entry can have is a mistake, and no empty list. Other programs' words are in the audit.
    private func requireKnown(_ action: String) throws(ControlError) {
        guard !AuditEntry.actions.contains(action) else { return }
        let isThere = try read { (reader) throws(RecordsError) in
            try !reader.audit(AuditFilter(action: action), limit: 1).isEmpty
        }
        guard !isThere else { return }
        throw .invalid(
            "action: \(shown(action)) is none of \(AuditEntry.actions.sorted().joined(separator: ", "))")
    }

    /// What comes after an entry, as soon as there is something, or nothing when the time is over.
    private func awaitAudit(
        _ filter: AuditFilter, after cursor: Int64, limit: Int, _ seconds: Int
    ) throws(ControlError) -> [AuditEntry] {
        guard fleet.isLive else {
            throw ControlError(
                503, "not-running", "no server is running whose audit could be followed",
                hint: "start goproxy-server")
        }
        guard waits.begin() else { throw Self.tooMany }
        defer { waits.finish() }
        let deadline = ContinuousClock.now + .seconds(seconds)
        var cursor = cursor
        while true {
            // Counted before the look: what is committed meanwhile ends the wait at once.
            let commits = store.history.commits
            let from = cursor
            let (found, end) = try read { (reader) throws(RecordsError) in
                (try reader.audit(filter, cursor: from, limit: limit), try reader.auditEnd())
            }
            if !found.isEmpty || waits.isEnded || ContinuousClock.now >= deadline { return found }
            // What the filter does not mean is looked at once.
            cursor = max(cursor, end)
            _ = store.history.waitForCommit(after: commits, milliseconds: Self.followMilliseconds)
        }
    }

    func auditOne(_ call: Call) throws(ControlError) -> Reply {
        let text = call.segment("entry")
        guard let id = Int64(text), id > 0 else {
            throw .invalid("entry: \(shown(text)) is not an entry's number")
        }
        let found = try read { (reader) throws(RecordsError) in try reader.audit(cursor: id - 1, limit: 1) }
        guard let entry = found.first, entry.id == id else {
            throw ControlError(
                404, RecordsError.Code.notFound.rawValue, "no entry \(id) in the audit",
                hint: "goproxy-admin audit shows the newest")
        }
        return Reply(AuditAnswer(entry))
    }

    var databaseBytes: Int { bytes(of: "") }

    private func bytes(of suffix: String) -> Int {
        var status = stat()
        guard let directory, stat("\(directory)/\(Store.fileName)\(suffix)", &status) == 0 else { return 0 }
        return Int(status.st_size)
    }
}
