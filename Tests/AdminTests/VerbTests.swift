import Admin
import Control
import Foundation
import Records
import Support
import Testing

struct VerbTests {
    /// Every verb once, with the schema of its JSON, in an order in which all succeed.
    private static let lines: [(line: String, schema: String?, isList: Bool)] = [
        ("node add edge-07 --tag site=paris --tag rack=3", "NodeWithUUID", false),
        ("node list --tag site=paris --state enabled", "Node", true),
        ("node show edge", "Node", false),
        ("node rename edge-07 edge-7", "Node", false),
        ("node tag edge-7 site=london --remove rack", "Node", false),
        ("node disable edge-7 --force", "ChangedNode", false),
        ("node enable edge-7", "ChangedNode", false),
        ("node rotate edge-7 --overlap 24h", "NodeWithUUID", false),
        ("listener add edge-7 --name rdp --listen 0.0.0.0:13389 --forward 127.0.0.1:3389", "Mapping", false),
        ("listener list --node edge-7", "Mapping", true),
        ("listener list --kind peer-listener", "Mapping", true),
        ("listener show edge-7/rdp", "Mapping", false),
        ("listener set rdp --forward 127.0.0.1:3390 --name desktop", "Mapping", false),
        ("listener disable 1 --wait --timeout 5s", "WaitedMapping", false),
        ("listener enable desk", "Mapping", false),
        ("listener remove 1 --force", "Mapping", false),
        (
            "peer-listener add edge-7 --listen tcp4:127.0.0.1:1080 --forward unix:/run/x.sock", "Mapping",
            false
        ),
        ("peer-listener list", "Mapping", true),
        ("peer-listener show 2", "Mapping", false),
        ("peer-listener set 2 --name socks", "Mapping", false),
        ("peer-listener disable socks", "Mapping", false),
        ("peer-listener enable socks", "Mapping", false),
        ("peer-listener remove socks --force", "Mapping", false),
        ("status", "Status", false),
        ("audit --since 1h", "AuditEntry", true),
        ("audit --limit 3", "AuditEntry", true),
        ("audit show 1", "AuditEntry", false),
        ("version", nil, false),
        ("hold add --since 30d --reason case-4711", "Hold", false),
        ("hold list --released", "Hold", true),
        ("history prune --before 400d --force", "Pruned", false),
        ("hold release 1 --force", "Hold", false),
        ("audit verify", nil, false),
        ("doctor", nil, false),
        ("node remove edge-7 --force", "ChangedNode", false),
        ("node list", "Node", true),
    ]

    @Test(arguments: [false, true])
    func `every verb prints its schema's JSON, beside a server and alone`(hasServer: Bool) throws {
        let fixture = try AdminFixture(hasServer: hasServer)
        let schema = try fixture.schema
        for (line, name, isList) in Self.lines {
            let outcome = fixture.run(line + " -o json")
            expectDone(outcome, line, hasServer)
            guard let name else { continue }
            let one: [String: Any] = ["$ref": "#/components/schemas/\(name)"]
            let wanted: [String: Any] = isList ? ["type": "array", "items": one] : one
            #expect(schema.faults(in: Array(outcome.output.utf8), wanted) == [], "\(line)")
        }
        let tested = Set(Self.lines.map { $0.line.split(separator: " ").prefix(2).joined(separator: " ") })
        // Backups, the key's export, and what reads the history, have tests of their own.
        let others = Verb.all.filter {
            !["completion", "backup", "restore", "export"].contains($0.name)
                && !HistoryCommandTests.verbs.contains($0.words)
        }
        for verb in others {
            #expect(tested.contains { $0 == verb.words || $0.hasPrefix(verb.words + " ") }, "\(verb.words)")
        }
    }

    @Test(arguments: [false, true])
    func `every verb prints something for people`(hasServer: Bool) throws {
        let fixture = try AdminFixture(hasServer: hasServer)
        for (line, _, _) in Self.lines {
            let outcome = fixture.run(line)
            expectDone(outcome, line, hasServer)
            #expect(outcome.output.hasSuffix("\n") && !outcome.output.contains("Optional("), "\(line)")
        }
    }

    /// A server that is down is what `status` and `doctor` are there to tell.
    private func expectDone(_ outcome: AdminFixture.Outcome, _ line: String, _ hasServer: Bool) {
        if !hasServer, line == "status" || line == "doctor" {
            #expect(outcome.status == 1 && outcome.error.contains("server"), "\(line): \(outcome.error)")
        } else {
            #expect(outcome.status == 0 && outcome.error.isEmpty, "\(line): \(outcome.error)")
        }
    }

    @Test func `what is written alone is there when the server runs, and the other way round`() throws {
        let fixture = try AdminFixture(hasServer: false)
        #expect(fixture.run("node add one").status == 0)
        try fixture.start()
        #expect(fixture.run("node add two").status == 0)
        fixture.stop()
        let outcome = fixture.run("node list -o jsonl")
        #expect(outcome.output.split(separator: "\n").count == 2)
        #expect(outcome.output.contains(#""name":"one""#) && outcome.output.contains(#""name":"two""#))
    }

    @Test func `an empty list is an array in json, and nothing in jsonl`() throws {
        let fixture = try AdminFixture(hasServer: true)
        for verb in ["node list", "listener list", "peer-listener list", "audit"] {
            #expect(fixture.run("\(verb) -o json").output == "[]\n")
            #expect(fixture.run("\(verb) -o jsonl").output == "")
        }
    }

    @Test func `a uuid is shown once and works with this server's key`() throws {
        let fixture = try AdminFixture(hasServer: true)
        let outcome = fixture.run("node add edge --host vpn.example.com --port 9250")
        let uuid = try #require(outcome.output.firstMatch(of: /-uuid (gp1_[a-z2-7]{77})/)).output.1
        #expect(outcome.output.contains("goproxy-node -host vpn.example.com -port 9250 -uuid "))
        for line in ["node list", "node show edge", "audit"] {
            for form in ["table", "json"] {
                #expect(!fixture.run("\(line) -o \(form)").output.contains(uuid))
            }
        }
        // Neither the database nor its log holds it, in the clear.
        for file in ["goproxy.db", "goproxy.db-wal"] {
            let data = (try? Data(contentsOf: URL(filePath: "\(fixture.directory)/\(file)"))) ?? Data()
            #expect(data.range(of: Data(uuid.utf8)) == nil)
        }
    }

    @Test func `wait returns when it is applied, with the address, or failed, with the words`() throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = fixture.run("node add edge")
        let good = fixture.run("listener add edge --listen 127.0.0.1:0 --forward 127.0.0.1:80 --wait")
        #expect(good.status == 0 && good.output.contains("active, bound to 127.0.0.1:41234"), "\(good)")
        let bad = fixture.run(
            "peer-listener add edge --listen 127.0.0.1:5 --forward 127.0.0.1:80 --wait -o json")
        #expect(bad.status == 1 && bad.errorCode == "not-applied")
        #expect(bad.output.contains(#""state": "failed""#) && bad.error.contains("address already in use"))
        fixture.fleet.applies.store(false, ordering: .relaxed)
        let late = fixture.run("listener set 1 --listen 127.0.0.1:6 --wait --timeout 1s -o json")
        #expect(late.status == 1 && late.errorCode == "node-away")
        #expect(late.output.contains(#""timedOut": true"#))
    }

    @Test func `wait without a server says that it is recorded`() throws {
        let fixture = try AdminFixture(hasServer: false)
        _ = fixture.run("node add edge")
        let outcome = fixture.run(
            "listener add edge --listen 127.0.0.1:0 --forward 127.0.0.1:80 --wait -o json")
        #expect(outcome.status == 1 && outcome.errorCode == "not-running")
        #expect(outcome.output.contains(#""id": 1"#), "the id of what was recorded")
    }

    @Test func `a pasted mapping is taken wherever flags describe one`() throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = fixture.run("node add edge")
        let json =
            #"{"Listen":{"Domain":"tcp","Addr":"127.0.0.1:1"},"Forward":{"Domain":"unix","Addr":"/run/x"}}"#
        let outcome = fixture.run(["listener", "add", "edge", "--json", json])
        #expect(outcome.status == 0 && outcome.output.contains("tcp 127.0.0.1:1 to unix /run/x"))
        let changed = fixture.run(["listener", "set", "1", "--json=" + json.replacing(":1\"", with: ":2\"")])
        #expect(changed.status == 0 && changed.output.contains("127.0.0.1:2"))
        #expect(fixture.run(["listener", "set", "1", "--json", "{}"]).status == 2)
        #expect(fixture.run(["listener", "set", "1", "--json", json, "--listen", "a:1"]).status == 2)
    }

    @Test func `the audit is whole, however many pages it has`() throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = fixture.run("node add edge")
        let store = try #require(fixture.fleet.store.withLock { $0 })
        try store.write(actor: .server) { (transaction) throws(RecordsError) in
            let id = try transaction.reader.node("edge").id
            for number in 0..<1_100 { _ = try transaction.tagNode(id, set: ["t": "\(number)"]) }
        }
        #expect(fixture.run("audit --since 1h -o jsonl").output.split(separator: "\n").count == 1_101)
        #expect(
            fixture.run("audit --since 1h --limit 1050 -o jsonl").output.split(separator: "\n").count == 1_050
        )
        #expect(fixture.run("audit -o jsonl").output.split(separator: "\n").count == 100)
    }
}
