import Control
import Foundation
import HTTP
import Histories
import Records
import SQLite
import Synchronization
import Testing

struct HistoryTests {
    private let fixture: ControlFixture

    init() throws { fixture = try ControlFixture() }

    private func page(_ address: String) throws -> HistoryAnswer {
        let answer = fixture.ask("GET", address)
        guard answer.status == 200 else { throw WrongAnswer(text: "\(address): \(answer.text)") }
        return try JSONDecoder().decode(HistoryAnswer.self, from: Data(answer.body))
    }

    private func ids(_ page: HistoryAnswer) -> [Int64] {
        page.entries.compactMap { if case .connection(let record) = $0 { record.id } else { nil } }
    }

    private func reads() throws -> [String] {
        let text = fixture.ask("GET", "/v1/audit?action=history-read&limit=1000").text
        let list = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]] ?? []
        #expect(list.allSatisfy { $0["actor"] as? String == "alice" && $0["uid"] as? Int == 1_000 })
        return list.compactMap { $0["detail"] as? String }
    }

    @Test func `who read what is in the audit once a command, and a refused request is not`() throws {
        let rows = try fixture.makeHistory(300)
        let first = try page("/v1/history?node=edge-01&limit=20")
        _ = try page("/v1/history?node=edge-01&limit=20&cursor=\(try #require(first.next))")
        #expect(try reads() == ["history limit=20 node=edge-01"])
        #expect(fixture.ask("GET", "/v1/history?node=nobody").status == 404)
        #expect(fixture.ask("GET", "/v1/history/7").status == 200)
        #expect(fixture.ask("GET", "/v1/history/7777").status == 404)
        #expect(fixture.ask("GET", "/v1/history/top?by=target&client=203.0.0.0%2F16").status == 200)
        let end = try #require(try page("/v1/history?wait=0").next)
        _ = try page("/v1/history?wait=0&cursor=\(end)")
        #expect(
            try reads() == [
                "history limit=20 node=edge-01", "history-show connection=7",
                "history-top by=target client=203.0.0.0/16", "history-follow wait=0",
            ])
        #expect(ids(first).count == 20 && rows.connections.count == 300)
    }

    @Test func `equal reads of one actor are a row of the audit, and one more with their count`() throws {
        try fixture.makeHistory(30)
        for _ in 0..<200 {
            _ = try page("/v1/history?limit=1")
            let ago = Timestamp.now.adding(seconds: -600)
            _ = try page("/v1/history?limit=1&since=\(ago)")
        }
        #expect(try reads().count == 2)
        _ = try page("/v1/history?limit=2")
        #expect(try reads().count == 3, "another read is another row")
        #expect(fixture.ask("GET", "/v1/history?limit=1", actor: .user("bob", uid: 1)).status == 200)
        #expect(fixture.ask("GET", "/v1/audit?action=history-read&actor=bob").text.contains("limit=1"))
        fixture.service.stop()
        let rows = fixture.ask("GET", "/v1/audit?action=history-read").text
        #expect(rows.matches(of: /199 times more/).count == 2)
    }

    @Test func `an hour of equal reads ends with its count`() {
        let reads = RepeatedReads()
        let (begin, alice) = (ContinuousClock.now, Actor.user("alice", uid: 1))
        #expect(reads.isFirst(alice, "a", "a", begin))
        #expect(reads.takeEnded(begin + .seconds(3_599)).isEmpty)
        for _ in 0..<4 { #expect(!reads.isFirst(alice, "a", "a", begin + .seconds(9))) }
        #expect(reads.isFirst(alice, "b", "b", begin))
        #expect(reads.takeEnded(begin + .seconds(3_599)).isEmpty)
        let ended = reads.takeEnded(begin + .seconds(3_600))
        #expect(ended.count == 1 && ended[0].actor == alice && ended[0].words.hasPrefix("a (4 times more, "))
        #expect(reads.isFirst(alice, "a", "a", begin + .seconds(3_601)), "the next hour begins with a row")
    }

    @Test func `top in parts is the whole, and only its first part is in the audit`() throws {
        try fixture.makeHistory(4_000)
        func top(_ query: String) throws -> TopAnswer {
            let answer = fixture.ask("GET", "/v1/history/top?by=client\(query)")
            return try JSONDecoder().decode(TopAnswer.self, from: Data(answer.body))
        }
        var parts: [TopAnswer] = []
        repeat {
            parts.append(try top("&limit=1001" + (parts.last?.next.map { "&cursor=\($0)" } ?? "")))
        } while parts.last?.next != nil && parts.count < 100
        #expect(parts.count > 2 && parts.allSatisfy { $0.entries.count == $0.names })
        #expect(parts.dropLast().allSatisfy { !$0.complete } && parts.last?.complete == true)
        let whole = try top("&limit=1000")
        #expect(whole.complete && parts.reduce(0) { $0 + $1.connections } == whole.connections)
        #expect(parts.reduce(0) { $0 + $1.bytesUp } == whole.bytesUp && whole.bytesUp > 0)
        let names = Set(parts.flatMap { $0.entries.map(\.name) })
        #expect(names.count == whole.names)
        #expect(try reads() == ["history-top by=client limit=1001", "history-top by=client limit=1000"])
    }

    @Test func `no number in a query is too great or too small to be answered`() throws {
        try fixture.makeHistory(30)
        let numbers = ["\(Int64.max)", "\(Int64.max - 1)", "\(Int64.min)", "0"]
        var addresses: [String] = []
        for path in [
            "/v1/history", "/v1/history/top", "/v1/connections", "/v1/audit", "/v1/nodes", "/v1/mappings",
        ] {
            let names = Route.all.first { $0.method == "GET" && $0.path == path }.map(\.query) ?? []
            for name in names.map(\.name) { addresses += numbers.map { "\(path)?\(name)=\($0)" } }
        }
        #expect(addresses.count > 100)
        for number in numbers {
            addresses += ["newest", "oldest"].map { "/v1/history?order=\($0)&cursor=\(number)" }
            addresses += ["\(number).0.0", "0.\(number).0", "0.0.\(number)", "\(number).\(number).\(number)"]
                .map { "/v1/history?wait=0&cursor=\($0)" }
            addresses += ["/v1/history/\(number)", "/v1/mappings/\(number)"]
        }
        // A fault would end the process.
        for address in addresses {
            #expect([200, 400, 404].contains(fixture.ask("GET", address).status), "\(address)")
        }
        #expect(try ids(page("/v1/history?order=oldest&cursor=\(Int64.max)")) == [])
        #expect(try page("/v1/history?wait=0&cursor=\(Int64.max).\(Int64.max).\(Int64.max)").entries == [])
    }

    @Test func `a reader whose reading cannot be written down gets nothing`() throws {
        try fixture.makeHistory(10)
        fixture.store.close()
        #expect(fixture.ask("GET", "/v1/history").status == 503)
    }

    @Test func `while the records cannot be written the history can be read`() throws {
        let log = fixture.store.history
        log.append([
            .route(
                ConnectionRoute(
                    id: log.newRouteID(), nodeID: HistoryRows.nodeID(0), node: "edge-01",
                    identity: [UInt8](repeating: 7, count: 16), mapping: 3, kind: .listener,
                    mappingName: nil, listen: "tcp 0.0.0.0:80", target: "tcp 127.0.0.1:80")),
            .opened(
                Opened(
                    id: log.newConnectionID(), route: 1, at: .now, monotonicMicroseconds: 1, client: .unix)),
        ])
        func wait(_ isSo: () throws -> Bool) rethrows {
            let deadline = time(nil) + 20
            while try !isSo(), time(nil) < deadline { poll(nil, 0, 2) }
            #expect(try isSo())
        }
        try wait { try ids(page("/v1/history")) == [1] }
        let before = try reads().count
        let path = "\(fixture.directory)/\(Store.fileName)"
        let other = try Database(path: path, mode: .readWrite)
        try other.run(
            script:
                "CREATE TRIGGER fault BEFORE INSERT ON closed BEGIN SELECT abs(-9223372036854775807 - 1); END"
        )
        log.append([
            .closed(
                Closed(
                    connection: 1, at: .now, durationMicroseconds: 1, up: 0, down: 0, reason: .clientEOF))
        ])
        // The first of them may be what finds it out.
        try wait {
            let seen = try ids(page("/v1/history"))
            #expect(seen == [1])
            return fixture.store.health.isFailing
        }
        #expect(try ids(page("/v1/history")) == [1])
        #expect(fixture.ask("GET", "/v1/history/1").status == 200)
        #expect(fixture.ask("GET", "/v1/history/top").status == 200)
        #expect(fixture.ask("GET", "/v1/history?wait=0").status == 200)
        try other.run(script: "DROP TRIGGER fault")
        wait { !fixture.store.health.isFailing }
        #expect(fixture.ask("GET", "/v1/history/1").text.contains("client-eof"))
        #expect(try reads().count > before)
    }

    @Test func `what is open comes with what has passed so far, and is found by it`() throws {
        let rows = try fixture.makeHistory(500)
        let open = rows.connections.filter { $0.end == nil }.map(\.id)
        try #require(open.count >= 2)
        fixture.fleet.state.withLock { $0.connections = [.sample(open[0], up: 5_000_000), .sample(open[1])] }
        #expect(try ids(page("/v1/history?open=true&order=oldest")) == [open[0], open[1]])
        #expect(try ids(page("/v1/history?minBytes=4000000")) == [open[0]])
        let one = fixture.ask("GET", "/v1/history/\(open[0])")
        #expect(try one.value("bytesUp") == 5_000_000 && one.value("bytesDown") == 20)
        let all = try page("/v1/history?limit=1000").entries.compactMap { entry -> ConnectionRecord? in
            if case .connection(let record) = entry, record.isOpen { record } else { nil }
        }
        #expect(all.first { $0.id == open[1] }?.bytesUp == 10)
        #expect(all.filter { $0.bytesUp == nil }.map(\.id).sorted() == Array(open.dropFirst(2)))
        // Without a server nothing is open, whatever the rows say.
        fixture.fleet.state.withLock {
            $0.isLive = false
            $0.connections = []
        }
        #expect(try page("/v1/history?open=true").entries == [])
    }

    @Test func `the loop is asked for what a page shows, once, and a loop that does not answer is told`()
        throws
    {
        let rows = try fixture.makeHistory(500)
        let open = rows.connections.filter { $0.end == nil }.map(\.id)
        let first = try #require(open.first)
        fixture.fleet.state.withLock { $0.connections = open.map { .sample($0) } }
        let address = "/v1/history?order=oldest&limit=1&cursor=\(first - 1)"
        #expect(try ids(page(address)) == [first])
        #expect(fixture.fleet.takeQuestions() == ["passed [\(first)]"])
        #expect(fixture.ask("GET", "/v1/history/\(first)").status == 200)
        #expect(fixture.fleet.takeQuestions() == ["passed [\(first)]"])
        _ = try page("/v1/history?open=true")
        #expect(fixture.fleet.takeQuestions() == ["passed all"])
        fixture.fleet.state.withLock { $0.isSlow = true }
        // Where it decides what is found nothing is found; where it only adds, it is unknown.
        for path in ["history?open=true", "history?at=2026-08-22T09:14:03Z", "history/top", "history/stats"] {
            #expect(fixture.ask("GET", "/v1/\(path)").errorCode == "busy", "\(path)")
        }
        let one = fixture.ask("GET", "/v1/history/\(first)")
        #expect(one.status == 200 && one.text.contains("\"bytesUp\":null"))
    }

    @Test func `a follower hears each opening and each end once, also in many at a time`() throws {
        var rows = try fixture.makeHistory(100)
        let path = "\(fixture.directory)/\(Store.fileName)"
        var cursor = try #require(try page("/v1/history?wait=0").next)
        func take() throws -> [HistoryEntry] {
            var found: [HistoryEntry] = []
            while true {
                let page = try page("/v1/history?wait=0&cursor=\(cursor)")
                cursor = try #require(page.next)
                if page.entries.isEmpty { return found }
                found += page.entries
            }
        }
        #expect(try take() == [])
        // More than one answer goes through; some end at once, some later, some not.
        rows.append(5_000)
        try rows.write(to: path)
        var heard: [Int64: [Bool]] = [:]
        func note(_ entries: [HistoryEntry]) {
            for case .connection(let record) in entries {
                heard[record.id, default: []].append(record.isOpen)
            }
        }
        note(try take())
        let new = rows.connections.suffix(5_000)
        for one in new {
            let events = try #require(heard[one.id])
            #expect(events == [true] || events == [false] || events == [true, false], "\(one.id) \(events)")
            #expect(events.last == (one.end == nil), "\(one.id)")
        }
        #expect(heard.count == 5_000)
        for place in rows.connections.indices where rows.connections[place].end == nil { rows.end(place) }
        try rows.write(to: path)
        note(try take())
        #expect(new.allSatisfy { heard[$0.id]?.last == false && heard[$0.id]!.count <= 2 })
        #expect(try take() == [])
    }

    @Test func `a follower with a filter hears only what it means`() throws {
        var rows = try fixture.makeHistory(100)
        let address = "/v1/history?wait=0&node=edge-01&result=idle,client-eof"
        let cursor = try #require(try page(address).next)
        rows.append(400)
        try rows.write(to: "\(fixture.directory)/\(Store.fileName)")
        var filter = ConnectionFilter()
        filter.node = "edge-01"
        filter.results = [.idle, .clientEOF]
        let wanted = rows.ids(filter).filter { $0 > 100 }
        #expect(try ids(page("\(address)&cursor=\(cursor)")).sorted() == wanted && wanted.count > 50)
    }

    @Test func `a wait ends at once with what comes, and with the server`() throws {
        var rows = try fixture.makeHistory(10)
        let cursor = try #require(try page("/v1/history?wait=0").next)
        let answers = Mutex<[HTTPResponse]>([])
        let fixture = fixture
        func ask() {
            Thread {
                let answer = fixture.ask("GET", "/v1/history?wait=50&cursor=\(cursor)")
                answers.withLock { $0.append(answer) }
            }.start()
        }
        func wait(_ count: Int) {
            let deadline = time(nil) + 20
            while answers.withLock({ $0.count }) < count, time(nil) < deadline { poll(nil, 0, 2) }
            #expect(answers.withLock { $0.count } == count)
        }
        ask()
        rows.append(1)
        try rows.write(to: "\(fixture.directory)/\(Store.fileName)")
        wait(1)
        #expect(answers.withLock { $0[0].text }.contains("\"id\":11,"))
        let end = try #require(try page("/v1/history?wait=0").next)
        Thread {
            let answer = fixture.ask("GET", "/v1/history?wait=50&cursor=\(end)")
            answers.withLock { $0.append(answer) }
        }.start()
        fixture.service.stop()
        wait(2)
        #expect(try answers.withLock { $0[1] }.value("next") == end)
        fixture.fleet.state.withLock { $0.isLive = false }
        #expect(fixture.ask("GET", "/v1/history?wait=1").errorCode == "not-running")
    }

    @Test func `stats are what the rows say`() throws {
        let rows = try fixture.makeHistory(700)
        let answer = fixture.ask("GET", "/v1/history/stats")
        let stats = try JSONDecoder().decode(HistoryStatsAnswer.self, from: Data(answer.body))
        let ends = rows.connections.compactMap(\.end)
        #expect(stats.connections == 700 && stats.open == 0)
        #expect(
            stats.bytesUp == ends.reduce(0) { $0 + $1.up }
                && stats.bytesDown == ends.reduce(0) { $0 + $1.down })
        #expect(stats.gaps >= rows.gapCount && stats.databaseBytes > 50_000)
        #expect(stats.rows.first { $0.table == "closed" }?.count == Int64(ends.count))
        #expect(stats.oldest?.microseconds == rows.connections.first?.at)
        #expect(stats.newest?.microseconds == rows.connections.last?.at)
    }

    @Test func `a connection is killed once, with its reason, and only what the audit has`() throws {
        fixture.fleet.state.withLock { $0.connections = [.sample(7), .sample(9)] }
        let path = "/v1/connections/7/kill"
        let answer = fixture.ask("POST", path, #"{"reason":"case 12"}"#)
        #expect(try answer.value("id") == 7 && answer.value("client") == "203.0.113.9:51514")
        #expect(fixture.fleet.takeCalls() == ["kill 7 case 12"])
        #expect(fixture.ask("POST", path, #"{"reason":"case 12"}"#).errorCode == "not-found")
        let audit = fixture.ask("GET", "/v1/audit?action=connection-kill").text
        #expect(audit.contains("connection 7 of 203.0.113.9:51514 to 127.0.0.1:80: case 12"))
        #expect(audit.contains("\"mapping\":3") && audit.contains("\"actor\":\"alice\""))
        #expect(fixture.ask("GET", "/v1/connections").text.contains("\"id\":9"))
        fixture.store.close()
        #expect(fixture.ask("POST", "/v1/connections/9/kill", #"{"reason":"r"}"#).status == 503)
        #expect(fixture.fleet.takeCalls() == [], "what the audit cannot have is not done")
        fixture.fleet.state.withLock { $0.isLive = false }
        #expect(fixture.ask("POST", path, #"{"reason":"r"}"#).errorCode == "not-running")
    }
}
