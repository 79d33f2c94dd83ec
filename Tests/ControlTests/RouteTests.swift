import Control
import Foundation
import HTTP
import JSON
import Records
import Support
import Testing

struct RouteTests {
    private typealias Step = (method: String, path: String, address: String, body: String, status: Int)

    /// Each route once, in an order in which all succeed.
    private static let steps: [Step] = [
        ("POST", "/v1/nodes", "/v1/nodes", #"{"name":"edge-07","tags":{"site":"paris"}}"#, 201),
        ("GET", "/v1/nodes", "/v1/nodes?tag=site=paris&state=enabled", "", 200),
        ("GET", "/v1/nodes/{node}", "/v1/nodes/edge", "", 200),
        (
            "PATCH", "/v1/nodes/{node}", "/v1/nodes/edge-07",
            #"{"name":"edge-7","tags":{"rack":"3"},"removeTags":["site"]}"#, 200
        ),
        ("POST", "/v1/nodes/{node}/disable", "/v1/nodes/edge-7/disable", "", 200),
        ("POST", "/v1/nodes/{node}/enable", "/v1/nodes/edge-7/enable", "", 200),
        ("POST", "/v1/nodes/{node}/rotate", "/v1/nodes/edge-7/rotate", #"{"overlapSeconds":60}"#, 200),
        (
            "POST", "/v1/mappings", "/v1/mappings",
            """
            {"node":"edge-7","kind":"listener","name":"rdp","listen":{"domain":"tcp","addr":"0.0.0.0:1"},
            "forward":{"addr":"127.0.0.1:3389"}}
            """, 201
        ),
        ("GET", "/v1/mappings", "/v1/mappings?node=edge-7&kind=listener", "", 200),
        ("GET", "/v1/mappings/{mapping}", "/v1/mappings/edge-7%2Frdp?kind=listener", "", 200),
        ("PATCH", "/v1/mappings/{mapping}", "/v1/mappings/1", #"{"forward":{"addr":"127.0.0.1:3390"}}"#, 200),
        ("POST", "/v1/mappings/{mapping}/disable", "/v1/mappings/rdp/disable", "", 200),
        ("GET", "/v1/mappings/{mapping}/wait", "/v1/mappings/1/wait?timeout=1", "", 200),
        ("POST", "/v1/mappings/{mapping}/enable", "/v1/mappings/1/enable", "", 200),
        ("DELETE", "/v1/mappings/{mapping}", "/v1/mappings/1", "", 200),
        ("GET", "/v1/status", "/v1/status", "", 200),
        ("DELETE", "/v1/nodes/{node}", "/v1/nodes/edge-7", "", 200),
        (
            "GET", "/v1/history",
            "/v1/history?since=2020-01-01T00:00:00Z&node=edge-01&client=203.0.0.0%2F16&minBytes=1&order=oldest",
            "",
            200
        ),
        ("GET", "/v1/history/top", "/v1/history/top?by=listener&open=false&limit=3", "", 200),
        ("GET", "/v1/history/stats", "/v1/history/stats", "", 200),
        ("GET", "/v1/history/{connection}", "/v1/history/7", "", 200),
        ("GET", "/v1/connections", "/v1/connections?listener=web", "", 200),
        (
            "POST", "/v1/connections/{connection}/kill", "/v1/connections/7/kill", #"{"reason":"asked to"}"#,
            200
        ),
        ("GET", "/v1/audit", "/v1/audit?since=2020-01-01T00:00:00Z&limit=1000", "", 200),
        ("GET", "/v1/audit/{entry}", "/v1/audit/1", "", 200),
        ("GET", "/v1/openapi.json", "/v1/openapi.json", "", 200),
        ("POST", "/v1/holds", "/v1/holds", #"{"since":"2026-08-01T00:00:00Z","reason":"case 4711"}"#, 201),
        ("GET", "/v1/holds", "/v1/holds?released=true", "", 200),
        ("POST", "/v1/history/prune", "/v1/history/prune", #"{"before":"2020-01-01T00:00:00Z"}"#, 200),
        ("POST", "/v1/holds/{hold}/release", "/v1/holds/1/release", "", 200),
        ("POST", "/v1/backups", "/v1/backups", #"{"file":"/backup/a.db","bytes":4096}"#, 201),
        ("POST", "/v1/seal-key/exports", "/v1/seal-key/exports", #"{"file":"/media/stick/a.key"}"#, 201),
    ]

    @Test(arguments: [false, true])
    func `every route answers as the document says`(throughSocket: Bool) throws {
        let fixture = try ControlFixture()
        try fixture.makeHistory(300)
        fixture.fleet.state.withLock { $0.connections = [.sample(7)] }
        let schema = try JSONSchema(document: fixture.ask("GET", "/v1/openapi.json").body)
        let socket = fixture.directory + "/control.sock"
        let server = try HTTPServer(unixSocket: socket) { [service = fixture.service] in service.handle($0) }
        defer { server.stop() }
        #expect(Self.steps.count == Route.all.count)
        for (method, path, address, body, status) in Self.steps {
            let answer =
                throughSocket
                ? try curl(socket, method, address, body) : fixture.ask(method, address, body)
            #expect(answer.status == status, "\(method) \(address): \(answer.text)")
            let faults = schema.faults(in: answer.body, schema.answer(method, path, status: status))
            if path != "/v1/openapi.json" { #expect(faults == [], "\(method) \(address)") }
        }
    }

    /// Anyone can use the socket with curl.
    private func curl(_ socket: String, _ method: String, _ address: String, _ body: String) throws
        -> HTTPResponse
    {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments =
            [
                "curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}", "--unix-socket", socket, "-X",
                method,
                "http://localhost\(address)",
            ] + (body.isEmpty ? [] : ["-d", body])
        process.standardOutput = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let text = String(decoding: data, as: UTF8.self)
        let end = text.lastIndex(of: "\n") ?? text.startIndex
        return HTTPResponse(
            status: Int(text[end...].dropFirst()) ?? 0, body: Array(text[..<end].utf8))
    }

    private static let bad: [(method: String, address: String, body: String, status: Int, code: String)] = [
        ("GET", "/v1/nothing", "", 404, "no-such-path"),
        ("GET", "/v2/nodes", "", 404, "no-such-path"),
        ("GET", "/v1/nodes/a/b/c", "", 404, "no-such-path"),
        ("PUT", "/v1/nodes", "", 405, "no-such-method"),
        ("GET", "/v1/nodes?stat=enabled", "", 400, "invalid"),
        ("GET", "/v1/nodes?state=sleepy", "", 400, "invalid"),
        ("GET", "/v1/nodes/'; drop table nodes; --", "", 404, "not-found"),
        ("POST", "/v1/nodes", "", 400, "invalid"),
        ("POST", "/v1/nodes", "{", 400, "invalid"),
        ("POST", "/v1/nodes", "[]", 400, "invalid"),
        ("POST", "/v1/nodes", "7", 400, "invalid"),
        ("POST", "/v1/nodes", #"{"name":7}"#, 400, "invalid"),
        ("POST", "/v1/nodes", #"{"name":"a","nmae":"b"}"#, 400, "invalid"),
        ("POST", "/v1/nodes", #"{"name":"a","tags":{"k":7}}"#, 400, "invalid"),
        ("POST", "/v1/nodes", #"{"name":"a","tags":["k"]}"#, 400, "invalid"),
        ("POST", "/v1/nodes", #"{"name":""}"#, 400, "invalid"),
        ("POST", "/v1/nodes", #"{"name":"Edge 07"}"#, 400, "invalid"),
        ("POST", "/v1/nodes", #"{"name":"a\u0000b"}"#, 400, "invalid"),
        ("POST", "/v1/nodes", #"{"name":"\u001b[31m"}"#, 400, "invalid"),
        ("POST", "/v1/nodes", #"{"name":"𝕳"}"#, 400, "invalid"),
        ("POST", "/v1/nodes", #"{"name":"'; drop table nodes; --"}"#, 400, "invalid"),
        ("POST", "/v1/nodes", #"{"name":"known-a"}"#, 409, "conflict"),
        ("PATCH", "/v1/nodes/known-a", #"{"name":"known-b"}"#, 409, "conflict"),
        ("PATCH", "/v1/nodes/known-a", #"{"tags":{"k\n":"v"}}"#, 400, "invalid"),
        ("PATCH", "/v1/nodes/known-a", #"{"removeTags":"k"}"#, 400, "invalid"),
        ("GET", "/v1/nodes/known", "", 409, "ambiguous"),
        ("DELETE", "/v1/nodes/known", "", 409, "ambiguous"),
        ("POST", "/v1/nodes/nobody/disable", "", 404, "not-found"),
        ("POST", "/v1/nodes/known-a/rotate", #"{"overlapSeconds":-1}"#, 400, "invalid"),
        ("POST", "/v1/nodes/known-a/rotate", #"{"overlapSeconds":1e30}"#, 400, "invalid"),
        ("POST", "/v1/nodes/known-a/rotate", #"{"overlapSeconds":"1"}"#, 400, "invalid"),
        ("GET", "/v1/mappings?node=nobody", "", 404, "not-found"),
        ("GET", "/v1/mappings?kind=both", "", 400, "invalid"),
        ("GET", "/v1/mappings/99", "", 404, "not-found"),
        ("GET", "/v1/mappings/1?kind=peer-listener", "", 404, "not-found"),
        ("GET", "/v1/mappings/99999999999999999999", "", 404, "not-found"),
        ("GET", "/v1/mappings/1/wait?timeout=61", "", 400, "invalid"),
        ("GET", "/v1/mappings/1/wait?revision=x", "", 400, "invalid"),
        ("PATCH", "/v1/mappings/1", #"{"listen":{"domain":"udp","addr":"127.0.0.1:1"}}"#, 400, "invalid"),
        ("PATCH", "/v1/mappings/1", #"{"listen":{"addr":"nonsense"}}"#, 400, "invalid"),
        ("PATCH", "/v1/mappings/1", #"{"listen":{"addr":"127.0.0.1:99999"}}"#, 400, "invalid"),
        ("PATCH", "/v1/mappings/1", #"{"forward":{"addr":"127.0.0.1:0"}}"#, 400, "invalid"),
        ("PATCH", "/v1/mappings/1", #"{"listen":{}}"#, 400, "invalid"),
        ("PATCH", "/v1/mappings/1", #"{"listen":{"addr":"a:1","port":1}}"#, 400, "invalid"),
        (
            "POST", "/v1/mappings",
            #"{"node":"known-a","kind":"both","listen":{"addr":"a:1"},"forward":{"addr":"a:1"}}"#, 400,
            "invalid"
        ),
        (
            "POST", "/v1/mappings",
            #"{"node":"nobody","kind":"listener","listen":{"addr":"a:1"},"forward":{"addr":"a:1"}}"#, 404,
            "not-found"
        ),
        (
            "POST", "/v1/mappings",
            #"{"node":"known-b","kind":"listener","listen":{"addr":":5000"},"forward":{"addr":"a:1"}}"#, 409,
            "conflict"
        ),
        ("DELETE", "/v1/mappings/no%2Fsuch", "", 404, "not-found"),
        ("POST", "/v1/history/prune", #"{"before":"yesterday"}"#, 400, "invalid"),
        ("POST", "/v1/history/prune", #"{"before":"2999-01-01T00:00:00Z"}"#, 400, "invalid"),
        ("POST", "/v1/history/prune", "{}", 400, "invalid"),
        ("POST", "/v1/holds", #"{"since":"2026-08-01T00:00:00Z","reason":""}"#, 400, "invalid"),
        ("POST", "/v1/holds", #"{"since":"2026-08-01T00:00:00Z","reason":"a\nb"}"#, 400, "invalid"),
        ("POST", "/v1/holds", #"{"since":"soon","reason":"a"}"#, 400, "invalid"),
        ("GET", "/v1/holds?released=maybe", "", 400, "invalid"),
        ("POST", "/v1/holds/7/release", "", 404, "not-found"),
        ("POST", "/v1/holds/x/release", "", 404, "not-found"),
        ("POST", "/v1/backups", #"{"file":"","bytes":1}"#, 400, "invalid"),
        ("POST", "/v1/backups", #"{"file":"/a","bytes":-1}"#, 400, "invalid"),
        ("GET", "/v1/audit?since=yesterday", "", 400, "invalid"),
        ("GET", "/v1/audit?until=2026", "", 400, "invalid"),
        ("GET", "/v1/audit?node=nobody", "", 404, "not-found"),
        ("GET", "/v1/history?since=yesterday", "", 400, "invalid"),
        ("GET", "/v1/history?until=1", "", 400, "invalid"),
        ("GET", "/v1/history?at=2026-13-01T00:00:00Z", "", 400, "invalid"),
        ("GET", "/v1/history?node=nobody", "", 404, "not-found"),
        ("GET", "/v1/history?listener=nothing", "", 404, "not-found"),
        ("GET", "/v1/history?client=10.0.0.0%2F33", "", 400, "invalid"),
        ("GET", "/v1/history?client=%1b[31m", "", 400, "invalid"),
        ("GET", "/v1/history?result=idle,bored", "", 400, "invalid"),
        ("GET", "/v1/history?result=", "", 400, "invalid"),
        ("GET", "/v1/history?minBytes=-1", "", 400, "invalid"),
        ("GET", "/v1/history?minBytes=1MB", "", 400, "invalid"),
        ("GET", "/v1/history?open=yes", "", 400, "invalid"),
        ("GET", "/v1/history?limit=1001", "", 400, "invalid"),
        ("GET", "/v1/history?cursor=x", "", 400, "invalid"),
        ("GET", "/v1/history?cursor=-1", "", 400, "invalid"),
        ("GET", "/v1/history?order=sideways", "", 400, "invalid"),
        ("GET", "/v1/history?wait=51", "", 400, "invalid"),
        ("GET", "/v1/history?wait=0&cursor=-12", "", 400, "invalid"),
        ("GET", "/v1/history?since=2026-08-22T09:14:03Z&until=2026-08-22T09:14:03Z", "", 400, "invalid"),
        ("GET", "/v1/audit?action=node-ad", "", 400, "invalid"),
        ("GET", "/v1/audit/99999", "", 404, "not-found"),
        ("GET", "/v1/audit/x", "", 400, "invalid"),
        ("GET", "/v1/history?wait=0&cursor=1.2.x", "", 400, "invalid"),
        ("GET", "/v1/history?wait=0&at=2026-08-22T09:14:03Z", "", 400, "invalid"),
        ("GET", "/v1/history?offset=10", "", 400, "invalid"),
        ("GET", "/v1/history/top?by=shoe", "", 400, "invalid"),
        ("GET", "/v1/history/top?sort=name", "", 400, "invalid"),
        ("GET", "/v1/history/99", "", 404, "not-found"),
        ("GET", "/v1/history/x", "", 400, "invalid"),
        ("GET", "/v1/history/0", "", 400, "invalid"),
        ("GET", "/v1/connections?node=nobody", "", 404, "not-found"),
        ("POST", "/v1/connections/7/kill", "", 400, "invalid"),
        ("POST", "/v1/connections/7/kill", #"{"reason":" "}"#, 400, "invalid"),
        ("POST", "/v1/connections/7/kill", #"{"reason":7}"#, 400, "invalid"),
        ("POST", "/v1/connections/x/kill", #"{"reason":"r"}"#, 400, "invalid"),
        ("POST", "/v1/connections/7/kill", #"{"reason":"r"}"#, 404, "not-found"),
        ("GET", "/v1/audit?limit=0", "", 400, "invalid"),
        ("GET", "/v1/audit?cursor=-1", "", 400, "invalid"),
    ]

    @Test func `bad requests are refused with a code and a sentence, and change nothing`() throws {
        let fixture = try ControlFixture()
        try fixture.add("known-a")
        try fixture.add("known-b")
        try fixture.addMapping("known-a", listen: "0.0.0.0:5000", name: "web")
        let schema = try JSONSchema(document: fixture.ask("GET", "/v1/openapi.json").body)
        _ = fixture.fleet.takeCalls()
        let before = fixture.ask("GET", "/v1/nodes").text + fixture.ask("GET", "/v1/mappings").text
        for (method, address, body, status, code) in Self.bad {
            let answer = fixture.ask(method, address, body)
            #expect(
                answer.status == status && answer.errorCode == code,
                "\(method) \(address) \(body): \(answer.text)")
            #expect(schema.faults(in: answer.body, schema.error("GET", "/v1/nodes")) == [])
            let isPlain = answer.text.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 }
            #expect(isPlain, "\(method) \(address)")
        }
        #expect(fixture.ask("GET", "/v1/nodes").text + fixture.ask("GET", "/v1/mappings").text == before)
        #expect(fixture.fleet.takeCalls() == [], "nothing was changed")
    }

    @Test func `a body nested without end is refused`() throws {
        let fixture = try ControlFixture()
        // Closed again, so that nothing but its depth can be wrong with it: at 8 levels it is read, and told what it is.
        for (open, inner, close) in [("[", "1", "]"), (#"{"name":"#, "1", "}")] {
            let body = { (depth: Int) in
                String(repeating: open, count: depth) + inner + String(repeating: close, count: depth)
            }
            let shallow = fixture.ask("POST", "/v1/nodes", body(8))
            #expect(shallow.status == 400 && shallow.text.contains("must be a"), "\(shallow.text)")
            for depth in [1_000, 30_000, 1_000_000] {
                let deep = fixture.ask("POST", "/v1/nodes", body(depth))
                #expect(deep.status == 400 && !deep.text.contains("must be a"), "\(depth): \(deep.text)")
            }
        }
        #expect(fixture.ask("GET", "/v1/nodes").text == "[]")
    }

    @Test func `what a terminal would obey stands in answers as its number, and means the same`() throws {
        let fixture = try ControlFixture()
        let evil = "\u{9b}31m\u{7f}\u{202e}\u{2066}\u{2028}\u{ad}\u{e000}\u{1F600}é"
        let answer = fixture.ask("GET", "/v1/nodes/\(evil.utf8.map { "%" + String($0, radix: 16) }.joined())")
        let error = try JSONSerialization.jsonObject(with: Data(answer.body))
        #expect("\(error)".contains("31m"))
        let text = jsonText(["a": evil])
        #expect(
            String(decoding: text, as: UTF8.self)
                == #"{"a":"\u009b31m\u007f\u202e\u2066\u2028\u00ad\ue000😀é"}"#)
        #expect(try JSONDecoder().decode([String: String].self, from: Data(text)) == ["a": evil])
        #expect(try JSONValue(text) == ["a": .string(evil)])
    }

    @Test func `a body that no request needs is refused for what it is`() throws {
        let fixture = try ControlFixture()
        let marks = "a" + String(repeating: "\u{316}\u{301}", count: 100_000)
        let took = ContinuousClock().measure {
            for (body, why) in [
                (#"{"\#(marks)":1}"#, "a key of more than 64 bytes"),
                (#"{"name":"\#(marks)"}"#, "a text longer"),
                (#"{"é":1}"#, "a key that is not ASCII"), (#"{"name":"a","name":"b"}"#, "a key twice"),
                (String(repeating: "[", count: 100), "nested deeper"),
                ("[" + String(repeating: "1,", count: 20_000) + "1]", "more values"),
            ] {
                let answer = fixture.ask("POST", "/v1/nodes", body)
                #expect(answer.status == 400 && answer.text.contains(why), "\(answer.text)")
            }
        }
        #expect(took < .seconds(10), "\(took)")
        #expect(fixture.ask("GET", "/v1/nodes").names == [])
    }

    @Test func `an ambiguous name lists the candidates`() throws {
        let fixture = try ControlFixture()
        for name in ["edge-1", "edge-2", "other"] { try fixture.add(name) }
        let answer = fixture.ask("GET", "/v1/nodes/edge")
        #expect(
            answer.text.contains("edge-1") && answer.text.contains("edge-2") && !answer.text.contains("other")
        )
        #expect(fixture.ask("GET", "/v1/nodes/oth").status == 200)
    }
}
