import SQLite

/// Questions to the records, all answered from one moment. Valid only inside the closure that it is given to.
/// (`~Copyable` would say so to the compiler; with it the optimiser of Swift 6.3.1 aborts while inlining.)
package struct Reader {
    let database: Database

    package init(_ database: Database) {
        self.database = database
    }

    /// All nodes, by name. A tag with an empty value asks for the key alone.
    package func nodes(
        tags: [String: String] = [:], state: NodeState? = nil
    ) throws(RecordsError) -> [NodeRecord] {
        var tagsByNode = try allTags()
        let rows = try records { () throws(SQLiteError) in
            try database.query("SELECT * FROM node_list ORDER BY name") {
                (row) throws(SQLiteError) in
                try NodeRecord(row, tags: tagsByNode.removeValue(forKey: try row.text(0)) ?? [:])
            }
        }
        return rows.filter { node in
            (state == nil || node.state == state)
                && tags.allSatisfy { key, value in
                    node.tags[key].map { value.isEmpty || $0 == value } ?? false
                }
        }
    }

    package func node(id: String) throws(RecordsError) -> NodeRecord? {
        try records { () throws(SQLiteError) in
            let tags = try database.query("SELECT key, value FROM node_tags WHERE node = ?", id) {
                (row) throws(SQLiteError) in (try row.text(0), try row.text(1))
            }
            return try database.first("SELECT * FROM node_list WHERE id = ?", id) {
                (row) throws(SQLiteError) in
                // Two keys that differ as bytes may be equal as text; no server writes such.
                try NodeRecord(row, tags: Dictionary(tags) { $1 })
            }
        }
    }

    /// All mappings, by node's name and id.
    package func mappings(
        nodeID: String? = nil, kind: MappingKind? = nil
    ) throws(RecordsError) -> [MappingRecord] {
        let rows = try records { () throws(SQLiteError) in
            guard let nodeID else {
                return try database.query(
                    "SELECT * FROM mapping_list ORDER BY node_name, id", row: MappingRecord.init)
            }
            return try database.query(
                "SELECT * FROM mapping_list WHERE node = ? ORDER BY id", nodeID, row: MappingRecord.init)
        }
        return kind == nil ? rows : rows.filter { $0.kind == kind }
    }

    package func mapping(id: UInt32) throws(RecordsError) -> MappingRecord? {
        try records { () throws(SQLiteError) in
            try database.first("SELECT * FROM mapping_list WHERE id = ?", id, row: MappingRecord.init)
        }
    }

    /// Valid or not, newest first.
    package func credentials(nodeID: String) throws(RecordsError) -> [CredentialRecord] {
        try records { () throws(SQLiteError) in
            try database.query(
                "SELECT * FROM credentials WHERE node = ? ORDER BY not_before DESC, identity", nodeID,
                row: CredentialRecord.init)
        }
    }

    /// Of all nodes, by the node's id.
    package func credentials() throws(RecordsError) -> [String: [CredentialRecord]] {
        let all = try records { () throws(SQLiteError) in
            try database.query(
                "SELECT * FROM credentials ORDER BY not_before DESC, identity", row: CredentialRecord.init)
        }
        return Dictionary(grouping: all, by: \.nodeID)
    }

    /// Uuids that are good no more, of this node or of all, those of nodes that are gone among them.
    package func endedCredentials(nodeID: String? = nil) throws(RecordsError) -> [EndedCredential] {
        try records { () throws(SQLiteError) in
            guard let nodeID else {
                return try database.query("SELECT * FROM ended_credentials", row: EndedCredential.init)
            }
            // A node has few, and all have few: they are not worth an index.
            return try database.query(
                "SELECT * FROM ended_credentials WHERE node = ?", nodeID, row: EndedCredential.init)
        }
    }

    /// Every node with its credentials and mappings, in one pass over each table: a server's start.
    package func fleet() throws(RecordsError) -> [FleetNode] {
        let credentials = try credentials()
        var mappings: [String: [MappingRecord]] = [:]
        try records { () throws(SQLiteError) in
            try database.forEach("SELECT * FROM mapping_list ORDER BY id") { (row) throws(SQLiteError) in
                let mapping = try MappingRecord(row)
                mappings[mapping.nodeID, default: []].append(mapping)
            }
        }
        let ended = Dictionary(grouping: try endedCredentials(), by: \.nodeID)
        return try nodes().map {
            FleetNode(
                node: $0, credentials: credentials[$0.id] ?? [], mappings: mappings[$0.id] ?? [],
                ended: ended[$0.id] ?? [])
        }
    }

    /// One node as `fleet()` shows it.
    package func fleetNode(id: String) throws(RecordsError) -> FleetNode? {
        guard let node = try node(id: id) else { return nil }
        return FleetNode(
            node: node, credentials: try credentials(nodeID: id), mappings: try mappings(nodeID: id),
            ended: try endedCredentials(nodeID: id))
    }

    package func counts() throws(RecordsError) -> FleetCounts {
        var counts = FleetCounts()
        for node in try nodes() {
            counts.nodes += 1
            if node.online { counts.online += 1 }
            if node.state == .disabled { counts.disabledNodes += 1 }
        }
        try records { () throws(SQLiteError) in
            try database.forEach("SELECT * FROM mapping_list") { (row) throws(SQLiteError) in
                switch try MappingRecord(row).state {
                case .active: counts.active += 1
                case .pending: counts.pending += 1
                case .failed: counts.failed += 1
                case .disabled: counts.disabled += 1
                }
            }
        }
        return counts
    }

    private func allTags() throws(RecordsError) -> [String: [String: String]] {
        var tags: [String: [String: String]] = [:]
        try records { () throws(SQLiteError) in
            try database.forEach("SELECT node, key, value FROM node_tags") { (row) throws(SQLiteError) in
                tags[try row.text(0), default: [:]][try row.text(1)] = try row.text(2)
            }
        }
        return tags
    }
}
