import Admin
import Control
import Foundation
import HTTP
import Histories
import Records
import Support
import Synchronization
import Testing

struct HistoryCommandTests {
    /// Each verb, with the schema of its JSON.
    private static let lines: [(line: String, schema: String, isList: Bool)] = [
        ("history", "HistoryEntry", true),
        (
            "history --node edge-01 --since 2020-01-01 --until 2100-01-01T00:00:00Z --limit 5",
            "HistoryEntry", true
        ),
        (
            "history --oldest --client 203.0.0.0/16 --result client-eof,idle --min-bytes 1KB", "HistoryEntry",
            true
        ),
        ("history --listener web --target 10.0.0.5 --at 2026-08-22T09:14:03Z --local", "HistoryEntry", true),
        ("history --open --cursor 250", "HistoryEntry", true),
        ("history show 7", "HistoryConnection", false),
        ("history top --by node --sort connections", "HistoryTop", false),
        ("history top --by client --limit 2 --min-bytes 5", "HistoryTop", false),
        ("history stats", "HistoryStats", false),
        ("conn list --node edge-01", "Connection", true),
        ("conn list", "Connection", true),
    ]
    static let verbs = ["history", "history show", "history top", "history stats", "conn list", "conn kill"]

    @Test(arguments: [false, true])
    func `every verb of the history prints its schema's JSON, beside a server and alone`(hasServer: Bool)
        throws
    {
        let fixture = try AdminFixture(hasServer: hasServer)
        #expect(fixture.run("node add edge-01").status == 0)
        _ = try fixture.makeHistory(300, open: 2)
        let schema = try fixture.schema
        for (line, name, isList) in Self.lines {
            let outcome = fixture.run(line + " -o json")
            #expect(outcome.status == 0 && outcome.error.isEmpty, "\(line): \(outcome.error)")
            let one: [String: Any] = ["$ref": "#/components/schemas/\(name)"]
            let wanted: [String: Any] = isList ? ["type": "array", "items": one] : one
            #expect(schema.faults(in: Array(outcome.output.utf8), wanted) == [], "\(line)")
            let table = fixture.run(line)
            #expect(
                table.status == 0 && table.output.hasSuffix("\n") && !table.output.contains("Optional("),
                "\(line)")
        }
        let known = Set(Verb.all.map(\.words))
        #expect(Self.verbs.allSatisfy { known.contains($0) })
    }

    /// A server that counts in two parts, and what it was asked for.
    private func serverOfTwoParts(_ fixture: AdminFixture, _ asked: @escaping @Sendable (String?) -> Void)
        throws
        -> HTTPServer
    {
        try HTTPServer(unixSocket: "\(fixture.directory)/control.sock", mode: 0o600) { request in
            let cursor = request.query["cursor"]
            asked(cursor)
            let totals = { (connections: Int64, up: Int64) in
                ConnectionTotals(connections: connections, up: up)
            }
            let part = TopAnswer(
                .client,
                cursor == nil
                    ? ["192.0.2.1": totals(3, 500), "192.0.2.2": totals(1, 400)]
                    : ["192.0.2.2": totals(2, 300), "192.0.2.3": totals(1, 1)],
                byConnections: false, limit: Limits.totalsPart, next: cursor == nil ? "500" : nil,
                reached: Timestamp(
                    microseconds: cursor == nil ? 1_800_000_000_000_000 : 1_700_000_000_000_000))
            return HTTPResponse(status: 200, body: jsonText(part))
        }
    }

    @Test(arguments: [false, true])
    func `top adds up part by part, and left half-way shows what there is and says so`(isLeft: Bool) throws {
        let fixture = try AdminFixture(hasServer: false)
        let asked = Mutex<[String?]>([])
        let http = try serverOfTwoParts(fixture) { cursor in asked.withLock { $0.append(cursor) } }
        defer { http.stop() }
        let json = fixture.run(["history", "top", "-o", "json"], isInterrupted: isLeft)
        let top = try JSONDecoder().decode(TopAnswer.self, from: Data(json.output.utf8))
        #expect(top.complete == !isLeft && top.next == (isLeft ? "500" : nil))
        #expect(
            top.entries.map(\.name)
                == (isLeft ? ["192.0.2.1", "192.0.2.2"] : ["192.0.2.2", "192.0.2.1", "192.0.2.3"]))
        #expect(top.entries.map(\.bytesUp) == (isLeft ? [500, 400] : [700, 500, 1]))
        #expect(top.connections == (isLeft ? 4 : 7) && top.names == (isLeft ? 2 : 3))
        #expect(asked.withLock { $0 } == (isLeft ? [nil] : [nil, "500"]))
        #expect(json.status == (isLeft ? 130 : 0) && json.errorCode == (isLeft ? "interrupted" : nil))
        let table = fixture.run(["history", "top", "--limit", "1"], isInterrupted: isLeft)
        #expect(table.output.contains(isLeft ? "all 2" : "all 3"))
        #expect(table.error.contains("connections back to 2027-01-15") == isLeft)
    }

    @Test func `on a terminal a long command says how far it is, and takes the line away again`() throws {
        let fixture = try AdminFixture(hasServer: false)
        let http = try serverOfTwoParts(fixture) { _ in }
        defer { http.stop() }
        for isTerminal in [true, false] {
            var seconds: Int64 = 0
            let shown = fixture.run(["history", "top"], isErrorTerminal: isTerminal) {
                seconds += 2
                return Timestamp(microseconds: seconds * 1_000_000)
            }
            #expect(shown.status == 0 && !shown.output.contains("counted"))
            #expect(shown.error.contains("counted 4 connections, back to 2027-01-15") == isTerminal)
            #expect(isTerminal ? shown.error.hasSuffix("\r\u{1B}[K") : shown.error.isEmpty)
        }
    }

    @Test func `a list that finds nothing can be left, says where it was, and goes on from there`() throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = try fixture.makeHistory(60_000)
        for order in [[], ["--oldest"]] {
            let words = ["history", "--min-bytes", "900TB"] + order
            let left = fixture.run(words, isInterrupted: true)
            // On a quick machine a page may have been all.
            guard left.status != 0 else { continue }
            #expect(left.status == 130 && left.error.contains("stopped: nothing"), "\(left.error)")
            let place = try #require(
                left.error.split(separator: " ").last { Int($0) != nil }
                    ?? left.error.split(separator: "--cursor ").last)
            let cursor = String(place.prefix { $0.isNumber })
            #expect(fixture.run(words + ["--cursor", cursor]).status == 0)
        }
    }

    private func ids(_ outcome: AdminFixture.Outcome) throws -> [Int64] {
        try outcome.output.split(separator: "\n").compactMap { line in
            let entry = try JSONDecoder().decode(HistoryEntry.self, from: Data(line.utf8))
            return if case .connection(let record) = entry { record.id } else { nil }
        }
    }

    @Test func `a list is whole in either direction, however many pages it has`() throws {
        let fixture = try AdminFixture(hasServer: true)
        let rows = try fixture.makeHistory(2_600)
        let all = rows.connections.map(\.id)
        #expect(try ids(fixture.run("history -o jsonl")) == all.suffix(100), "the newest, the newest last")
        #expect(try ids(fixture.run("history --limit 2500 -o jsonl")) == all.suffix(2_500))
        #expect(try ids(fixture.run("history --oldest -o jsonl")) == all)
        #expect(try ids(fixture.run("history --oldest --limit 1500 -o jsonl")) == Array(all.prefix(1_500)))
        #expect(
            try ids(fixture.run("history --cursor \(all[2_000]) --limit 3 -o jsonl"))
                == Array(all[1_997..<2_000]))
        #expect(
            try ids(fixture.run("history --oldest --cursor 2000 --limit 3 -o jsonl")) == [
                2_001, 2_002, 2_003,
            ])
        let json = fixture.run("history --oldest -o json").output
        #expect(
            try JSONDecoder().decode([HistoryEntry].self, from: Data(json.utf8)).count == all.count
                + rows.gapCount)
        let csv = fixture.run("history --oldest -o csv").output.split(separator: "\n")
        #expect(csv.count == 1 + all.count + rows.gapCount)
        #expect(Set(csv.map { $0.count { $0 == "," } }) == [22])
        let table = fixture.run("history --oldest").output.split(separator: "\n")
        #expect(table.count == 1 + all.count + rows.gapCount)
        #expect(fixture.run("history --limit 7").error == "There are older ones: add --cursor 2594\n")
    }

    @Test func `each flag narrows down as a look at each row does`() throws {
        let fixture = try AdminFixture(hasServer: true)
        let rows = try fixture.makeHistory(600, open: 3)
        let middle = Timestamp(microseconds: rows.connections[300].at)
        let live = fixture.fleet.open.withLock { $0 }
        func check(_ words: [String], _ change: (inout ConnectionFilter) -> Void) throws {
            var filter = ConnectionFilter()
            change(&filter)
            let outcome = fixture.run(["history", "--limit", "1000", "-o", "jsonl"] + words)
            #expect(outcome.status == 0, "\(words): \(outcome.error)")
            #expect(try ids(outcome) == rows.ids(filter) && !rows.ids(filter).isEmpty, "\(words)")
        }
        try check(["--since", "\(middle)"]) { $0.since = middle }
        try check(["--until", "\(middle)"]) { $0.until = middle }
        try check(["--at", "\(middle)"]) { $0.at = middle }
        try check(["--node", "edge-01"]) { $0.node = "edge-01" }
        try check(["--listener", "web"]) { $0.listener = "web" }
        try check(["--listener", "3"]) { $0.listener = "3" }
        try check(["--client", "203.0.112.0/23"]) { $0.client = ClientRange("203.0.112.0/23") }
        try check(["--target", "10.0.0.5"]) { $0.target = "10.0.0.5" }
        try check(["--result", "client-eof,idle"]) { $0.results = [.clientEOF, .idle] }
        try check(["--min-bytes", "0.5MB"]) {
            $0.minBytes = 500_000
            $0.open = Dictionary(
                uniqueKeysWithValues: live.map { ($0.id, PassedBytes(up: 1_200_000, down: 88_000)) })
        }
        let open = try ids(fixture.run("history --open -o jsonl"))
        #expect(open == live.map(\.id) && open.count == 3)
    }

    @Test func `the table is as it was agreed, with gaps in line and what has passed so far`() throws {
        let fixture = try AdminFixture(hasServer: true)
        try fixture.insert(
            """
            INSERT INTO routes VALUES (1, 'n', 'edge-07', x'00ff', 4, 'listener', 'rdp', '0.0.0.0:1', '127.0.0.1:3389', 0);
            INSERT INTO routes VALUES (2, 'n', 'edge-07', x'00ff', 5, 'peer-listener', NULL, '0.0.0.0:2', '10.0.0.5:80', 0);
            INSERT INTO opened VALUES (1, 1, 1787390043000000, 0, x'cb007109', 51514, 0);
            INSERT INTO opened VALUES (2, 1, 1787391100000000, 0, x'cb007109', 51801, 0);
            INSERT INTO opened VALUES (3, 2, 1787391800000000, 0, x'20010db8000000000000000000000001', 80, 0);
            INSERT INTO closed VALUES (1, 1, 1787390771000000, 728000000, 1200000, 48100000, NULL, NULL, 'client-eof', 0, 0);
            INSERT INTO closed VALUES (2, 3, 1787391801000000, 340000, 12, 0, 12, 1, 'server-crash', 3, 0);
            INSERT INTO notes VALUES (1, 1787391715000000, 'gap', 1787391612000000, 1787391715000000, NULL, NULL, 'server-crash', 0);
            """)
        fixture.fleet.open.withLock {
            $0 = [
                LiveConnection(
                    id: 2, nodeID: "n", node: "edge-07", mapping: 4, listener: "rdp", kind: .listener,
                    client: "203.0.113.9:51801", target: "127.0.0.1:3389",
                    openedAt: Timestamp(microseconds: 1_787_391_100_000_000), bytesUp: 88_000,
                    bytesDown: 1_100_000,
                    bytesPerSecondUp: 1, bytesPerSecondDown: 2)
            ]
        }
        #expect(
            fixture.run("history").output == """
                START                 DURATION  NODE     LISTENER  CLIENT             TARGET          UP      DOWN    END
                2026-08-22 09:14:03Z  12m08s    edge-07  rdp       203.0.113.9:51514  127.0.0.1:3389  1.2MB   48.1MB  client-eof
                2026-08-22 09:31:40Z  -         edge-07  rdp       203.0.113.9:51801  127.0.0.1:3389  88.0KB  1.1MB   open
                -- gap: server stopped 09:40:12Z to 09:41:55Z (unclean) --
                2026-08-22 09:43:20Z  0.3s      edge-07  5         [2001:db8::1]:80   10.0.0.5:80     12B     0B      server-crash (recovered, counts-differ)

                """)
        let list = fixture.run(["conn", "list"], now: Timestamp(microseconds: 1_787_391_160_000_000))
        #expect(
            list.output == """
                ID  OPEN FOR  NODE     LISTENER  CLIENT             TARGET              UP   DOWN  UP/S  DOWN/S
                 2     1m00s  edge-07  rdp       203.0.113.9:51801  127.0.0.1:3389  88.0KB  1.1MB    1B      2B

                """)
        // In whatever zone this machine is.
        let local = fixture.run("history --local").output
        let start = try #require(local.firstMatch(of: /\n([-0-9]+ [0-9:]+[-+][0-9]{2}:[0-9]{2})  12m08s/))
            .output.1
        #expect(Timestamp(String(start))?.microseconds == 1_787_390_043_000_000)
    }

    @Test func `what clients and nodes supplied cannot run in a spreadsheet or a terminal`() throws {
        let fixture = try AdminFixture(hasServer: true)
        try fixture.insert(
            """
            INSERT INTO routes VALUES (1, 'n', '=cmd|x', x'00', 4, 'listener', '+a,"b', '-1', '@x' || char(27) || '[31m', 0);
            INSERT INTO opened VALUES (1, 1, 1787390043000000, 0, x'', 0, 0);
            """)
        let csv = fixture.run("history -o csv").output
        #expect(csv.contains(#",'=cmd|x,"'+a,""b",4,listener,'-1,unix,'@x\u{1B}[31m,"#), "\(csv)")
        #expect(csv.split(separator: "\n").count == 2)
        let table = fixture.run("history").output
        #expect(!table.contains("\u{1b}") && table.contains(#"@x\u{1B}[31m"#))
    }

    @Test func `killing names the connection, asks, and is in the audit with its reason`() throws {
        let fixture = try AdminFixture(hasServer: true)
        let rows = try fixture.makeHistory(300, open: 2)
        let id = rows.connections.first { $0.end == nil }!.id
        let line = ["conn", "kill", "\(id)", "--reason", "case 12"]
        let alone = fixture.run(line)
        #expect(alone.status == 2 && alone.error.contains("End connection \(id) of 203.0.113.9:51514"))
        #expect(fixture.run(line, answer: "n").status == 1)
        #expect(fixture.fleet.open.withLock { $0.count } == 2, "nothing has happened")
        let done = fixture.run(line, answer: "y")
        #expect(
            done.status == 0 && done.output.hasPrefix("Ended connection \(id) of 203.0.113.9:51514 to "),
            "\(done)")
        #expect(fixture.fleet.open.withLock { $0.map(\.id).contains(id) } == false)
        let audit = fixture.run("audit --action connection-kill -o jsonl").output
        #expect(audit.contains("case 12") && audit.contains("connection \(id) of"))
        #expect(fixture.run(line + ["--force"]).error.contains("connection \(id) is not open"))
    }

    @Test func `the audit is narrowed down, and shows before and after`() throws {
        let fixture = try AdminFixture(hasServer: true)
        for line in ["node add one", "node add two", "node rename one first", "node disable two --force"] {
            #expect(fixture.run(line).status == 0)
        }
        func actions(_ line: String) -> [String] {
            fixture.run(line + " -o jsonl").output.matches(of: /"action":"([a-z-]+)"/).map {
                String($0.output.1)
            }
        }
        #expect(actions("audit --node first") == ["node-add", "node-rename"])
        #expect(actions("audit --node two") == ["node-add", "node-disable"])
        #expect(actions("audit --action node-add --since 1h") == ["node-add", "node-add"])
        #expect(actions("audit --actor nobody-here") == [])
        #expect(actions("audit --until 2020-01-01") == [] && actions("audit --until 2100-01-01").count == 4)
        let table = fixture.run("audit").output
        #expect(table.contains("name: one → first") && table.contains("state: enabled → disabled"))
    }
}
