import Foundation
import Support
import Testing

/// What nobody should send to the control socket, and what comes of it.
@Suite(.light)
struct BadInputTests {
    /// Texts that have broken other programs.
    private static let evil = [
        "", " ", "a b", "UPPER", "'", "\"", "\\", "a'; drop table nodes; --", "a\"; DROP TABLE mappings; --",
        "Robert'); DELETE FROM nodes;--", "a\nb", "a\r\nHost: b", "a\tb", "a\u{0}b", "a\u{1b}[31mb",
        "a\u{7f}b",
        "\u{1F600}", "é", "e\u{301}", "\u{202e}abc", "\u{feff}a", "..", "../../etc/passwd", "a/b", "%00",
        "%2e%2e",
        "%s%n%x", "${PATH}", "$(id)", "`id`", "-", "--force", "=1+1", "@a", "null", "1", "4294967296", "-1",
        "00000000-0000-0000-0000-000000000000", String(repeating: "a", count: 64),
        String(repeating: "\u{1F600}", count: 16), String(repeating: "x", count: 100_000),
    ]

    @Test func `names that are not names are refused with one clear sentence`() throws {
        try withFleet { fleet in
            let id = try fleet.admin("node", "add", "edge-07").text("id")
            let mapping = try fleet.add(.listener, of: "edge-07", name: "rdp", forward: .tcp("127.0.0.1:9"))
                .integer("id")
            let before = try (fleet.nodes(), fleet.mappings(), fleet.audit())
            var refused = 0
            for text in Self.evil {
                // A word may name a mapping or a tag, unless it looks like an id not a node either.
                let isWord = text.allSatisfy { "abcdefghijklmnopqrstuvwxyz0123456789._-".contains($0) }
                let isID =
                    text.contains { $0.isNumber } && text.allSatisfy { "0123456789-".contains($0) }
                    && text != "-1"
                if isWord, !isID, (1...63).contains(text.utf8.count) || text.isEmpty { continue }
                let name = JSON.quoted(text)
                let place = #"{"addr":"127.0.0.1:0"}"#
                var requests = [
                    ("POST", "/v1/nodes", #"{"name":\#(name)}"#),
                    ("PATCH", "/v1/nodes/\(id)", #"{"name":\#(name)}"#),
                    ("PATCH", "/v1/nodes/edge-07", #"{"tags":{\#(name):"v"}}"#),
                    (
                        "POST", "/v1/mappings",
                        """
                        {"node":"edge-07","kind":"listener","name":\(name),
                         "listen":\(place),"forward":{"addr":"127.0.0.1:9"}}
                        """
                    ),
                    (
                        "POST", "/v1/mappings",
                        #"{"node":"edge-07","kind":\#(name),"listen":\#(place),"forward":{"addr":"127.0.0.1:9"}}"#
                    ),
                    (
                        "PATCH", "/v1/mappings/\(mapping)",
                        #"{"listen":{"domain":\#(name),"addr":"127.0.0.1:0"}}"#
                    ),
                    ("PATCH", "/v1/mappings/\(mapping)", #"{"forward":{"addr":\#(name)}}"#),
                    ("GET", "/v1/nodes?state=\(text.escaped)", ""),
                    ("GET", "/v1/mappings?kind=\(text.escaped)", ""),
                ]
                // The library answers for addresses of more than 32 KiB, in HTML.
                if text.utf8.count > 10_000 { requests.removeLast(2) }
                for (method, path, body) in isID ? requests[..<2] : requests[...] {
                    let answer = try fleet.control.send(method, path, Array(body.utf8))
                    try requireRefusal(answer, "\(method) \(path.prefix(80)) \(body.prefix(200))")
                    refused += 1
                }
            }
            #expect(refused > 200, "\(refused)")
            let after = try (fleet.nodes(), fleet.mappings(), fleet.audit())
            #expect(after == before)
            try requireHealth(fleet)
        }
    }

    @Test func `places that are not there answer 404, whatever they are called`() throws {
        try withFleet { fleet in
            // A beginning of the id is a name of the node too.
            let id = try fleet.admin("node", "add", "edge-07").text("id")
            for text in Self.evil where !text.isEmpty && text.utf8.count < 10_000 && !id.hasPrefix(text) {
                for (method, path) in [
                    ("GET", "/v1/nodes/\(text.escaped)"), ("DELETE", "/v1/nodes/\(text.escaped)"),
                    ("POST", "/v1/nodes/\(text.escaped)/disable"), ("GET", "/v1/mappings/\(text.escaped)"),
                    ("DELETE", "/v1/mappings/\(text.escaped)"), ("GET", "/v1/mappings?node=\(text.escaped)"),
                    ("GET", "/\(text.escaped)"), ("GET", "/v1/mappings/\(text.escaped)/wait"),
                ] {
                    let answer = try fleet.control.send(method, path)
                    #expect([400, 404].contains(answer.status), "\(method) \(path): \(answer)")
                    try requireRefusal(answer, "\(method) \(path)")
                }
            }
            #expect(try fleet.nodes().count == 1)
            try requireHealth(fleet)
        }
    }

    @Test func `values of tags may be anything that prints, and come back as they went`() throws {
        try withFleet { fleet in
            let id = try fleet.admin("node", "add", "edge-07").text("id")
            for text in Self.evil where text.utf8.count < 256 {
                let body = #"{"tags":{"k":\#(JSON.quoted(text))}}"#
                let answer = try fleet.control.send("PATCH", "/v1/nodes/\(id)", Array(body.utf8))
                if text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
                    try requireRefusal(answer, body)
                } else {
                    #expect(answer.status == 200, "\(answer)")
                    #expect(try fleet.node("edge-07")["tags"]["k"] == .text(text))
                    let found = try fleet.admin("node", "list", "--tag", "k=\(text)").list()
                    #expect(found.count == 1, "\(text)")
                }
            }
            try requireHealth(fleet)
        }
    }

    @Test func `bodies that are not what they should be are refused`() throws {
        try withFleet { fleet in
            let deep = String(repeating: "[", count: 500_000)
            let objects = String(repeating: #"{"a":"#, count: 100_000)
            let bodies: [[UInt8]] = [
                Array("".utf8), Array("null".utf8), Array("[]".utf8), Array("1e999".utf8), Array("{".utf8),
                Array(#"{"name":1}"#.utf8), Array(#"{"name":["a"]}"#.utf8), Array(#"{"name":null}"#.utf8),
                Array(#"{"nam":"a"}"#.utf8), Array(#"{"name":"a","tags":[1]}"#.utf8),
                Array(#"{"name":"a","tags":{"k":1}}"#.utf8), Array(#"{"name":"a","tags":{"k":{}}}"#.utf8),
                Array(#"{"name":"\ud800"}"#.utf8), Array(#"{"name":"a\u0000"}"#.utf8),
                Array(deep.utf8), Array(objects.utf8), [0xff, 0xfe, 0x7b, 0x7d],
                [0x7b, 0x22, 0xc3, 0x22, 0x7d],
                Array(#"{"name":"a"} trailing"#.utf8), [UInt8](repeating: 0, count: 1_000),
                [UInt8](repeating: 0x20, count: 1 << 20),
                Array(#"{"name":"\#(String(repeating: "a", count: 1_048_000))"}"#.utf8),
                [UInt8](repeating: 0x61, count: (1 << 20) + 1),
            ]
            for body in bodies {
                let shown = String(decoding: body.prefix(60), as: UTF8.self)
                try requireRefusal(try fleet.control.send("POST", "/v1/nodes", body), shown)
            }
            for path in [
                "/v1/audit?limit=0", "/v1/audit?limit=-1", "/v1/audit?limit=99999999999999999999",
                "/v1/audit?limit=1e3", "/v1/audit?since=yesterday", "/v1/audit?cursor=x",
                "/v1/audit?limit=5&limit=6",
                "/v1/audit?cursor=9223372036854775808", "/v1/nodes?nosuch=1", "/v1/nodes?state=",
                "/v1/nodes?%zz=1",
                "/v1/mappings/1/wait?timeout=61", "/v1/mappings/1/wait?revision=-1", "/v2/nodes",
                "//v1/nodes", "/",
            ] {
                try requireRefusal(try fleet.control.send("GET", path), path)
            }
            #expect(try fleet.control.send("GET", "/v1/audit?since=9999-12-31T23:59:59Z").status == 200)
            #expect(try fleet.control.send("GET", "/v1/audit?since=0000-01-01T00:00:00Z").status == 200)
            #expect(try fleet.control.send("PUT", "/v1/nodes").status == 405)
            #expect(try fleet.nodes().isEmpty)
            try requireHealth(fleet)
        }
    }

    @Test func `what is not HTTP ends its own connection alone`() throws {
        try withFleet { fleet in
            let seed = newSeed("not HTTP")
            var random = SeededRandom(seed: seed)
            for number in 0..<60 {
                let socket = try Socket.connect(to: .unix(fleet.control.path), limit: .seconds(10))
                let count = Int.random(in: 1...3_000, using: &random)
                var bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
                if number % 3 == 0 { bytes = Array("POST /v1/nodes HTTP/1.1\r\n".utf8) + bytes }
                if number % 3 == 1 {
                    bytes =
                        Array("POST /v1/nodes HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n".utf8)
                        + bytes
                }
                try? socket.send(bytes)
                socket.close()
            }
            // More who say nothing than there are threads for: those in front are still served.
            let silent = try (0..<40).map { _ in try Socket.connect(to: .unix(fleet.control.path)) }
            #expect(try fleet.nodes().isEmpty)
            withExtendedLifetime(silent) {}
            try requireHealth(fleet)
        }
    }

    /// A refusal is JSON with a code, one line of words, and nothing that a terminal would obey.
    private func requireRefusal(_ answer: ControlSocket.Answer, _ what: String) throws {
        guard (400..<500).contains(answer.status) else { throw Failure("\(what): \(answer)") }
        let error = try answer.json()["error"]
        let (code, message) = (try error.text("code"), try error.text("message"))
        let isPlain = message.unicodeScalars.allSatisfy {
            ![.control, .format, .lineSeparator].contains($0.properties.generalCategory)
        }
        guard !code.isEmpty, !message.isEmpty, isPlain, message.utf8.count < 1_500 else {
            throw Failure("\(what): not a clear sentence: \(answer)")
        }
    }

    private func requireHealth(_ fleet: ManagedFleet) throws {
        #expect(fleet.server.isRunning)
        #expect(try fleet.control.ask("GET", "/v1/status")["running"] == .bool(true))
        for line in fleet.server.errors {
            #expect(LogLine(line) != nil && line.utf8.allSatisfy { $0 >= 32 && $0 != 127 }, "\(line)")
        }
    }
}
