import Foundation
import Records
import Testing

struct NodeTests {
    let scratch = Scratch()

    @Test func `a node is found by name, id and unambiguous beginning`() throws {
        let store = try scratch.store()
        let one = try store.addNode("edge-07", tags: ["site": "paris"])
        try store.addNode("edge-08")
        try store.addNode("edge")
        for reference in ["edge-07", one.id, one.id.uppercased(), String(one.id.prefix(12)), "edge-07"] {
            #expect(try store.node(reference).id == one.id, "\(reference)")
        }
        #expect(try store.node("edge").name == "edge", "an exact name wins over longer ones")
        let words = refused(.ambiguous) { () throws(RecordsError) in try store.node("edge-") }
        #expect(words.contains("edge-07 (id ") && words.contains("edge-08 (id "), "\(words)")
        #expect(refused(.notFound) { () throws(RecordsError) in try store.node("") } == "no node \"\"")
        #expect(
            refused(.notFound) { () throws(RecordsError) in try store.node("x\u{1b}'") }
                == "no node \"x\\u{1b}'\"")
    }

    @Test(arguments: [
        "", "Edge", "a b", "a\n", "a\u{0}", "\u{1b}[31m", "\"quoted\"", "'; DROP TABLE nodes; --", "🦀", "ä",
        "a/b",
        "12", "5f0c0000-1111-2222-3333-444444444444", String(repeating: "a", count: 64), "a\u{301}",
        "\u{202e}a",
    ])
    func `a strange name is refused in one printable line`(name: String) throws {
        let store = try scratch.store()
        let words = refused(.invalid) { () throws(RecordsError) in try store.addNode(name) }
        #expect(
            words.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 && $0.value != 0x202e },
            "\(words)")
        #expect(words.hasPrefix("node name"))
        let node = try store.addNode("plain")
        let place = Place.tcp("127.0.0.1:0")
        _ = refused(.invalid) { () throws(RecordsError) in try store.addMapping(node, place, name: name) }
        #expect(
            try store.read { (reader) throws(RecordsError) in try reader.nodes() }.map(\.name) == ["plain"])
    }

    @Test func `tags hold any printable text`() throws {
        let store = try scratch.store()
        let tags = ["a": "'; DROP TABLE nodes; --", "b": "🦀𝄞", "c": "\"=,", "d": "", "e.f_g-1": "x"]
        let node = try store.addNode("n", tags: tags)
        #expect(try store.node("n").tags == tags)
        for (key, value) in [
            ("", "x"), ("A", "x"), ("a b", "x"), ("k", "a\u{1b}[2J"),
            ("k", String(repeating: "x", count: 256)),
        ] {
            let words = refused(.invalid) { () throws(RecordsError) in
                try store.change { (t) throws(RecordsError) in try t.tagNode(node.id, set: [key: value]) }
            }
            #expect(words.hasPrefix("tag "))
        }
        let many = Dictionary(uniqueKeysWithValues: (0..<65).map { ("k\($0)", "") })
        _ = refused(.limit) { () throws(RecordsError) in
            try store.change { (t) throws(RecordsError) in try t.tagNode(node.id, set: many) }
        }
        let after = try store.change { (t) throws(RecordsError) in
            try t.tagNode(node.id, set: ["b": "new"], remove: ["a", "none"])
        }
        #expect(after.tags == ["b": "new", "c": "\"=,", "d": "", "e.f_g-1": "x"])
        let found = try store.read { (r) throws(RecordsError) in
            [
                try r.nodes(tags: ["b": "new"]).count, try r.nodes(tags: ["b": ""]).count,
                try r.nodes(tags: ["b": "old"]).count,
            ]
        }
        #expect(found == [1, 1, 0])
    }

    @Test func `a name is taken once, and a rename frees the old one`() throws {
        let store = try scratch.store()
        let one = try store.addNode("one")
        let words = refused(.conflict) { () throws(RecordsError) in try store.addNode("one") }
        #expect(words == "node one exists already (id \(one.id))")
        try store.addNode("two")
        _ = refused(.conflict) { () throws(RecordsError) in
            try store.change { (t) throws(RecordsError) in try t.renameNode(one.id, to: "two") }
        }
        let renamed = try store.change { (t) throws(RecordsError) in try t.renameNode(one.id, to: "three") }
        #expect(renamed.id == one.id && renamed.name == "three")
        try store.addNode("one")
    }

    @Test func `every change leaves its audit row, and a refusal leaves none`() throws {
        let store = try scratch.store()
        let node = try store.addNode("n")
        let id = node.id
        _ = try store.change { (t) throws(RecordsError) in try t.renameNode(id, to: "m") }
        _ = try store.change { (t) throws(RecordsError) in try t.tagNode(id, set: ["a": "b"]) }
        _ = try store.change { (t) throws(RecordsError) in try t.setNodeState(id, .disabled) }
        _ = try store.change { (t) throws(RecordsError) in try t.setNodeState(id, .disabled) }
        _ = try store.change { (t) throws(RecordsError) in try t.setNodeState(id, .enabled) }
        _ = try store.change { (t) throws(RecordsError) in
            try t.addCredential(id, .random(), overlapSeconds: 60)
        }
        _ = refused(.invalid) { () throws(RecordsError) in try store.addNode("BAD") }
        let mapping = try store.addMapping(node, .tcp("127.0.0.1:0"))
        _ = try store.change { (t) throws(RecordsError) in try t.removeNode(id) }
        _ = try store.change { (t) throws(RecordsError) in
            try t.audit("login-refused", detail: "from 192.0.2.1")
        }
        let audit = try store.audit()
        #expect(
            audit.map(\.action) == [
                "node-add", "node-rename", "node-tag", "node-disable", "node-enable", "node-rotate",
                "mapping-add",
                "mapping-remove", "node-remove", "login-refused",
            ])
        #expect(audit.allSatisfy { $0.actor == "alice" && $0.uid == 1_000 })
        #expect(audit[1].node == "n" && audit[1].before?.contains("\"name\":\"n\"") == true)
        #expect(audit[1].after?.contains("\"name\":\"m\"") == true)
        #expect(audit[0].before == nil && audit[8].after == nil)
        #expect(audit[7].mapping == mapping.id)
        let rest = try store.read { (r) throws(RecordsError) in try r.audit(cursor: audit[4].id, limit: 2) }
        #expect(rest.map(\.action) == ["node-rotate", "mapping-add"])
        let ofNode = try store.read { (r) throws(RecordsError) in try r.audit(AuditFilter(node: id)) }
        #expect(ofNode.count == 9)
        let later = try store.read { (r) throws(RecordsError) in try r.audit(AuditFilter(since: audit[9].at))
        }
        #expect(later.last == audit[9])
        #expect(try store.read { (r) throws(RecordsError) in try r.newestAudit(limit: 1) } == [audit[9]])
    }

    @Test func `rotation with overlap keeps the old uuid until its end, without overlap ends it now`() throws
    {
        let store = try scratch.store()
        let node = try store.addNode("n")
        let list = { () throws(RecordsError) in
            try store.read { (r) throws(RecordsError) in try r.credentials(nodeID: node.id) }
        }
        let first = try list()[0]
        _ = try store.change { (t) throws(RecordsError) in
            try t.addCredential(node.id, .random(), overlapSeconds: 86_400)
        }
        let both = try list()
        #expect(both.count == 2)
        let old = try #require(both.first { $0.identity == first.identity })
        let new = try #require(both.first { $0.identity != first.identity })
        #expect(old.notAfter == new.notBefore.adding(seconds: 86_400))
        #expect(old.isValid(at: .now) && !old.isValid(at: Timestamp.now.adding(seconds: 86_401)))
        #expect(new.notAfter == nil)
        _ = try store.change { (t) throws(RecordsError) in
            try t.addCredential(node.id, .random(), overlapSeconds: 999_999)
        }
        #expect(
            try list().first { $0.identity == first.identity }?.notAfter == old.notAfter, "never prolonged")
        _ = try store.change { (t) throws(RecordsError) in
            try t.addCredential(node.id, .random(), overlapSeconds: 0)
        }
        #expect(try list().count == 1)
        #expect(try store.node("n").id == node.id)
        let other = try store.addNode("other")
        let stolen = NewCredentialRecord(
            identity: try list()[0].identity, publicKey: Array(repeating: 0, count: 32), sealedPSK: [1])
        let words = refused(.conflict) { () throws(RecordsError) in
            try store.change { (t) throws(RecordsError) in
                try t.addCredential(other.id, stolen, overlapSeconds: 0)
            }
        }
        #expect(words == "this uuid is that of node n")
        #expect(try store.change { (t) throws(RecordsError) in try t.endCredentials(node.id) } == 1)
        #expect(try list().isEmpty)
    }

    @Test func `JSON has every key, null where there is no value, and times of RFC 3339`() throws {
        let store = try scratch.store()
        let node = try store.addNode("n")
        let mapping = try store.addMapping(node, .tcp("127.0.0.1:0"), name: "web")
        let text = String(decoding: try JSONEncoder().encode(try store.node("n")), as: UTF8.self)
        for part in [
            "\"lastSeen\":null", "\"os\":null", "\"tags\":{}", "\"mappings\":1", "\"state\":\"enabled\"",
            "\"online\":false",
        ] {
            #expect(text.contains(part), "\(part) in \(text)")
        }
        #expect(!text.contains("PSK") && !text.contains("identity"))
        let back = try JSONDecoder().decode(NodeRecord.self, from: Data(text.utf8))
        #expect(try back == store.node("n"))
        let mappingText = String(decoding: try JSONEncoder().encode(mapping), as: UTF8.self)
        for part in [
            "\"appliedRevision\":null", "\"listen\":{", "\"addr\":\"127.0.0.1:0\"", "\"state\":\"pending\"",
            "\"node\":\"n\"",
        ] {
            #expect(mappingText.contains(part), "\(part) in \(mappingText)")
        }
    }

    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2026-08-22T09:14:03.123456Z", 1_787_390_043_123_456),
        ("2026-08-22T11:14:03.1234569+02:00", 1_787_390_043_123_456), ("1969-12-31T23:59:59.5Z", -500_000),
        ("2024-02-29T00:00:00-00:30", 1_709_166_600_000_000),
    ])
    func `times are read`(text: String, microseconds: Int64) {
        #expect(Timestamp(text)?.microseconds == microseconds)
        #expect(Timestamp(Timestamp(microseconds: microseconds).description)?.microseconds == microseconds)
    }

    @Test(arguments: [
        "", "2026", "2026-08-22", "2026-08-22T09:14:03", "2026-13-22T09:14:03Z", "2026-02-30T09:14:03Z",
        "2026-08-22T24:14:03Z", "2026-08-22T09:14:03.Z", "2026-08-22T09:14:03Zz", "2026-08-22T09:14:03+0200",
        "２０２６-08-22T09:14:03Z", "2026-08-22T09:14:0xZ",
    ])
    func `what is no time is refused`(text: String) {
        #expect(Timestamp(text) == nil)
    }
}
