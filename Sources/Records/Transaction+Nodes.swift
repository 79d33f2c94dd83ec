import SQLite

extension Transaction {
    /// The node's id is that of its first credential.
    package mutating func addNode(
        name: String, tags: [String: String] = [:], credential: NewCredentialRecord
    ) throws(RecordsError) -> NodeRecord {
        try addNode(name: name, tags: tags, credential: credential, origin: .operator)
    }

    mutating func addNode(
        name: String, tags: [String: String], credential: NewCredentialRecord, origin: Origin
    ) throws(RecordsError) -> NodeRecord {
        try Names.check(name, of: "node")
        try Names.check(tags: tags)
        try requireNodeName(name, isFreeFor: nil)
        let count = try number("SELECT count(*) FROM nodes")
        guard count < Limits.nodes else {
            throw RecordsError(.limit, "there are \(count) nodes already, the most that one server takes")
        }
        try requireIdentity(credential.identity, isFreeFor: nil)
        let id = credential.id
        if let other = try reader.node(id: id) {
            throw RecordsError(.conflict, "node \(other.name) has the id \(id) already")
        }
        try run(
            "INSERT INTO nodes (id, name, state, origin, created_at) VALUES (?, ?, 'enabled', ?, ?)", id,
            name,
            origin.rawValue, now)
        for (key, value) in tags {
            try run("INSERT INTO node_tags (node, key, value) VALUES (?, ?, ?)", id, key, value)
        }
        try insert(credential, nodeID: id, origin: origin)
        let node = try require(nodeID: id)
        try audit("node-add", before: nil, after: node)
        return node
    }

    package mutating func renameNode(_ id: String, to name: String) throws(RecordsError) -> NodeRecord {
        let before = try require(nodeID: id)
        try Names.check(name, of: "node")
        try requireNodeName(name, isFreeFor: id)
        guard name != before.name else { return before }
        try run("UPDATE nodes SET name = ? WHERE id = ?", name, id)
        let after = try require(nodeID: id)
        try audit("node-rename", before: before, after: after)
        return after
    }

    /// Removes first, then sets; a key that is not there may be removed.
    package mutating func tagNode(
        _ id: String, set: [String: String] = [:], remove: [String] = []
    ) throws(RecordsError) -> NodeRecord {
        let before = try require(nodeID: id)
        var tags = before.tags
        for key in remove { tags[key] = nil }
        tags.merge(set) { $1 }
        try Names.check(tags: tags)
        guard tags != before.tags else { return before }
        try run("DELETE FROM node_tags WHERE node = ?", id)
        for (key, value) in tags {
            try run("INSERT INTO node_tags (node, key, value) VALUES (?, ?, ?)", id, key, value)
        }
        let after = try require(nodeID: id)
        try audit("node-tag", before: before, after: after)
        return after
    }

    /// A disabled node's mappings keep their addresses: enabling it again never fails.
    package mutating func setNodeState(_ id: String, _ state: NodeState) throws(RecordsError) -> NodeRecord {
        let before = try require(nodeID: id)
        guard before.state != state else { return before }
        try run("UPDATE nodes SET state = ?, revision = revision + 1 WHERE id = ?", state.rawValue, id)
        // What was observed before says nothing about what is.
        try run("DELETE FROM mapping_states WHERE mapping IN (SELECT id FROM mappings WHERE node = ?)", id)
        let after = try require(nodeID: id)
        try audit(state == .enabled ? "node-enable" : "node-disable", before: before, after: after)
        return after
    }

    /// With its mappings and credentials. Answers the node as it was.
    package mutating func removeNode(_ id: String) throws(RecordsError) -> NodeRecord {
        let before = try require(nodeID: id)
        try refuseFlagCredentials(of: before, "cannot be removed")
        for mapping in try reader.mappings(nodeID: id) {
            try audit("mapping-remove", nodeID: id, before: mapping, after: nil)
        }
        try run(
            "UPDATE sessions SET closed_at = ?, reason = 'revoked' WHERE node = ? AND closed_at IS NULL", now,
            id)
        for credential in try reader.credentials(nodeID: id) { try end(credential, .nodeRemoved) }
        try run("DELETE FROM nodes WHERE id = ?", id)
        try audit("node-remove", before: before, after: nil)
        return before
    }

    // Swift 6.3.1 crashes when it inlines this into a function that makes an optional of the result.
    @inline(never)
    func require(nodeID id: String) throws(RecordsError) -> NodeRecord {
        guard let node = try reader.node(id: id) else {
            throw RecordsError(.notFound, "no node has the id \(Quoted(id))")
        }
        return node
    }

    private func requireNodeName(_ name: String, isFreeFor id: String?) throws(RecordsError) {
        let owner = try records { () throws(SQLiteError) in
            try database.first("SELECT id FROM nodes WHERE name = ?", name) { (row) throws(SQLiteError) in
                try row.text(0)
            }
        }
        guard owner == nil || owner == id else {
            throw RecordsError(
                .conflict, "node \(name) exists already (id \(owner ?? ""))",
                hint: "choose another name, or rename the other: goproxy-admin node rename \(name) …")
        }
    }
}
