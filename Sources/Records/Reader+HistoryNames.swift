import SQLite

extension Reader {
    /// Beyond so many routes they are no longer gone through for one that has no index; each connection is then asked for its
    /// own. 100,000 take some 30 ms.
    private static let routesGoneThrough: Int64 = 100_000

    func conditions(_ filter: ConnectionFilter) throws(RecordsError) -> ConnectionConditions {
        let node: NodeMatch? = if let reference = filter.node { try historyNode(reference) } else { nil }
        let listener: ListenerMatch? =
            if let reference = filter.listener { try historyListener(reference) } else { nil }
        return ConnectionConditions(filter, node: node, listener: listener)
    }

    /// A node that is, or was. A name that connections were made under stands for itself, before it is taken for the beginning
    /// of another.
    func historyNode(_ reference: String) throws(RecordsError) -> NodeMatch {
        let wasUsed = try exists("SELECT 1 FROM routes WHERE node_name = ? LIMIT 1", reference)
        do throws(RecordsError) {
            let node = try node(reference)
            if node.name == reference || node.id == reference.lowercased() {
                return NodeMatch(id: node.id, name: wasUsed ? reference : nil)
            }
            return wasUsed ? NodeMatch(name: reference) : NodeMatch(id: node.id)
        } catch {
            if wasUsed { return NodeMatch(name: reference) }
            guard error.code == .notFound else { throw error }
            // Removed, and without a connection ever, or meant by its id.
            if try exists("SELECT 1 FROM audit WHERE node = ? LIMIT 1", reference.lowercased()) {
                return NodeMatch(id: reference.lowercased())
            }
            guard try exists("SELECT 1 FROM audit WHERE node_name = ? LIMIT 1", reference) else {
                throw error
            }
            return NodeMatch(name: reference)
        }
    }

    private func historyListener(_ reference: String) throws(RecordsError) -> ListenerMatch {
        if let id = UInt32(reference) { return .id(id) }
        let parts = reference.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let match: ListenerMatch =
            parts.count == 2 ? .name(parts[1], node: parts[0]) : .name(reference, node: nil)
        // A name that is or was used whole stands for itself.
        let name = parts.count == 2 ? parts[1] : reference
        if try exists("SELECT 1 FROM mappings WHERE name = ? LIMIT 1", name) { return match }
        guard let routes = try routes(node: nil, listener: match, target: nil) else { return match }
        return routes.isEmpty ? .id(try mapping(reference).id) : match
    }

    private func exists(_ sql: StaticString, _ value: String) throws(RecordsError) -> Bool {
        try records { () throws(SQLiteError) in
            try database.first(sql, value) { (_: borrowing Row) throws(SQLiteError) in true } ?? false
        }
    }

    /// The routes that meet the conditions on routes; nil when going through them would take too long.
    func routes(
        node: NodeMatch?, listener: ListenerMatch?, target: String?
    ) throws(RecordsError) -> [Int64]? {
        let (text, values) = ConnectionConditions.routeConditions(node, listener, target)
        let id = { (row: borrowing Row) throws(SQLiteError) in try row.integer(0) }
        if let node {
            var found: [Int64] = []
            for name in try names(node) {
                found += try records { () throws(SQLiteError) in
                    try database.query(
                        "SELECT r.id FROM routes AS r INDEXED BY routes_by_node WHERE r.node_name = ?" + text,
                        list: [name] + values, row: id)
                }
            }
            return found
        }
        let span = try records { () throws(SQLiteError) in
            try database.first(
                "SELECT coalesce((SELECT max(id) FROM routes) - (SELECT min(id) FROM routes), 0)"
            ) {
                (row) throws(SQLiteError) in try row.integer(0)
            } ?? 0
        }
        guard span < Self.routesGoneThrough else { return nil }
        return try records { () throws(SQLiteError) in
            try database.query("SELECT r.id FROM routes AS r WHERE 1" + text, list: values, row: id)
        }
    }

    /// All names that a node had. Every change of a node is in the audit, under the name that it had.
    private func names(_ node: NodeMatch) throws(RecordsError) -> Set<String> {
        var names = Set(node.name.map { [$0] } ?? [])
        guard let id = node.id else { return names }
        if let current = try self.node(id: id)?.name { names.insert(current) }
        try records { () throws(SQLiteError) in
            try database.forEach(
                "SELECT DISTINCT node_name FROM audit WHERE node = ? AND node_name IS NOT NULL", id
            ) { (row) throws(SQLiteError) in names.insert(try row.text(0)) }
        }
        return names
    }
}
