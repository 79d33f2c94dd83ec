import Support
import Testing

@Suite(.serialized, .heavy)
struct DatabaseTests {
    @Test(.enabled(if: Tool.postgresql != nil, "needs postgresql"), arguments: Kind.allCases)
    func `psql and pgbench work on a real PostgreSQL`(kind: Kind) throws {
        let database = try PostgreSQL(bin: try #require(Tool.postgresql))
        try withTunnel(kind, to: database.endpoint) { pair in
            let entrance = try pair.entrance()
            #expect(try database.psql(by: entrance, "select 6 * 7") == ["42"])
            let rows = try database.psql(
                by: entrance, "select n, repeat('x', 100) from generate_series(1, 50000) n")
            #expect(rows.count == 50_000)
            #expect(rows.last?.hasPrefix("50000|xxx") == true)

            _ = try database.pgbench(by: entrance, ["-q", "-i", "-s", "1"])
            let report = try database.pgbench(by: entrance, ["-n", "-c", "8", "-t", "100"])
            #expect(
                report.contains("number of transactions actually processed: 800/800"),
                "\(report)\n\(pair.logs)")
            #expect(report.contains { $0.hasPrefix("number of failed transactions: 0 ") })
            let books = try database.psql(
                by: entrance,
                "select (select sum(delta) from pgbench_history) = (select sum(bbalance) from pgbench_branches)"
            )
            #expect(books == ["t"])
        }
    }
}
