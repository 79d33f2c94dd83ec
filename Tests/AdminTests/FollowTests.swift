import Admin
import Foundation
import Histories
import Records
import Support
import Synchronization
import Testing

/// `--follow` of the history and of the audit, over restarts of the server.
struct FollowTests {
    /// A command without an end, and what it has said.
    private final class Follower: Sendable {
        private let output = Mutex("")
        let errors = Mutex("")
        let status = Mutex<Int32?>(nil)
        private let isGone = Mutex(false)

        init(_ line: String, in directory: String) {
            let thread = Thread { [self] in
                var console = Console(
                    write: { text in self.output.withLock { $0 += text } },
                    writeError: { text in self.errors.withLock { $0 += text } }, readLine: { nil },
                    isOutputTerminal: false, isInputTerminal: false,
                    environment: ["GOPROXY_DATA": directory], now: { .now })
                console.isOutputGone = { self.isGone.withLock { $0 } }
                let result = Admin.run(line.split(separator: " ").map(String.init), on: console)
                status.withLock { $0 = result }
            }
            thread.start()
        }

        var lines: [String] { output.withLock { $0.split(separator: "\n").map(String.init) } }

        func count(_ id: Int64) -> Int { lines.count { $0.contains("\"id\":\(id),") } }

        /// Nobody reads any more; the command sees it with the next look.
        func leave() { isGone.withLock { $0 = true } }
    }

    private func wait(_ what: String, until condition: () -> Bool) {
        let deadline = time(nil) + 60
        while !condition(), time(nil) < deadline { poll(nil, 0, 2) }
        #expect(condition(), "\(what)")
    }

    private func add(_ rows: inout HistoryRows, _ count: Int, to fixture: AdminFixture) throws -> [Int64] {
        rows.append(count, ending: false)
        try rows.write(to: "\(fixture.directory)/\(Store.fileName)")
        return rows.connections.suffix(count).map(\.id)
    }

    private func end(_ rows: inout HistoryRows, _ count: Int, in fixture: AdminFixture) throws {
        for place in rows.connections.indices.suffix(count) { rows.end(place) }
        try rows.write(to: "\(fixture.directory)/\(Store.fileName)")
    }

    @Test func `following shows what is opened and what ends, each once, over a restart of the server`()
        throws
    {
        let fixture = try AdminFixture(hasServer: true)
        var rows = try fixture.makeHistory(50)
        let follower = Follower("history --follow --limit 5 -o jsonl", in: fixture.directory)
        wait("the newest five") { (46...50).allSatisfy { follower.count($0) == 1 } }
        #expect(follower.lines.count { !$0.contains("gap") } == 5)
        let opened = try add(&rows, 20, to: fixture)
        wait("20 openings") { opened.allSatisfy { follower.count($0) == 1 } }
        try end(&rows, 20, in: fixture)
        wait("20 ends") { opened.allSatisfy { follower.count($0) == 2 } }
        fixture.stop()
        wait("it says that it waits") { follower.errors.withLock { $0.contains("Waiting for the server") } }
        #expect(follower.status.withLock { $0 } == nil)
        let meanwhile = try add(&rows, 7, to: fixture)
        try fixture.start()
        wait("what happened while nothing ran") { meanwhile.allSatisfy { follower.count($0) == 1 } }
        #expect(follower.errors.withLock { $0.hasSuffix("The server is there again.\n") })
        let after = try add(&rows, 3, to: fixture)
        wait("what happens after it") { after.allSatisfy { follower.count($0) == 1 } }
        #expect(opened.allSatisfy { follower.count($0) == 2 })
        follower.leave()
        fixture.stop()
        wait("its end") { follower.status.withLock { $0 } == 0 }
    }

    @Test func `a follower goes on where it was, by the cursor of a line or by a connection`() throws {
        let fixture = try AdminFixture(hasServer: true)
        var rows = try fixture.makeHistory(30)
        let first = Follower("history --follow --limit 1 -o jsonl", in: fixture.directory)
        wait("its beginning") { first.count(30) == 1 }
        let early = try add(&rows, 5, to: fixture)
        wait("five openings") { early.allSatisfy { first.count($0) == 1 } }
        let last = try #require(first.lines.last)
        let cursor = String(try #require(last.firstMatch(of: /"cursor":"([0-9.]+)"/)).output.1)
        first.leave()
        // While nobody follows: they end, others come and end.
        try end(&rows, 5, in: fixture)
        let missed = try add(&rows, 4, to: fixture)
        try end(&rows, 4, in: fixture)
        wait("its end") { first.status.withLock { $0 } == 0 }
        let exact = Follower("history --follow --cursor \(cursor) -o jsonl", in: fixture.directory)
        wait("all that it missed") { (early + missed).allSatisfy { exact.count($0) == 1 } }
        #expect(exact.lines.count { !$0.contains("gap") } == 9, "and nothing else")
        #expect(exact.lines.filter { !$0.contains("gap") }.allSatisfy { !$0.contains("\"closedAt\":null") })
        let byID = Follower("history --follow --cursor \(early[4]) -o jsonl", in: fixture.directory)
        wait("ends of what was open before, too") { (early + missed).allSatisfy { byID.count($0) >= 1 } }
        let whole = Follower("history --follow --oldest -o jsonl", in: fixture.directory)
        wait("all from the beginning") { (1...missed[3]).allSatisfy { whole.count($0) == 1 } }
        for follower in [exact, byID, whole] { follower.leave() }
        #expect(
            fixture.run("history --cursor \(cursor)").error.contains("is for --follow")
                && fixture.run("history --follow --cursor 1.2").status == 2)
        fixture.stop()
        #expect(fixture.run("history --follow").status == 1, "no server, and nothing was begun")
    }

    @Test func `the audit is followed over a restart of the server`() throws {
        let fixture = try AdminFixture(hasServer: true)
        #expect(fixture.run("node add one").status == 0)
        let follower = Follower("audit --follow --action node-add -o jsonl", in: fixture.directory)
        let isTold = { (name: String) in follower.lines.count { $0.contains("\"node\":\"\(name)\"") } == 1 }
        wait("what was") { isTold("one") }
        #expect(fixture.run("node rename one first").status == 0)
        #expect(fixture.run("node add two").status == 0)
        wait("what comes") { isTold("two") }
        fixture.stop()
        wait("it waits") { follower.errors.withLock { $0.contains("Waiting for the server") } }
        #expect(fixture.run("node add three").status == 0, "while no server runs")
        try fixture.start()
        wait("what came meanwhile") { isTold("three") }
        #expect(follower.lines.count == 3)
        let id = try #require(follower.lines.first?.firstMatch(of: /"id":([0-9]+)/)).output.1
        let later = Follower("audit --follow --cursor \(id) -o csv", in: fixture.directory)
        wait("what came after it") {
            later.lines.contains { $0.contains("node-add") && $0.contains("three") }
        }
        #expect(
            later.lines.count { $0.contains("id,at,actor") } == 1
                && !later.lines.contains { $0.contains(",one,") && $0.contains("node-add") })
        follower.leave()
        later.leave()
        fixture.stop()
        wait("their end") { [follower, later].allSatisfy { $0.status.withLock { $0 } != nil } }
        for one in [follower, later] {
            #expect(one.status.withLock { $0 } == 0, "\(one.errors.withLock { $0 })")
        }
        #expect(fixture.run("audit --follow -o json").status == 2)
    }

    @Test func `while no server runs the history says since when, in every form`() throws {
        let fixture = try AdminFixture(hasServer: false)
        try Store.open(directory: fixture.directory).close()
        try fixture.insert(
            """
            INSERT INTO notes VALUES (1, 1787390000000000, 'start', NULL, NULL, 0, NULL, NULL, 0);
            INSERT INTO notes VALUES (2, 1787391000000000, 'stop', NULL, NULL, NULL, NULL, NULL, 0);
            """)
        for form in ["table", "csv", "json", "jsonl"] {
            for line in [
                "history -o \(form)", "history --oldest -o \(form)", "history --since 1h -o \(form)",
            ] {
                let found = fixture.run(line)
                let word = form == "table" ? "-- gap: server stopped 2026-08-22 09:30:00Z to " : "server-stop"
                #expect(found.status == 0 && found.output.contains(word), "\(line): \(found)")
            }
        }
        #expect(!fixture.run("history --until 2026-08-22T09:00:00Z").output.contains("gap"))
    }

    @Test func `the audit has one entry, a mapping's entries, and its chain`() throws {
        let fixture = try AdminFixture(hasServer: true)
        #expect(fixture.run("node add one").status == 0)
        for port in [1, 2] {
            #expect(fixture.run("listener add one --listen :400\(port) --forward 127.0.0.1:80").status == 0)
        }
        let lines = fixture.run("audit --mapping 2 -o jsonl").output.split(separator: "\n")
        #expect(lines.count == 1 && lines[0].contains(":4002"))
        #expect(lines[0].firstMatch(of: /"chain":"[0-9a-f]{16}"/) != nil)
        let id = try #require(lines[0].firstMatch(of: /"id":([0-9]+),"mapping":2/)).output.1
        let shown = fixture.run("audit show \(id)").output
        #expect(shown.contains("mapping-add") && shown.contains(":4002") && !shown.contains(":4001"))
        #expect(fixture.run("audit show 9999").status == 1)
        let csv = fixture.run("audit -o csv").output.split(separator: "\n")
        #expect(csv.count == 4 && csv[0].hasPrefix("id,at,actor,") && csv[1].contains("node-add"))
        #expect(fixture.run("node list -o csv").output.split(separator: "\n").count == 2)
        #expect(fixture.run("conn list -o csv").output.hasPrefix("id,openedAt,"))
        #expect(fixture.run("history top -o csv").output.hasPrefix("name,connections,"))
        #expect(fixture.run("status -o csv").status == 2)
    }

    @Test func `a range that nothing can be in, and an action that there is not, are refused`() throws {
        let fixture = try AdminFixture(hasServer: true)
        for line in [
            "history --since 1h --until 2h", "audit --since 2026-08-22 --until 2026-08-21",
            "history top --since yesterday --until yesterday",
        ] {
            let refused = fixture.run(line)
            #expect(refused.status == 2 && refused.error.contains("is not after"), "\(line): \(refused)")
        }
        let refused = fixture.run("audit --action node-ad")
        #expect(
            refused.status == 1 && refused.error.contains("node-ad") && refused.error.contains("node-add"))
        try fixture.insert(
            "INSERT INTO audit VALUES (NULL, 1, 'x', NULL, 'of-another-version', NULL, NULL, NULL, NULL, NULL, NULL, 0)"
        )
        #expect(fixture.run("audit --action of-another-version").status == 0)
    }

    @Test func `a name that was used again does not mix two machines`() throws {
        let fixture = try AdminFixture(hasServer: true)
        let ids = ["11111111-0000-0000-0000-000000000000", "22222222-0000-0000-0000-000000000000"]
        for (place, id) in ids.enumerated() {
            let row = place + 1
            try fixture.insert(
                """
                INSERT INTO routes VALUES (\(row), '\(id)', 'edge', x'00', 4, 'listener', 'a', ':1', ':2', 0);
                INSERT INTO opened VALUES (\(row), \(row), 1787390043000000, 0, x'', 0, 0);
                """)
        }
        for form in ["table", "jsonl", "csv", "json"] {
            let both = fixture.run("history --node edge -o \(form)")
            #expect(both.status == 0 && ids.allSatisfy { both.error.contains($0) }, "\(form): \(both)")
        }
        let table = fixture.run("history --node edge").output
        #expect(table.contains("edge 11111111 ") && table.contains("edge 22222222 "))
    }

    @Test func `times are read as people write them`() throws {
        let fixture = try AdminFixture(hasServer: true)
        let noon = try #require(Timestamp("2026-08-22T12:00:00Z"))
        try fixture.insert(
            "INSERT INTO routes VALUES (1, 'n', 'edge', x'00', 4, 'listener', 'a', ':1', ':2', 0)")
        for (id, text) in [
            "2026-08-14T11:00:00Z", "2026-08-21T00:00:00Z", "2026-08-22T00:00:00Z", "2026-08-22T09:00:00Z",
        ]
        .enumerated() {
            let at = try #require(Timestamp(text)).microseconds
            try fixture.insert("INSERT INTO opened VALUES (\(id + 1), 1, \(at), 0, x'', 0, 0)")
        }
        func ids(_ since: String) -> Int {
            let words = ["history", "-o", "jsonl", "--since", since]
            return fixture.run(words, now: noon).output.matches(of: /"id":/).count
        }
        #expect(ids("2w") == 4 && ids("1w") == 3 && ids("yesterday") == 3 && ids("today") == 2)
        #expect(ids("2026-08-22") == 2 && ids("2026-08-22T09:00") == 1 && ids("2026-08-22T09:00:01") == 0)
        #expect(ids("2026-08-22 08:59") == 1)
        for text in ["tomorrow", "w", "-1w", "2026-08-22T9:00", "2026-08-22T25:00", "9999w"] {
            #expect(fixture.run(["history", "--since", text]).status == 2, "\(text)")
        }
    }
}
