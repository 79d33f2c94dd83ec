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
            actor: call.query["actor"], action: call.query["action"])
        let entries = try read { (reader) throws(RecordsError) in
            if filter.since == nil, cursor == nil {
                return Array(try reader.newestAudit(filter, limit: limit).reversed())
            }
            return try reader.audit(filter, cursor: cursor ?? 0, limit: limit)
        }
        return Reply(entries.map(AuditAnswer.init))
    }

    var databaseBytes: Int { bytes(of: "") }

    private func bytes(of suffix: String) -> Int {
        var status = stat()
        guard let directory, stat("\(directory)/\(Store.fileName)\(suffix)", &status) == 0 else { return 0 }
        return Int(status.st_size)
    }
}
