import Records

/// A copy of the database, as the audit notes it.
package struct BackupAnswer: Codable, Equatable, Sendable {
    package let file: String
    package let bytes: Int64
    package let keysLeftOut: [String]
}

/// That the verification key was handed out, as the audit notes it.
package struct KeyExportAnswer: Codable, Equatable, Sendable {
    package let file: String
}

extension ControlService {
    /// Half of what a client waits for an answer as it is; the server's stop waits for a handler, so that ends it too.
    private static let pruneTime = Duration.seconds(15)

    func prune(_ call: Call) throws(ControlError) -> Reply {
        let before = try call.time("before")
        guard before <= .now else { throw .invalid("before: lies in the future") }
        var isDry = false
        if case .bool(let flag) = call.body["dryRun"] { isDry = flag }
        let end = ContinuousClock.now + Self.pruneTime
        return Reply(
            try control { () throws(RecordsError) in
                try store.prune(before: before, dryRun: isDry, actor: call.actor) {
                    ContinuousClock.now >= end || waits.isEnded
                }
            })
    }

    func listHolds(_ call: Call) throws(ControlError) -> Reply {
        let released = call.query["released"] == "true"
        return Reply(
            try control { () throws(RecordsError) in
                try store.read { (reader) throws(RecordsError) in try reader.holds(released: released) }
            })
    }

    func addHold(_ call: Call) throws(ControlError) -> Reply {
        let since = try call.time("since")
        let reason = call.text("reason") ?? ""
        return Reply(
            try change(call) { (transaction) throws(RecordsError) in
                try transaction.addHold(since: since, reason: reason)
            })
    }

    func releaseHold(_ call: Call) throws(ControlError) -> Reply {
        guard let id = Int64(call.segment("hold")), id > 0 else {
            throw ControlError(
                404, RecordsError.Code.notFound.rawValue,
                "hold: \(shown(call.segment("hold"))) is no id of one", hint: "goproxy-admin hold list")
        }
        return Reply(
            try change(call) { (transaction) throws(RecordsError) in try transaction.releaseHold(id: id) })
    }

    func noteBackup(_ call: Call) throws(ControlError) -> Reply {
        let file = call.text("file") ?? ""
        let bytes = call.integer("bytes") ?? 0
        guard !file.isEmpty, file.utf8.count <= 1_024 else {
            throw .invalid("file: 1 to 1024 bytes")
        }
        try change(call) { (transaction) throws(RecordsError) in
            try transaction.audit("backup", detail: "\(bytes) bytes to \(shown(file))")
        }
        return Reply(BackupAnswer(file: file, bytes: bytes, keysLeftOut: Backup.keysLeftOut.map(\.0)))
    }

    /// The key itself never comes here: whoever has it could forge what it proves.
    func noteKeyExport(_ call: Call) throws(ControlError) -> Reply {
        let file = call.text("file") ?? ""
        guard !file.isEmpty, file.utf8.count <= 1_024 else {
            throw .invalid("file: 1 to 1024 bytes")
        }
        try change(call) { (transaction) throws(RecordsError) in
            try transaction.audit("seal-key-export", detail: "to \(shown(file))")
        }
        return Reply(KeyExportAnswer(file: file))
    }

    @discardableResult
    private func change<Result: Sendable>(
        _ call: Call, _ body: @escaping @Sendable (inout Transaction) throws(RecordsError) -> Result
    ) throws(ControlError) -> Result {
        try control { () throws(RecordsError) in try store.write(actor: call.actor, body) }
    }
}

extension Call {
    /// Of the body; the route has it.
    func time(_ name: String) throws(ControlError) -> Timestamp {
        let text = text(name) ?? ""
        guard let time = Timestamp(text) else {
            throw .invalid("\(name): \(shown(text)) is not a time such as 2026-08-22T09:14:03Z")
        }
        return time
    }
}
