import Records
import Synchronization

extension ControlService {
    func listNodes(_ call: Call) throws(ControlError) -> Reply {
        var tags: [String: String] = [:]
        if let tag = call.query["tag"] {
            let parts = tag.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            tags[String(parts[0])] = parts.count == 2 ? String(parts[1]) : ""
        }
        let state = call.query["state"].flatMap { NodeState(rawValue: $0) }
        let (wanted, live) = (tags, fleet.online())
        let (nodes, credentials) = try control { () throws(RecordsError) in
            try store.read { (reader) throws(RecordsError) in
                (try reader.nodes(tags: wanted, state: state), try reader.credentials())
            }
        }
        let (heard, machines, now) = (fleet.heard(), fleet.sharing(), Timestamp.now)
        return Reply(
            nodes.map {
                NodeAnswer(
                    $0, live: live[$0.id], heard: heard?[$0.id], credentials: credentials[$0.id] ?? [],
                    machines: machines[$0.id] ?? [], now: now)
            })
    }

    func addNode(_ call: Call) throws(ControlError) -> Reply {
        let name = call.text("name") ?? ""
        let tags = call.textMap("tags") ?? [:]
        // Refused before a key is derived for it, which takes a while.
        try refuseTaken(name)
        let (new, record) = try newCredential()
        let node = try write(call) { (transaction) throws(RecordsError) in
            try transaction.addNode(name: name, tags: tags, credential: record)
        }
        fleet.changed(nodes: [node.id])
        var answer = try answer(node)
        answer.uuid = new.uuid
        return Reply(answer)
    }

    func getNode(_ call: Call) throws(ControlError) -> Reply {
        let reference = call.segment("node")
        return Reply(
            try answer(
                try control { () throws(RecordsError) in
                    try store.read { (reader) throws(RecordsError) in try reader.node(reference) }
                }))
    }

    func changeNode(_ call: Call) throws(ControlError) -> Reply {
        let reference = call.segment("node")
        let (name, tags, removed) = (call.text("name"), call.textMap("tags"), call.textList("removeTags"))
        let node = try write(call) { (transaction) throws(RecordsError) in
            var node = try transaction.reader.node(reference)
            if let name { node = try transaction.renameNode(node.id, to: name) }
            if tags != nil || removed != nil {
                node = try transaction.tagNode(node.id, set: tags ?? [:], remove: removed ?? [])
            }
            return node
        }
        fleet.changed(nodes: [node.id])
        return Reply(try answer(node))
    }

    func removeNode(_ call: Call) throws(ControlError) -> Reply {
        let node = try closed(call, "removed from the records") { (transaction, id) throws(RecordsError) in
            try transaction.removeNode(id)
        }
        return try revoked(node, "node-removed")
    }

    func setNode(_ call: Call, _ state: NodeState) throws(ControlError) -> Reply {
        guard state == .enabled else {
            let node = try closed(call, "recorded as disabled") { (transaction, id) throws(RecordsError) in
                try transaction.setNodeState(id, state)
            }
            return try revoked(node, "node-disabled")
        }
        let reference = call.segment("node")
        let node = try write(call) { (transaction) throws(RecordsError) in
            try transaction.setNodeState(try transaction.reader.node(reference).id, state)
        }
        fleet.changed(nodes: [node.id])
        var answer = try answer(node)
        answer.subConnectionsEnded = 0
        return Reply(answer)
    }

    private func closed(
        _ call: Call, _ later: String,
        _ body: @escaping @Sendable (inout Transaction, String) throws(RecordsError) -> NodeRecord
    ) throws(ControlError) -> NodeRecord {
        let reference = call.segment("node")
        let node = try read { (reader) throws(RecordsError) in try reader.node(reference) }
        return try protect(
            call, .node(node.id), "node \(node.name) is closed and logs in no more, but not yet \(later)"
        ) {
            (transaction) throws(RecordsError) in try body(&transaction, node.id)
        }
    }

    func rotateNode(_ call: Call) throws(ControlError) -> Reply {
        let reference = call.segment("node")
        let overlap = call.integer("overlapSeconds") ?? 0
        // Found before a key is derived for it, which takes a while.
        let id = try control { () throws(RecordsError) in
            try store.read { (reader) throws(RecordsError) in try reader.node(reference).id }
        }
        let (new, record) = try newCredential()
        let node = try write(call) { (transaction) throws(RecordsError) in
            try transaction.addCredential(id, record, overlapSeconds: overlap)
        }
        fleet.changed(nodes: [node.id])
        let ended = overlap == 0 ? fleet.disconnect(node: node.id, reason: "uuid-rotated") : 0
        var answer = try answer(node)
        answer.uuid = new.uuid
        answer.subConnectionsEnded = ended
        return Reply(answer)
    }

    /// The order matters: first the records hold for new logins, then the link ends.
    private func revoked(_ node: NodeRecord, _ reason: String) throws(ControlError) -> Reply {
        fleet.changed(nodes: [node.id])
        let ended = fleet.disconnect(node: node.id, reason: reason)
        var answer = try answer(node)
        answer.subConnectionsEnded = ended
        return Reply(answer)
    }

    private func answer(_ node: NodeRecord) throws(ControlError) -> NodeAnswer {
        let credentials = try control { () throws(RecordsError) in
            try store.read { (reader) throws(RecordsError) in try reader.credentials(nodeID: node.id) }
        }
        let live = fleet.online()[node.id]
        return NodeAnswer(
            node, live: live, heard: live == nil ? nil : fleet.heard()?[node.id], credentials: credentials,
            machines: fleet.sharing()[node.id] ?? [], now: .now)
    }

    private func refuseTaken(_ name: String) throws(ControlError) {
        let owner = try control { () throws(RecordsError) in
            try store.read { (reader) throws(RecordsError) in try reader.nodes().first { $0.name == name } }
        }
        guard let owner else { return }
        throw ControlError(
            RecordsError(
                .conflict, "node \(name) exists already (id \(owner.id))",
                hint: "choose another name, or rename the other: goproxy-admin node rename \(name) …"))
    }

    private func newCredential() throws(ControlError) -> (NewCredential, NewCredentialRecord) {
        do throws(CredentialMakerError) {
            let new = try credentials.make()
            return (
                new,
                NewCredentialRecord(
                    identity: new.identity, publicKey: new.publicKey, sealedPSK: new.sealedPSK)
            )
        } catch {
            throw ControlError(500, RecordsError.Code.io.rawValue, error.description)
        }
    }

    /// A change that protects: what it closes is closed within a second, whatever the disk does.
    /// - Parameter state: what holds when it is closed and not on record.
    func protect<Result: Sendable>(
        _ call: Call, _ bar: Bar, _ state: String,
        _ body: @escaping @Sendable (inout Transaction) throws(RecordsError) -> Result
    ) throws(ControlError) -> Result {
        let (store, done) = (store, Done<Result>())
        let protection = fleet.protect(bar) { () throws(RecordsError) in
            done.set(try store.write(actor: call.actor, body))
        }
        switch protection {
        case .recorded:
            guard let result = done.value else { throw ControlError(RecordsError.closed) }
            return result
        case .refused(let error): throw ControlError(error)
        case .closed(let ended, let why):
            let count = ended == 1 ? "1 sub-connection" : "\(ended) sub-connections"
            throw ControlError(
                507, "not-recorded",
                "\(state): \(why?.message ?? "the disk does not answer")\(ended > 0 ? "; \(count) ended" : "")",
                hint:
                    "it is recorded as soon as that is possible; a server that stops before has forgotten it")
        }
    }

    func write<Result: Sendable>(
        _ call: Call, _ body: @escaping @Sendable (inout Transaction) throws(RecordsError) -> Result
    ) throws(ControlError) -> Result {
        try control { () throws(RecordsError) in try store.write(actor: call.actor, body) }
    }
}

/// What a change gave back, on another thread.
private final class Done<Value: Sendable>: Sendable {
    private let kept = Mutex<Value?>(nil)

    var value: Value? { kept.withLock { $0 } }
    func set(_ value: Value) { kept.withLock { $0 = value } }
}
