import Records

extension ControlService {
    func listMappings(_ call: Call) throws(ControlError) -> Reply {
        let (reference, kind) = (call.query["node"], call.kind)
        return Reply(
            try control { () throws(RecordsError) in
                try store.read { (reader) throws(RecordsError) in
                    guard let reference else { return try reader.mappings(kind: kind) }
                    return try reader.mappings(nodeID: try reader.node(reference).id, kind: kind)
                }
            })
    }

    func addMapping(_ call: Call) throws(ControlError) -> Reply {
        guard let kind = call.text("kind").flatMap({ MappingKind(rawValue: $0) }),
            let listen = call.place("listen"), let forward = call.place("forward")
        else { throw .invalid("kind, listen, forward: missing") }
        let reference = call.text("node") ?? ""
        let new = NewMapping(kind: kind, name: call.text("name"), listen: listen, forward: forward)
        return try changed(call) { (transaction) throws(RecordsError) in
            try transaction.addMapping(try transaction.reader.node(reference).id, new)
        }
    }

    func getMapping(_ call: Call) throws(ControlError) -> Reply {
        Reply(try mapping(call))
    }

    func changeMapping(_ call: Call) throws(ControlError) -> Reply {
        let change = MappingChange(
            name: call.text("name"), listen: call.place("listen"), forward: call.place("forward"))
        return try changed(call) { (transaction, id) throws(RecordsError) in
            try transaction.setMapping(id, change)
        }
    }

    func removeMapping(_ call: Call) throws(ControlError) -> Reply {
        try closed(call, "removed from the records") { (transaction, id) throws(RecordsError) in
            try transaction.removeMapping(id)
        }
    }

    func setMapping(_ call: Call, isEnabled: Bool) throws(ControlError) -> Reply {
        guard isEnabled else {
            return try closed(call, "recorded as disabled") { (transaction, id) throws(RecordsError) in
                try transaction.setMappingEnabled(id, false)
            }
        }
        return try changed(call) { (transaction, id) throws(RecordsError) in
            try transaction.setMappingEnabled(id, true)
        }
    }

    private func closed(
        _ call: Call, _ later: String,
        _ body: @escaping @Sendable (inout Transaction, UInt32) throws(RecordsError) -> MappingRecord
    ) throws(ControlError) -> Reply {
        let mapping = try mapping(call)
        let state = "\(mapping.sentenceName) is closed, but not yet \(later)"
        let changed = try protect(call, .mapping(mapping.id, node: mapping.nodeID), state) {
            (transaction) throws(RecordsError) in try body(&transaction, mapping.id)
        }
        fleet.changed(nodes: [changed.nodeID])
        return Reply(changed)
    }

    func waitForMapping(_ call: Call) throws(ControlError) -> Reply {
        let first = try mapping(call)
        let revision = call.number("revision").map { Int64($0) } ?? first.desiredRevision
        if isSettled(first, revision) { return Reply(WaitAnswer(record: first, timedOut: false)) }
        guard fleet.isLive else {
            throw ControlError(
                503, "not-running", "no server is running that could apply it",
                hint: "start goproxy-server; the mapping is recorded")
        }
        guard waits.begin() else {
            throw ControlError(503, RecordsError.Code.busy.rawValue, "\(Waits.limit) others wait already")
        }
        defer { waits.finish() }
        let id = first.id
        let begin = ContinuousClock.now
        let timeout = Duration.seconds(call.number("timeout") ?? 30)
        while true {
            let current = try control { () throws(RecordsError) in
                try store.read { (reader) throws(RecordsError) in try reader.mapping(id: id) }
            }
            guard let current else {
                throw ControlError(RecordsError(.notFound, "\(first.sentenceName) was removed meanwhile"))
            }
            if isSettled(current, revision) { return Reply(WaitAnswer(record: current, timedOut: false)) }
            let waited = ContinuousClock.now - begin
            guard waited < timeout, waits.pause(after: waited) else {
                return Reply(WaitAnswer(record: current, timedOut: true))
            }
        }
    }

    private func isSettled(_ mapping: MappingRecord, _ revision: Int64) -> Bool {
        switch mapping.state {
        case .disabled: true
        case .pending: false
        case .active, .failed: (mapping.appliedRevision ?? -1) >= revision
        }
    }

    private func mapping(_ call: Call) throws(ControlError) -> MappingRecord {
        let (reference, kind) = (call.segment("mapping"), call.kind)
        return try control { () throws(RecordsError) in
            try store.read { (reader) throws(RecordsError) in try reader.mapping(reference, kind: kind) }
        }
    }

    private func changed(
        _ call: Call,
        _ body: @escaping @Sendable (inout Transaction, UInt32) throws(RecordsError) -> MappingRecord
    ) throws(ControlError) -> Reply {
        let (reference, kind) = (call.segment("mapping"), call.kind)
        return try changed(call) { (transaction) throws(RecordsError) in
            try body(&transaction, try transaction.reader.mapping(reference, kind: kind).id)
        }
    }

    private func changed(
        _ call: Call, _ body: @escaping @Sendable (inout Transaction) throws(RecordsError) -> MappingRecord
    ) throws(ControlError) -> Reply {
        let mapping = try write(call, body)
        fleet.changed(nodes: [mapping.nodeID])
        return Reply(mapping)
    }
}
