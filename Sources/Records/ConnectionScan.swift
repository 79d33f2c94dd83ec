import SQLite

/// Goes through the candidates of a filter in the order of their ids, in parts, each a range of ids: whoever reads may stop
/// after any part and go on later.
///
/// The ways to candidates:
/// - `scan`: all ids. Where much matches, nothing is quicker.
/// - `streams`: each route (or each client) that may match has its connections in an index, in the order of their ids. A part
///   ends where the first of the nearest 64 streams has had its share, so that it has a bounded number of candidates.
/// - `list`: a few thousand candidates that are known by name.
struct ConnectionScan {
    enum Key: Equatable {
        case route(Int64)
        case client([UInt8])
    }

    /// What a part is read from.
    enum Source {
        case range(ClosedRange<Int64>)
        case key(Key, ClosedRange<Int64>)
    }

    struct Part {
        let sources: [Source]
        let ids: ClosedRange<Int64>
        /// How many candidates it has at most.
        let count: Int
    }

    private enum Way {
        case scan
        /// Nearest first.
        case streams([(key: Key, head: Int64)])
        /// In order; those before `next` are done.
        case list([Int64], next: Int)
    }

    static let activeStreams = 64

    let database: Database
    let order: ConnectionOrder
    private var way = Way.scan
    /// What is left.
    private(set) var rest: ClosedRange<Int64>?

    init(_ database: Database, _ order: ConnectionOrder, in ids: ClosedRange<Int64>?) {
        self.database = database
        self.order = order
        rest = ids
    }

    mutating func useList(_ ids: [Int64]) {
        guard let rest else { return }
        let known = ids.filter { rest.contains($0) }.sorted()
        way = .list(order == .newest ? known.reversed() : known, next: 0)
    }

    mutating func useStreams(_ keys: [Key]) throws(RecordsError) {
        guard let rest else { return }
        var streams: [(key: Key, head: Int64)] = []
        for key in keys {
            if let head = try entry(0, of: key, in: rest) { streams.append((key, head)) }
        }
        way = .streams(streams.sorted { isNearer($0.head, $1.head) })
    }

    /// The next part, of about `wanted` candidates; nil at the end.
    mutating func next(_ wanted: Int) throws(RecordsError) -> Part? {
        guard let rest else { return nil }
        let part: Part?
        switch way {
        case .scan:
            // A hole, however large somebody made it, is one step.
            part = try nearestRow(in: rest).map { nearest in
                let ids = front(
                    of: order == .newest ? rest.lowerBound...nearest : nearest...rest.upperBound, wanted)
                return Part(sources: [.range(ids)], ids: ids, count: ids.count)
            }
        case .list(let ids, let next):
            let some = ids[next..<min(ids.count, next + wanted)]
            if let first = some.first, let last = some.last {
                let isWhole = next + some.count == ids.count
                part = Part(
                    sources: some.map { .range($0...$0) },
                    ids: isWhole ? rest : min(first, last)...max(first, last), count: some.count)
                way = .list(ids, next: next + some.count)
            } else {
                part = nil
            }
        case .streams(let streams): part = try nextOfStreams(streams, wanted, rest)
        }
        self.rest = part.flatMap { after($0.ids, in: rest) }
        return part
    }

    private mutating func nextOfStreams(
        _ streams: [(key: Key, head: Int64)], _ wanted: Int, _ rest: ClosedRange<Int64>
    ) throws(RecordsError) -> Part? {
        guard let nearest = streams.first?.head else { return nil }
        let active = streams.prefix(Self.activeStreams)
        let share = max(8, wanted / active.count)
        // No farther than where a stream that is not active begins.
        var end = order == .newest ? rest.lowerBound : rest.upperBound
        if streams.count > active.count {
            let other = streams[active.count].head
            end = order == .newest ? other + 1 : other - 1
        }
        for stream in active {
            let own = order == .newest ? rest.lowerBound...stream.head : stream.head...rest.upperBound
            if let last = try entry(share - 1, of: stream.key, in: own), isNearer(last, end) { end = last }
        }
        let ids = order == .newest ? end...nearest : nearest...end
        let touched = active.prefix { ids.contains($0.head) }
        var others = Array(streams.dropFirst(touched.count))
        let later = after(ids, in: rest)
        for stream in touched {
            guard let later, let head = try entry(0, of: stream.key, in: later) else { continue }
            others.append((stream.key, head))
        }
        way = .streams(others.sorted { isNearer($0.head, $1.head) })
        return Part(
            sources: touched.map { .key($0.key, ids) }, ids: ids, count: min(ids.count, share * touched.count)
        )
    }

    /// The id that so many others of the stream come before, within `ids`.
    private func entry(_ place: Int, of key: Key, in ids: ClosedRange<Int64>) throws(RecordsError) -> Int64? {
        let source = Self.text(.key(key, ids))
        let sql = "SELECT o.id" + source.from + source.condition + ordering + " LIMIT 1 OFFSET ?"
        return try records { () throws(SQLiteError) in
            try database.query(sql, list: source.values + [place]) { (row) throws(SQLiteError) in
                try row.integer(0)
            }.first
        }
    }

    private func nearestRow(in ids: ClosedRange<Int64>) throws(RecordsError) -> Int64? {
        try records { () throws(SQLiteError) in
            try database.query(
                "SELECT o.id FROM opened AS o NOT INDEXED WHERE o.id BETWEEN ? AND ?" + ordering + " LIMIT 1",
                list: [ids.lowerBound, ids.upperBound]
            ) { (row) throws(SQLiteError) in try row.integer(0) }.first
        }
    }

    var ordering: ComposedSQL { order == .newest ? " ORDER BY o.id DESC" : " ORDER BY o.id" }

    private func isNearer(_ one: Int64, _ other: Int64) -> Bool {
        order == .newest ? one > other : one < other
    }

    private func front(of ids: ClosedRange<Int64>, _ count: Int) -> ClosedRange<Int64> {
        switch order {
        case .newest: max(ids.lowerBound, ids.upperBound.adding(1 - Int64(count)))...ids.upperBound
        case .oldest: ids.lowerBound...min(ids.upperBound, ids.lowerBound.adding(Int64(count) - 1))
        }
    }

    private func after(_ part: ClosedRange<Int64>, in ids: ClosedRange<Int64>) -> ClosedRange<Int64>? {
        switch order {
        case .newest: part.lowerBound > ids.lowerBound ? ids.lowerBound...part.lowerBound - 1 : nil
        case .oldest: part.upperBound < ids.upperBound ? part.upperBound + 1...ids.upperBound : nil
        }
    }

    /// The index is named, so that no statistics ever make SQLite choose another way.
    static func text(_ source: Source) -> (from: ComposedSQL, condition: ComposedSQL, values: [any Bindable])
    {
        switch source {
        case .range(let ids):
            (
                " FROM opened AS o NOT INDEXED", " WHERE o.id BETWEEN ? AND ?",
                [ids.lowerBound, ids.upperBound]
            )
        case .key(.route(let route), let ids):
            (
                " FROM opened AS o INDEXED BY opened_by_route", " WHERE o.route = ? AND o.id BETWEEN ? AND ?",
                [route, ids.lowerBound, ids.upperBound]
            )
        case .key(.client(let client), let ids):
            (
                " FROM opened AS o INDEXED BY opened_by_client",
                " WHERE o.client = ? AND o.id BETWEEN ? AND ?",
                [client, ids.lowerBound, ids.upperBound]
            )
        }
    }
}
