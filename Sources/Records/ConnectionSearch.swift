import Glibc
import SQLite

/// Finds the connections of a filter within a budget. It looks at the nearest rows first; when they do not fill the page it
/// chooses the way with the fewest candidates, by counting in the indexes, no farther than `counted`.
struct ConnectionSearch {
    /// Beyond so many candidates one way is as good as another.
    private static let counted = 10_000
    private static let firstRows = 2_000
    private static let mostRoutes = 2_048
    private static let mostClients = 256
    /// Closings after the moment of `at` that are gone through for those that were open then.
    private static let closingsGoneThrough = 20_000

    let reader: Reader
    let conditions: ConnectionConditions
    let order: ConnectionOrder
    private var scan: ConnectionScan
    private var hasChosen = false
    /// The way was chosen in the last step: a page that ended now would have to choose it again.
    private var isFresh = false
    private var wanted: Int
    private var looked = 0
    private let budget: PageBudget
    private let begin = Self.nanoseconds()

    /// - Parameter ids: where to look.
    init(
        _ reader: Reader, _ conditions: ConnectionConditions, _ order: ConnectionOrder,
        in ids: ClosedRange<Int64>?, first: Int, budget: PageBudget
    ) {
        self.reader = reader
        self.conditions = conditions
        self.order = order
        self.budget = budget
        wanted = min(max(1, budget.rows), max(first, Self.firstRows))
        scan = ConnectionScan(reader.database, order, in: ids)
    }

    var isDone: Bool { scan.rest == nil }
    /// Nil when it is done.
    var rest: ClosedRange<Int64>? { scan.rest }
    var isSpent: Bool {
        !isFresh && (looked >= budget.rows || Self.nanoseconds() - begin >= budget.nanoseconds)
    }

    /// Reads the next part with `read`, which answers how many it found.
    mutating func step(_ read: (ConnectionScan.Part) throws(RecordsError) -> Int) throws(RecordsError) {
        // Those that are open now are known by their ids.
        if looked == 0, conditions.filter.isOpen == true, let open = conditions.filter.open {
            scan.useList(Array(open.keys))
            hasChosen = true
        }
        let start = Self.nanoseconds()
        guard let part = try scan.next(wanted) else { return }
        let found = try read(part)
        looked += max(1, part.count)
        isFresh = false
        let took = max(1, Self.nanoseconds() - start)
        if !hasChosen, found * 200 < part.count {
            // Fewer than one in 200: scanning on would be slow.
            try chooseWay(after: part)
            hasChosen = true
            isFresh = true
        }
        // Parts of some 6 ms, so that the time is looked at often enough, whatever a row costs on this disk.
        let fitting = Double(max(1, part.count)) * 6_000_000 / Double(took)
        wanted = Int(min(Double(wanted) * 4, max(64, min(65_536, fitting))))
        wanted = max(isFresh ? 64 : 1, min(wanted, budget.rows - looked))
    }

    // MARK: The way

    private mutating func chooseWay(after part: ConnectionScan.Part) throws(RecordsError) {
        guard let rest = scan.rest, rest.count > Self.firstRows else { return }
        if let at = conditions.filter.at, let ids = try openAt(at, in: rest) { return scan.useList(ids) }
        var fewest = Int.max
        var keys: [ConnectionScan.Key]?
        var list: [Int64]?
        if let routes = try routesWorthReading(after: part) {
            keys = routes.map { .route($0) }
            fewest = try count(routes, in: rest)
        }
        if let range = conditions.filter.client, fewest > 0 {
            let forms = range.forms
            var entries = 0
            for form in forms { entries += try count(form) }
            if entries < fewest || keys == nil {
                if let clients = try clients(in: forms) {
                    keys = clients.map { .client($0) }
                } else if entries < Self.counted {
                    var ids: [Int64] = []
                    for form in forms { ids += try self.ids(of: form) }
                    list = ids
                }
            }
        }
        if let list { return scan.useList(list) }
        if let keys { try scan.useStreams(keys) }
    }

    private func routesWorthReading(after part: ConnectionScan.Part) throws(RecordsError) -> [Int64]? {
        guard conditions.needsRoute,
            let routes = try reader.routes(
                node: conditions.node, listener: conditions.listener, target: conditions.filter.target),
            routes.count <= Self.mostRoutes
        else { return nil }
        if routes.count > ConnectionScan.activeStreams, try !isSparse(in: part) { return nil }
        return routes
    }

    /// Of many routes that have more than one in 50 connections, each costs more than a look at the other 49.
    private func isSparse(in part: ConnectionScan.Part) throws(RecordsError) -> Bool {
        let route = ConnectionConditions.routeConditions(
            conditions.node, conditions.listener, conditions.filter.target)
        let found = try records { () throws(SQLiteError) in
            try reader.database.query(
                "SELECT count(*) FROM opened AS o NOT INDEXED CROSS JOIN routes AS r ON r.id = o.route WHERE o.id BETWEEN ? AND ?"
                    + route.text,
                list: [part.ids.lowerBound, part.ids.upperBound] as [any Bindable] + route.values
            ) { (row) throws(SQLiteError) in Int(try row.integer(0)) }.first ?? 0
        }
        return found * 50 < part.count
    }

    private func count(_ routes: [Int64], in ids: ClosedRange<Int64>) throws(RecordsError) -> Int {
        var sum = 0
        for route in routes where sum < Self.counted {
            sum += try number(
                """
                SELECT count(*) FROM (SELECT 1 FROM opened INDEXED BY opened_by_route
                WHERE route = ? AND id BETWEEN ? AND ? LIMIT ?)
                """, route, ids.lowerBound, ids.upperBound, Self.counted - sum)
        }
        return sum
    }

    private func count(_ range: ClientRange) throws(RecordsError) -> Int {
        try number(
            """
            SELECT count(*) FROM (SELECT 1 FROM opened INDEXED BY opened_by_client
            WHERE client BETWEEN ? AND ? LIMIT ?)
            """, range.low, range.high, Self.counted)
    }

    /// The different addresses of the ranges; nil when they are too many.
    private func clients(in ranges: [ClientRange]) throws(RecordsError) -> [[UInt8]]? {
        var found: [[UInt8]] = []
        for range in ranges {
            guard let some = try clients(in: range) else { return nil }
            found += some
        }
        return found.count <= Self.mostClients ? found : nil
    }

    /// From one to the next in the index.
    private func clients(in range: ClientRange) throws(RecordsError) -> [[UInt8]]? {
        var found: [[UInt8]] = []
        if range.isOne { return [range.low] }
        while found.count <= Self.mostClients {
            let next = try records { () throws(SQLiteError) in
                guard let last = found.last else {
                    return try reader.database.first(
                        "SELECT client FROM opened WHERE client BETWEEN ? AND ? ORDER BY client LIMIT 1",
                        range.low,
                        range.high
                    ) { (row) throws(SQLiteError) in try row.blob(0) }
                }
                return try reader.database.first(
                    "SELECT client FROM opened WHERE client > ? AND client <= ? ORDER BY client LIMIT 1",
                    last,
                    range.high
                ) { (row) throws(SQLiteError) in try row.blob(0) }
            }
            guard let next else { return found.filter { $0.count == range.low.count } }
            found.append(next)
        }
        return nil
    }

    private func ids(of range: ClientRange) throws(RecordsError) -> [Int64] {
        try records { () throws(SQLiteError) in
            try reader.database.query(
                "SELECT id FROM opened INDEXED BY opened_by_client WHERE client BETWEEN ? AND ?", range.low,
                range.high
            ) { (row) throws(SQLiteError) in try row.integer(0) }
        }
    }

    /// Whatever was open at a moment that is not long ago has ended since, or is open still.
    private func openAt(_ time: Timestamp, in ids: ClosedRange<Int64>) throws(RecordsError) -> [Int64]? {
        guard let open = conditions.filter.open else { return nil }
        guard let closings = try reader.ids(in: .closed, since: time, until: nil) else {
            return Array(open.keys)
        }
        guard closings.count <= Self.closingsGoneThrough else { return nil }
        let ended = try records { () throws(SQLiteError) in
            try reader.database.query(
                "SELECT connection FROM closed NOT INDEXED WHERE id BETWEEN ? AND ? AND at > ? AND connection <= ?",
                closings.lowerBound, closings.upperBound, time, ids.upperBound
            ) { (row) throws(SQLiteError) in try row.integer(0) }
        }
        return Array(Set(ended).union(open.keys))
    }

    private func number(_ sql: ComposedSQL, _ values: any Bindable...) throws(RecordsError) -> Int {
        try records { () throws(SQLiteError) in
            try reader.database.query(sql, list: values) { (row) throws(SQLiteError) in
                Int(try row.integer(0))
            }.first ?? 0
        }
    }

    private static func nanoseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }
}
