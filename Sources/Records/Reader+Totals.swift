import SQLite

extension Reader {
    /// Counts the connections of a filter by a key, newest first, as far as the budget goes: a history of any length is
    /// counted part by part, and no reader stands in the way of the others for long. Through open ones nothing has passed
    /// but what `filter.open` says.
    package func totals(
        _ filter: ConnectionFilter, by key: TotalsKey, cursor: Int64? = nil, budget: PageBudget = PageBudget()
    ) throws(RecordsError) -> TotalsPart {
        let conditions = try conditions(filter)
        var closedOnly = filter
        // Through an open one passes what the living server says, and `addOpen` counts it.
        if filter.minBytes != nil { closedOnly.open = nil }
        let counted = ConnectionConditions(closedOnly, node: conditions.node, listener: conditions.listener)
        let all = try ids(in: .opened, since: filter.since, until: filter.latestOpening)
        let rest = all.flatMap { all in
            let high = min(all.upperBound, cursor?.adding(-1) ?? .max)
            return all.lowerBound <= high ? all.lowerBound...high : nil
        }
        var search = ConnectionSearch(self, conditions, .newest, in: rest, first: 1, budget: budget)
        var part = TotalsPart()
        var names: [Int64: String] = [:]
        while !search.isDone {
            var lowest: Int64?
            try search.step { (some) throws(RecordsError) in
                lowest = some.ids.lowerBound
                try addOpen(some, conditions, key, &part, &names)
                return try add(some, counted, key, &part, &names)
            }
            if search.isDone { lowest = nil }
            part.next = lowest
            if search.isSpent { break }
        }
        if let next = part.next ?? rest?.lowerBound { part.reached = try openingTime(at: next, .newest) }
        return part
    }

    private func add(
        _ some: ConnectionScan.Part, _ conditions: ConnectionConditions, _ key: TotalsKey,
        _ part: inout TotalsPart,
        _ names: inout [Int64: String]
    ) throws(RecordsError) -> Int {
        var count = 0
        for source in some.sources {
            let (from, condition, values) = ConnectionScan.text(source)
            let group: ComposedSQL = key == .client ? "o.client" : "o.route"
            let sql =
                "SELECT " + group
                + ", count(*), CAST(min(total(c.up), 9e18) AS INTEGER), CAST(min(total(c.down), 9e18) AS INTEGER)"
                + from
                + (conditions.closing == .none
                    ? " LEFT JOIN closed AS c ON c.connection = o.id" : conditions.joinClosed)
                + conditions.joinRoute + condition + conditions.text + " GROUP BY " + group
            let found = try records { () throws(SQLiteError) in
                try database.query(sql, list: values + conditions.values) { (row) throws(SQLiteError) in
                    var totals = ConnectionTotals()
                    totals.connections = try row.integer(1)
                    totals.up = try row.integer(2)
                    totals.down = try row.integer(3)
                    return key == .client
                        ? (client: ClientRange.text(try row.blob(0)), route: Int64(0), totals: totals)
                        : (client: "", route: try row.integer(0), totals: totals)
                }
            }
            for one in found {
                let name = key == .client ? one.client : try name(ofRoute: one.route, key, &names)
                part.totals[name, default: ConnectionTotals()] += one.totals
                count += Int(one.totals.connections)
            }
        }
        return count
    }

    /// What has passed through those that are open. With a least number of bytes they were not counted before.
    private func addOpen(
        _ some: ConnectionScan.Part, _ conditions: ConnectionConditions, _ key: TotalsKey,
        _ part: inout TotalsPart, _ names: inout [Int64: String]
    ) throws(RecordsError) {
        for (id, passed) in conditions.filter.open ?? [:] where some.ids.contains(id) {
            let least = conditions.filter.minBytes
            guard passed.up.adding(passed.down) >= least ?? 0, let found = try openOne(id, conditions) else {
                continue
            }
            let name =
                key == .client ? ClientRange.text(found.client) : try name(ofRoute: found.route, key, &names)
            var totals = ConnectionTotals()
            totals.connections = least == nil ? 0 : 1
            totals.up = passed.up
            totals.down = passed.down
            part.totals[name, default: ConnectionTotals()] += totals
        }
    }

    /// One that is open still and meets the conditions.
    private func openOne(
        _ id: Int64, _ conditions: ConnectionConditions
    ) throws(RecordsError) -> (client: [UInt8], route: Int64)? {
        let (from, condition, values) = ConnectionScan.text(.range(id...id))
        let sql =
            "SELECT o.client, o.route" + from + " LEFT JOIN closed AS c ON c.connection = o.id"
            + conditions.joinRoute + condition + " AND c.id IS NULL" + conditions.text
        return try records { () throws(SQLiteError) in
            try database.query(sql, list: values + conditions.values) { (row) throws(SQLiteError) in
                (client: try row.blob(0), route: try row.integer(1))
            }.first
        }
    }

    private func name(
        ofRoute id: Int64, _ key: TotalsKey, _ names: inout [Int64: String]
    ) throws(RecordsError) -> String {
        if let known = names[id] { return known }
        let name = try records { () throws(SQLiteError) in
            try database.first(
                "SELECT node_name, coalesce(mapping_name, CAST(mapping AS TEXT)), target FROM routes WHERE id = ?",
                id
            ) { (row) throws(SQLiteError) in
                switch key {
                case .client, .node: try row.text(0)
                case .listener: "\(try row.text(0))/\(try row.text(1))"
                case .target: try row.text(2)
                }
            }
        }
        names[id] = name ?? ""
        return name ?? ""
    }
}
