import Foundation
import Histories
import Records
import Testing

struct TotalsTests {
    let scratch = Scratch()

    private func name(_ one: HistoryRows.Connection, _ key: TotalsKey) -> String {
        switch key {
        case .client: ClientRange.text(one.client)
        case .node: one.route.node
        case .listener: "\(one.route.node)/\(one.route.name ?? String(one.route.mapping))"
        case .target: one.route.target
        }
    }

    @Test(arguments: TotalsKey.allCases)
    func `totals are those of a look at each row, in parts of any size`(key: TotalsKey) throws {
        let store = try scratch.store()
        var rows = HistoryRows(seed: 41, routes: 60, connections: 3_500)
        try rows.write(to: scratch.path(Store.fileName))
        var filters = [ConnectionFilter](repeating: ConnectionFilter(), count: 7)
        filters[1].node = "edge-01"
        filters[2].client = ClientRange("198.51.100.0/24")
        filters[3].minBytes = 4_000
        filters[4].isOpen = true
        filters[5].since = Timestamp(microseconds: rows.connections[1_700].at)
        filters[5].until = Timestamp(microseconds: rows.connections[2_900].at)
        filters[6].results = [.killed]
        for (number, plain) in filters.enumerated() {
            for rowsAtOnce in [300, 400_000] {
                var filter = plain
                filter.open = number == 0 ? nil : rows.open
                var wanted: [String: ConnectionTotals] = [:]
                for one in rows.connections where rows.matches(one, filter) {
                    var totals = ConnectionTotals()
                    totals.connections = 1
                    totals.up = one.end?.up ?? filter.open?[one.id]?.up ?? 0
                    totals.down = one.end?.down ?? filter.open?[one.id]?.down ?? 0
                    wanted[name(one, key), default: ConnectionTotals()] += totals
                }
                var found: [String: ConnectionTotals] = [:]
                var cursor: Int64?
                var reached: Timestamp?
                var parts = 0
                repeat {
                    var budget = PageBudget()
                    budget.rows = rowsAtOnce
                    budget.nanoseconds = .max
                    let part = try store.read { [filter, cursor, budget] (r) throws(RecordsError) in
                        try r.totals(filter, by: key, cursor: cursor, budget: budget)
                    }
                    for (name, totals) in part.totals { found[name, default: ConnectionTotals()] += totals }
                    cursor = part.next
                    reached = part.reached
                    parts += 1
                } while cursor != nil
                #expect(found == wanted, "filter \(number), \(rowsAtOnce) rows at once")
                #expect(!wanted.isEmpty && reached != nil)
                if number == 0 {
                    #expect(parts == (rowsAtOnce == 300 ? parts : 1) && (rowsAtOnce > 300 || parts > 5))
                }
            }
        }
    }

    @Test func `what passed is summed up over holes in the ids`() throws {
        let store = try scratch.store()
        var rows = HistoryRows(seed: 43, routes: 3, connections: 2_000)
        try rows.write(to: scratch.path(Store.fileName))
        for rowsAtOnce in [7, 100_000] {
            var sum = ConnectionTotals()
            var closing: Int64? = -5_000
            while let last = closing {
                let part = try store.read { (r) throws(RecordsError) in
                    try r.closedTotals(after: last, rows: rowsAtOnce)
                }
                sum += part.totals
                closing = part.next
            }
            let ends = rows.connections.compactMap(\.end)
            #expect(sum.connections == Int64(ends.count) && sum.up == ends.reduce(0) { $0 + $1.up })
        }
    }
}
