import Foundation
import Histories
import Records
import SQLite
import Testing

struct ConnectionTests {
    let scratch = Scratch()

    /// All pages of a filter, as a caller asks for them.
    private func all(
        _ store: Store, _ filter: ConnectionFilter, _ order: ConnectionOrder, limit: Int, budget: PageBudget
    ) throws -> (ids: [Int64], gaps: [HistoryGap], pages: Int) {
        var (ids, gaps, pages): ([Int64], [HistoryGap], Int) = ([], [], 0)
        var cursor: Int64?
        repeat {
            let from = cursor
            let page = try store.read { (r) throws(RecordsError) in
                try r.history(filter, order: order, cursor: from, limit: limit, budget: budget)
            }
            var count = 0
            for entry in page.entries {
                switch entry {
                case .connection(let record):
                    ids.append(record.id)
                    count += 1
                case .gap(let gap): gaps.append(gap)
                }
            }
            #expect(count <= limit)
            #expect(page.next == nil || page.next != cursor, "a page that goes nowhere")
            cursor = page.next
            pages += 1
        } while cursor != nil && pages < 100_000
        return (ids, gaps, pages)
    }

    private static func filter(_ rows: HistoryRows, _ random: inout Seeded) -> ConnectionFilter {
        var filter = ConnectionFilter()
        func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
        func time() -> Timestamp {
            let one = rows.connections.randomElement(using: &random)!
            return Timestamp(microseconds: one.at + Int64.random(in: -1...1, using: &random))
        }
        if chance(25) { filter.since = time() }
        if chance(25) { filter.until = time() }
        if chance(15) { filter.at = time() }
        if chance(30) { filter.node = ["edge-01", "edge-02b", "lab", "shop"].randomElement(using: &random) }
        if chance(25) {
            filter.listener = ["rdp", "web", "3", "11", "lab/ssh", "edge-01/rdp"].randomElement(
                using: &random)
        }
        if chance(35) {
            filter.client = [
                "203.0.113.0/24", "203.0.112.7", "203.0.0.0/16", "198.51.100.0/25", "0.0.0.0/0", "::/0",
                "2001:db8::/124", "2001:db8::7", "unix", "::ffff:203.0.113.0/120", "192.0.2.1",
            ].randomElement(using: &random).flatMap { ClientRange($0) }
        }
        if chance(20) {
            filter.target = ["10.0.0.5", "10.0.0.5:80", "2001:db8::5", "[2001:db8::5]:22", "/run/x.sock"]
                .randomElement(
                    using: &random)
        }
        if chance(20) { filter.results = [EndReason.allCases.randomElement(using: &random)!, .killed] }
        if chance(20) { filter.minBytes = Int64.random(in: 0...900_000, using: &random) }
        if chance(15) { filter.isOpen = Bool.random(using: &random) }
        if chance(50) { filter.open = rows.open }
        return filter
    }

    @Test
    func `every filter finds what a look at each row finds, whatever the page, the budget and the order`()
        throws
    {
        let store = try scratch.store()
        var rows = HistoryRows(seed: 7, routes: 240, connections: 5_000)
        try rows.write(to: scratch.path(Store.fileName))
        var random = Seeded(11)
        var sizes: [Int] = []
        for round in 0..<200 {
            var filter = Self.filter(rows, &random)
            let order = ConnectionOrder.allCases[round % 2]
            var budget = PageBudget()
            budget.rows = [150, 1_000, 400_000].randomElement(using: &random)!
            // The clock of this machine has no say in what is compared.
            budget.nanoseconds = .max
            let limit = [7, 100, 1_000].randomElement(using: &random)!
            let wanted = order == .newest ? rows.ids(filter).reversed() : rows.ids(filter)
            let found = try all(store, filter, order, limit: limit, budget: budget).ids
            filter.open = nil
            #expect(
                found.elementsEqual(wanted), "round \(round): \(found.count) of \(wanted.count): \(filter)")
            sizes.append(wanted.count)
        }
        // The filters are not all of one kind.
        #expect(
            sizes.count { $0 == 0 } > 20 && sizes.count { (1...60).contains($0) } > 20
                && sizes.count { $0 > 500 } > 20)
    }

    @Test func `what was open at a moment is found from the oldest on as well`() throws {
        let store = try scratch.store()
        var rows = HistoryRows(seed: 13, routes: 40, connections: 4_000)
        try rows.write(to: scratch.path(Store.fileName))
        var random = Seeded(17)
        var budget = PageBudget()
        budget.rows = 150
        for _ in 0..<10 {
            var filter = ConnectionFilter()
            let one = rows.connections[2_500...].randomElement(using: &random)!
            filter.at = Timestamp(microseconds: one.at)
            filter.open = rows.open
            let wanted = rows.ids(filter)
            let found = try all(store, filter, .oldest, limit: 100, budget: budget)
            #expect(found.ids == wanted && found.ids.contains(one.id))
            #expect(found.pages < 25, "by the closings, not by all openings")
        }
    }

    @Test func `pages have no gap and no repeat while connections are made and end`() throws {
        let store = try scratch.store()
        var rows = HistoryRows(seed: 3, routes: 40, connections: 3_000)
        try rows.write(to: scratch.path(Store.fileName))
        for order in ConnectionOrder.allCases {
            let before = rows.connections.map(\.id)
            var (ids, gaps): ([Int64], [HistoryGap]) = ([], [])
            var cursor: Int64?
            repeat {
                let from = cursor
                let page = try store.read { (r) throws(RecordsError) in
                    try r.history(ConnectionFilter(), order: order, cursor: from, limit: 170)
                }
                for entry in page.entries {
                    switch entry {
                    case .connection(let record): ids.append(record.id)
                    case .gap(let gap): gaps.append(gap)
                    }
                }
                cursor = page.next
                if rows.connections.count < 4_500 {
                    rows.append(50)
                    try rows.write(to: scratch.path(Store.fileName))
                }
            } while cursor != nil
            let after = rows.connections.map(\.id)
            #expect(ids == (order == .newest ? before.reversed() : after))
            // Each gap once as well, unless the clock was set back over it.
            let wanted = rows.stops.filter { stop in
                !rows.steps.contains { $0.1 - 100_000_000 <= stop.1 && stop.0 <= $0.0 + 100_000_000 }
                    && (order == .oldest || stop.1 < rows.connections.first { $0.id == before.last }!.at)
            }
            #expect(wanted.count > 3)
            for (from, to) in wanted {
                let gap = HistoryGap(
                    from: Timestamp(microseconds: from), to: Timestamp(microseconds: to), cause: "server-stop"
                )
                #expect(gaps.count { $0 == gap } == 1, "\(order) \(gap)")
            }
        }
    }

    @Test func `gaps stand between the connections before and after them`() throws {
        let store = try scratch.store()
        var rows = HistoryRows(seed: 5, routes: 4, connections: 3_000)
        rows.steps = []
        try rows.write(to: scratch.path(Store.fileName))
        #expect(rows.stops.count > 3)
        let page = try store.read { (r) throws(RecordsError) in
            try r.history(ConnectionFilter(), limit: 1_000)
        }
        var seen = 0
        for (place, entry) in page.entries.enumerated() {
            guard case .gap(let gap) = entry else { continue }
            seen += 1
            if place > 0, case .connection(let younger) = page.entries[place - 1] {
                #expect(younger.openedAt >= gap.to)
            }
            if place + 1 < page.entries.count, case .connection(let older) = page.entries[place + 1] {
                #expect(older.openedAt <= gap.from)
            }
        }
        #expect(seen > 0)
        // Of a moment and of a stretch of time, only those that touch it.
        let (from, to) = rows.stops[1]
        for (since, until) in [(from + 1, from + 2), (from - 1, from), (to, to + 1)] {
            var filter = ConnectionFilter()
            filter.since = Timestamp(microseconds: since)
            filter.until = Timestamp(microseconds: until)
            let entries = try store.read { [filter] (r) throws(RecordsError) in try r.history(filter) }
                .entries
            #expect(entries.count { if case .gap = $0 { true } else { false } } == 1)
        }
    }

    @Test func `a gap is shown however few connections there are, also the one that lasts`() throws {
        let past = try Past()
        let present = HistoryGap(from: Past.hour(5), to: Past.hour(9), cause: "server-crash")
        func gaps(
            since: Int? = nil, until: Int? = nil, limit: Int = 1_000, _ present: HistoryGap? = present
        ) throws -> [[String]] {
            var filter = ConnectionFilter()
            filter.since = since.map(Past.hour)
            filter.until = until.map(Past.hour)
            return try ConnectionOrder.allCases.map { [filter] order in
                try past.store.read { (reader) throws(RecordsError) in
                    try reader.history(filter, order: order, limit: limit, present: present)
                }.entries.map {
                    switch $0 {
                    case .connection: "connection"
                    case .gap(let gap): gap.cause
                    }
                }
            }
        }
        #expect(try gaps() == [["server-crash"], ["server-crash"]], "an empty history")
        past.append([.note(.gap(.serverStop, from: Past.hour(-9), to: Past.hour(-5), at: Past.hour(-5)))])
        #expect(try gaps() == [["server-crash", "server-stop"], ["server-stop", "server-crash"]])
        try past.hour(0, connections: 2)
        // A page that is just full ends where the history does.
        let all = ["server-crash", "connection", "connection", "server-stop"]
        #expect(try gaps(limit: 2) == [all, all.reversed()])
        #expect(try gaps(limit: 1) == [Array(all.prefix(2)), ["server-stop", "connection"]])
        #expect(try gaps(since: 6, until: 8) == [["server-crash"], ["server-crash"]])
        #expect(try gaps(since: -8, until: -7) == [["server-stop"], ["server-stop"]])
        #expect(try gaps(since: 1, until: 4) == [[], []] && gaps(since: 10) == [[], []])
        // More younger ones than a page tells hide none of the time asked for.
        past.append(
            (0..<12_000).map {
                let at = Past.hour(20).adding(seconds: Int64($0))
                return .note(.gap(.serverCrash, from: at, to: at, at: at))
            })
        #expect(try gaps(since: -8, until: -7, nil) == [["server-stop"], ["server-stop"]])
        let whole = try gaps(nil)
        #expect(whole[0].count == 10_003 && whole[0][10_000] == "many-gaps")
        #expect(whole[1] == whole[0].reversed())
    }

    @Test func `what no note tells yet is a gap up to now: no server runs`() throws {
        let server = try scratch.server()
        #expect(server.presentGap(.now) == nil)
        let killed = try scratch.killed()
        server.close()
        for (folder, cause) in [(scratch, "server-stop"), (killed, "server-crash")] {
            // Each command that comes while the server is down says so.
            for _ in 0..<2 {
                let store = try folder.store()
                let now = Timestamp.now
                let gap = try #require(store.presentGap(now))
                #expect(gap.cause == cause && gap.to == now && now.distance(from: gap.from) < 600_000_000)
                store.close()
            }
        }
    }

    @Test func `a page ends when its time is over, and the next goes on`() throws {
        let store = try scratch.store()
        var rows = HistoryRows(seed: 9, routes: 40, connections: 6_000)
        try rows.write(to: scratch.path(Store.fileName))
        var filter = ConnectionFilter()
        filter.minBytes = 990_000
        filter.results = [.clientEOF]
        var budget = PageBudget()
        budget.nanoseconds = 0
        let found = try all(store, filter, .newest, limit: 1_000, budget: budget)
        #expect(found.ids.elementsEqual(rows.ids(filter).reversed()) && found.pages > 1)
        #expect(try all(store, filter, .newest, limit: 1_000, budget: PageBudget()).ids == found.ids)
    }

    @Test func `a node is found by the names that it had, and when it is gone`() throws {
        let store = try scratch.store()
        let node = try store.addNode("old")
        try store.change { (t) throws(RecordsError) in _ = try t.renameNode(node.id, to: "new-name") }
        let other = try store.addNode("other")
        try store.change { (t) throws(RecordsError) in _ = try t.removeNode(other.id) }
        let database = try Database(path: scratch.path(Store.fileName), mode: .readWrite)
        for (id, nodeID, name) in [
            (1, node.id, "old"), (2, node.id, "new-name"), (3, other.id, "other"), (4, "someone-else", "old"),
        ] {
            try database.execute(
                "INSERT INTO routes VALUES (?, ?, ?, x'00', 1, 'listener', 'web', ':1', 'a:2', 0)", id,
                nodeID, name)
            try database.execute("INSERT INTO opened VALUES (?, ?, 5, 0, x'7f000001', 4, 0)", id, id)
        }
        func ids(_ reference: String) throws(RecordsError) -> [Int64] {
            try store.read { (r) throws(RecordsError) in
                var filter = ConnectionFilter()
                filter.node = reference
                return try r.history(filter).entries.compactMap {
                    if case .connection(let record) = $0 { record.id } else { nil }
                }
            }
        }
        #expect(try ids("new-name") == [2, 1] && ids("new") == [2, 1] && ids(node.id) == [2, 1])
        #expect(try ids("old") == [4, 1], "the name that it had then")
        #expect(try ids("other") == [3] && ids(other.id) == [3])
        #expect(refused(.notFound) { () throws(RecordsError) in try ids("nobody") }.contains("nobody"))
        _ = refused(.notFound) { () throws(RecordsError) in
            var filter = ConnectionFilter()
            filter.listener = "no-such"
            return try store.read { [filter] (r) throws(RecordsError) in try r.history(filter) }
        }
    }

    @Test(
        arguments: [
            ("203.0.113.7/24", [203, 0, 113, 0], [203, 0, 113, 255]),
            ("203.0.113.7", [203, 0, 113, 7], [203, 0, 113, 7]),
            ("10.0.0.0/0", [0, 0, 0, 0], [255, 255, 255, 255]),
            ("10.1.2.3/31", [10, 1, 2, 2], [10, 1, 2, 3]),
            ("::ffff:10.1.2.3/112", [10, 1, 0, 0], [10, 1, 255, 255]), ("unix", [], []),
            (
                "[2001:db8::1]/33", [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                [0x20, 1, 0xd, 0xb8, 0x7f, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]
            ),
        ] as [(String, [UInt8], [UInt8])])
    func `ranges of clients are read`(text: String, low: [UInt8], high: [UInt8]) {
        #expect(ClientRange(text)?.low == low && ClientRange(text)?.high == high)
    }

    @Test(arguments: [
        "", "/", "/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/ 8", "10.0.0/8", "10.0.0.256",
        "::/129",
        "10.0.0.0/8/8", "::ffff:10.0.0.0/95", "host", "10.0.0.1:80", "10.0.0.0/８",
    ])
    func `what is no range of clients is refused`(text: String) {
        #expect(ClientRange(text) == nil)
    }
}
