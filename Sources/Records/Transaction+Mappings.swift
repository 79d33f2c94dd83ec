import SQLite

/// What of a mapping is to change; nil leaves it.
package struct MappingChange: Equatable, Sendable {
    /// The empty name takes the name away.
    package var name: String?
    package var listen: Place?
    package var forward: Place?

    package init(name: String? = nil, listen: Place? = nil, forward: Place? = nil) {
        self.name = name
        self.listen = listen
        self.forward = forward
    }
}

extension Transaction {
    package mutating func addMapping(_ nodeID: String, _ mapping: NewMapping) throws(RecordsError)
        -> MappingRecord
    {
        try addMapping(nodeID, mapping, origin: .operator)
    }

    mutating func addMapping(
        _ nodeID: String, _ mapping: NewMapping, origin: Origin
    ) throws(RecordsError) -> MappingRecord {
        let node = try require(nodeID: nodeID)
        guard node.mappings < Limits.mappingsPerNode else {
            throw RecordsError(
                .limit,
                "node \(node.name) has \(node.mappings) mappings already, the most that one node takes")
        }
        let listen = try check(mapping, nodeID: nodeID, nodeName: node.name, id: nil)
        let revision = try raiseRevision(nodeID)
        try run(
            """
            INSERT INTO mappings (node, kind, name, listen_domain, listen_address, listen_port,
                forward_domain, forward_address, enabled, origin, revision, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)
            """, nodeID, mapping.kind.rawValue, mapping.name, mapping.listen.domain, mapping.listen.addr,
            listen.port,
            mapping.forward.domain, mapping.forward.addr, origin.rawValue, revision, now)
        guard let id = UInt32(exactly: database.lastInsertedID) else {
            throw RecordsError(.limit, "the ids of mappings are used up")
        }
        let after = try require(mappingID: id)
        try audit("mapping-add", nodeID: nodeID, before: nil, after: after)
        return after
    }

    package mutating func setMapping(_ id: UInt32, _ change: MappingChange) throws(RecordsError)
        -> MappingRecord
    {
        let before = try require(mappingID: id)
        try refuseFlags(before)
        var new = NewMapping(
            kind: before.kind, name: before.name, listen: before.listen, forward: before.forward)
        if let name = change.name { new.name = name.isEmpty ? nil : name }
        if let listen = change.listen { new.listen = listen }
        if let forward = change.forward { new.forward = forward }
        let listen = try check(
            new, nodeID: before.nodeID, nodeName: before.node, id: id, isEnabled: before.enabled)
        let moves = new.listen != before.listen || new.forward != before.forward
        guard moves || new.name != before.name else { return before }
        // A name is nothing to the node: it has nothing to apply.
        let revision = moves ? try raiseRevision(before.nodeID) : before.desiredRevision
        try run(
            """
            UPDATE mappings SET name = ?, listen_domain = ?, listen_address = ?, listen_port = ?,
                forward_domain = ?, forward_address = ?, revision = ? WHERE id = ?
            """, new.name, new.listen.domain, new.listen.addr, listen.port, new.forward.domain,
            new.forward.addr,
            revision, id)
        let after = try require(mappingID: id)
        try audit("mapping-set", nodeID: before.nodeID, before: before, after: after)
        return after
    }

    package mutating func setMappingEnabled(_ id: UInt32, _ enabled: Bool) throws(RecordsError)
        -> MappingRecord
    {
        let before = try require(mappingID: id)
        try refuseFlags(before)
        guard before.enabled != enabled else { return before }
        if enabled {
            let same = NewMapping(
                kind: before.kind, name: before.name, listen: before.listen, forward: before.forward)
            _ = try check(same, nodeID: before.nodeID, nodeName: before.node, id: id)
        }
        let revision = try raiseRevision(before.nodeID)
        try run("UPDATE mappings SET enabled = ?, revision = ? WHERE id = ?", enabled, revision, id)
        let after = try require(mappingID: id)
        try audit(
            enabled ? "mapping-enable" : "mapping-disable", nodeID: before.nodeID, before: before,
            after: after)
        return after
    }

    /// Answers the mapping as it was.
    package mutating func removeMapping(_ id: UInt32) throws(RecordsError) -> MappingRecord {
        let before = try require(mappingID: id)
        try refuseFlags(before)
        return try remove(before)
    }

    mutating func remove(_ mapping: MappingRecord) throws(RecordsError) -> MappingRecord {
        _ = try raiseRevision(mapping.nodeID)
        try run("DELETE FROM mappings WHERE id = ?", mapping.id)
        try audit("mapping-remove", nodeID: mapping.nodeID, before: mapping, after: nil)
        return mapping
    }

    func require(mappingID id: UInt32) throws(RecordsError) -> MappingRecord {
        guard let mapping = try reader.mapping(id: id) else {
            throw RecordsError(.notFound, "no mapping has the id \(id)")
        }
        return mapping
    }

    private func raiseRevision(_ nodeID: String) throws(RecordsError) -> Int64 {
        try run("UPDATE nodes SET revision = revision + 1 WHERE id = ?", nodeID)
        return try require(nodeID: nodeID).revision
    }

    private func refuseFlags(_ mapping: MappingRecord) throws(RecordsError) {
        guard mapping.origin == .flags else { return }
        throw RecordsError(
            .conflict, "\(mapping.sentenceName) comes from the server's flags",
            hint: "change it where the server is started")
    }
}
