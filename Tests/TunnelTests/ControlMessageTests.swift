import Mux
import Reactor
import Testing
import Tunnel

@Suite struct ControlMessageTests {
    private func endpoint(_ address: String, _ domain: Domain = .tcp) throws -> Endpoint {
        try Endpoint(domain: domain, address: address)
    }

    private func read(_ text: String, maximumMappings: Int = 256) throws(Violation) -> ControlMessage {
        try ControlMessage(Array(text.utf8), maximumMappings: maximumMappings)
    }

    @Test func `what is encoded is decoded`() throws {
        let plan = ControlMessage.plan(
            revision: .max,
            parts: [
                Part(id: 0, kind: .listener, task: .forward(try endpoint("10.0.0.1:80"))),
                Part(id: 7, kind: .peerListener, task: .listen(try endpoint("[::]:0", .tcp6))),
                Part(
                    id: .max, kind: .peerListener,
                    task: .listen(try endpoint("/run/\"quoted\"\u{1}\u{7f}é.sock", .unix))),
            ])
        #expect(try ControlMessage(plan.encoded, maximumMappings: 3) == plan)
        let report = ControlMessage.report(
            revision: 0,
            states: [
                1: .pending, 2: .active(bound: "127.0.0.1:80"),
                3: .failed(error: "address already in use", retrySeconds: 30),
            ])
        #expect(try ControlMessage(report.encoded, maximumMappings: 3) == report)
        #expect(
            try ControlMessage(ControlMessage.plan(revision: 1, parts: []).encoded, maximumMappings: 0)
                == .plan(revision: 1, parts: []))
        let named = ControlMessage.plan(
            revision: 1, parts: [], node: NodeName(name: "edge-07", id: "5f0c2b1a-0102"))
        #expect(try ControlMessage(named.encoded, maximumMappings: 0) == named)
    }

    @Test func `a name that the authority gives is one short printable line, or none`() throws {
        for (name, wanted) in [
            ("a\\nb\\u001b[31m", true), (String(repeating: "x", count: 900), true), ("", false),
        ] {
            let message = try read(
                #"{"type":"plan","revision":1,"mappings":[],"node":"\#(name)","nodeID":"i"}"#)
            guard case .plan(_, _, let node) = message else { throw Violation.badControl }
            #expect((node != nil) == wanted)
            #expect((node?.name ?? "").unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 })
            #expect((node?.name ?? "").utf8.count <= 64)
        }
        for other in ["7", "null", "{}"] {
            let message = try read(
                #"{"type":"plan","revision":1,"mappings":[],"node":\#(other),"nodeID":"i"}"#)
            #expect(message == .plan(revision: 1, parts: []))
        }
    }

    @Test func `the most that an end can declare fits into a control message`() throws {
        let longest = String(repeating: "\u{1}", count: 107)
        let parts = try (0..<256).map {
            Part(
                id: UInt32.max - UInt32($0), kind: .peerListener, task: .listen(try endpoint(longest, .unix)))
        }
        let most = ControlMessage.most(for: 256)
        #expect(most <= Multiplexer.maximumControlBytes)
        let plan = ControlMessage.plan(revision: .max, parts: parts)
        #expect(plan.encoded.count <= most)
        #expect(try ControlMessage(plan.encoded, maximumMappings: 256) == plan)
        let name = try (0..<256).map {
            Part(
                id: UInt32($0), kind: .listener,
                task: .forward(try endpoint(String(repeating: "\\", count: 255) + ":80")))
        }
        #expect(
            ControlMessage.plan(revision: .max, parts: name).encoded.count <= most)
        let states = (0..<256).map { (UInt32.max - $0, ListenerState.active(bound: longest)) }
        let report = ControlMessage.report(revision: .max, states: Dictionary(uniqueKeysWithValues: states))
        #expect(report.encoded.count <= most)
        #expect(throws: Never.self) { try ControlMessage(report.encoded, maximumMappings: 256) }
    }

    @Test func `unknown keys of a later version are passed over`() throws {
        let text = """
            {"type":"plan","revision":3,"color":"red","mappings":[{"id":1,"kind":"listener","weight":2,
            "forward":{"domain":"tcp","addr":"10.0.0.1:80","zone":null}}],"more":[{}]}
            """
        let part = Part(id: 1, kind: .listener, task: .forward(try endpoint("10.0.0.1:80")))
        #expect(try read(text) == .plan(revision: 3, parts: [part]))
    }

    @Test(arguments: [
        "", " ", "{", "}", "[]", "null", "true", "0", "\"plan\"", "{}", "\u{0}", #"{"type":"plan"}"#,
        #"{"type":"plan","revision":1}"#, #"{"type":"plan","revision":1,"mappings":null}"#,
        #"{"type":"plan","revision":1,"mappings":{}}"#, #"{"type":"plan","revision":-1,"mappings":[]}"#,
        #"{"type":"plan","revision":1.5,"mappings":[]}"#, #"{"type":"plan","revision":1e99,"mappings":[]}"#,
        #"{"type":"plan","revision":18446744073709551616,"mappings":[]}"#,
        #"{"type":"report","revision":18446744073709551615,"mappings":[]}"#,
        #"{"type":"report","revision":9223372036854775808,"mappings":[]}"#,
        #"{"type":"plan","revision":"1","mappings":[]}"#, #"{"type":"PLAN","revision":1,"mappings":[]}"#,
        #"{"type":"","revision":1,"mappings":[]}"#, #"{"type":null,"revision":1,"mappings":[]}"#,
        #"{"type":"plan","revision":1,"mappings":[null]}"#, #"{"type":"plan","revision":1,"mappings":[{}]}"#,
        #"{"type":"plan","revision":1,"mappings":[]} trailing"#,
    ])
    func `what is no message is a violation`(text: String) {
        #expect(throws: Violation.badControl) { try read(text) }
    }

    @Test(arguments: [
        // Neither place, both, the wrong one for its kind.
        #"{"id":1,"kind":"listener"}"#,
        #"{"id":1,"kind":"listener","listen":{"domain":"tcp","addr":":1"}}"#,
        #"{"id":1,"kind":"peer-listener","forward":{"domain":"tcp","addr":"a:1"}}"#,
        #"{"id":1,"kind":"listener","listen":{"domain":"tcp","addr":":1"},"forward":{"domain":"tcp","addr":"a:1"}}"#,
        #"{"id":1,"kind":"other","forward":{"domain":"tcp","addr":"a:1"}}"#,
        #"{"id":1,"forward":{"domain":"tcp","addr":"a:1"}}"#,
        // Ids that none has.
        #"{"id":-1,"kind":"listener","forward":{"domain":"tcp","addr":"a:1"}}"#,
        #"{"id":4294967296,"kind":"listener","forward":{"domain":"tcp","addr":"a:1"}}"#,
        #"{"id":"1","kind":"listener","forward":{"domain":"tcp","addr":"a:1"}}"#,
        // Addresses that none is.
        #"{"id":1,"kind":"listener","forward":{"domain":"udp","addr":"a:1"}}"#,
        #"{"id":1,"kind":"listener","forward":{"domain":"tcp","addr":"a"}}"#,
        #"{"id":1,"kind":"listener","forward":{"domain":"tcp","addr":""}}"#,
        #"{"id":1,"kind":"listener","forward":{"domain":"tcp"}}"#,
        #"{"id":1,"kind":"listener","forward":{"domain":"unix","addr":"/a\u0000b"}}"#,
        #"{"id":1,"kind":"listener","forward":"a:1"}"#,
    ])
    func `a part that makes no sense is a violation`(part: String) {
        #expect(throws: Violation.badControl) {
            try read(#"{"type":"plan","revision":1,"mappings":[\#(part)]}"#)
        }
    }

    @Test(arguments: [
        #"{"id":1}"#, #"{"id":1,"state":"other"}"#, #"{"id":1,"state":null}"#, #"{"id":1,"state":1}"#,
        #"{"id":1,"state":"failed","retrySeconds":"soon"}"#,
        #"{"id":1,"state":"failed","retrySeconds":1e30}"#,
    ])
    func `a state that makes no sense is a violation`(entry: String) {
        #expect(throws: Violation.badControl) {
            try read(#"{"type":"report","revision":1,"mappings":[\#(entry)]}"#)
        }
    }

    @Test func `an id twice, or more mappings than are allowed, is a violation`() {
        let part = #"{"id":1,"kind":"listener","forward":{"domain":"tcp","addr":"a:1"}}"#
        let other = part.replacing("\"id\":1", with: "\"id\":2")
        #expect(throws: Never.self) {
            try read(#"{"type":"plan","revision":1,"mappings":[\#(part),\#(other)]}"#, maximumMappings: 2)
        }
        #expect(throws: Violation.badControl) {
            try read(#"{"type":"plan","revision":1,"mappings":[\#(part),\#(other)]}"#, maximumMappings: 1)
        }
        #expect(throws: Violation.badControl) {
            try read(#"{"type":"plan","revision":1,"mappings":[\#(part),\#(part)]}"#)
        }
        let state = #"{"id":1,"state":"pending"}"#
        #expect(throws: Violation.badControl) {
            try read(#"{"type":"report","revision":1,"mappings":[\#(state),\#(state)]}"#)
        }
    }

    @Test func `texts of the other end are cut, and numbers bounded`() throws {
        let long = String(repeating: "x", count: 1_000)
        let text = """
            {"type":"report","revision":1,"mappings":[{"id":1,"state":"active","bound":"\(long)"},
            {"id":2,"state":"failed","detail":"\(long)","retrySeconds":-9223372036854775808},
            {"id":3,"state":"failed","retrySeconds":9223372036854775807},{"id":4,"state":"active"}]}
            """
        guard case .report(1, let states) = try read(text) else { return #expect(Bool(false)) }
        #expect(states[1] == .active(bound: String(long.prefix(128))))
        #expect(states[2] == .failed(error: String(long.prefix(256)), retrySeconds: 0))
        #expect(states[3] == .failed(error: "", retrySeconds: 3_600))
        #expect(states[4] == .active(bound: ""))
    }

    @Test func `what no message about so many mappings can need is not read`() {
        let long = String(repeating: "x", count: 3_000)
        let text = #"{"type":"report","revision":1,"mappings":[],"x":"\#(long)"}"#
        #expect(throws: Violation.controlTooLarge) { try read(text, maximumMappings: 0) }
        #expect(throws: Violation.controlTooLarge) { try read(text, maximumMappings: 1) }
        // Bytes enough, and still more than anybody says: a text, a number of values, a key.
        #expect(throws: Violation.badControl) { try read(text, maximumMappings: 10) }
        let many = String(repeating: "1,", count: 400) + "1"
        #expect(throws: Violation.badControl) {
            try read(#"{"type":"report","revision":1,"mappings":[],"x":[\#(many)]}"#, maximumMappings: 1)
        }
    }

    @Test(arguments: [
        #"{"type":"report","revision":1,"mappings":[],"MARKS":1}"#,
        #"{"type":"MARKS","revision":1,"mappings":[]}"#,
        #"{"MARKS":"report","revision":1,"mappings":[]}"#,
        #"{"type":"plan","revision":1,"mappings":[{"id":1,"kind":"MARKS"}]}"#,
        #"{"type":"plan","revision":1,"mappings":[{"id":1,"kind":"listener","forward":{"domain":"MARKS","addr":"a:1"}}]}"#,
        #"{"type":"plan","revision":1,"mappings":[{"id":1,"kind":"listener","forward":{"domain":"tcp","addr":"MARKS"}}]}"#,
        #"{"type":"report","revision":1,"mappings":[{"id":1,"state":"MARKS"}]}"#,
        #"{"type":"report","revision":1,"mappings":[{"id":1,"state":"failed","detail":"MARKS"}]}"#,
        #"{"type":"report","revision":1,"mappings":[{"id":1,"state":"active","bound":"MARKS"}]}"#,
    ])
    func `letters with marks without an end cost what their bytes say, wherever they stand`(text: String) {
        // As text compared or hashed they cost the square: 60,000 marks take half a minute.
        let marks = "a" + String(repeating: "\u{316}\u{301}", count: 30_000)
        let message = text.replacing("MARKS", with: marks)
        let took = ContinuousClock().measure {
            for _ in 0..<3 {
                #expect(throws: Violation.self) { try read(message) }
            }
        }
        #expect(took < .seconds(5), "\(took)")
    }

    @Test func `what the other end says is kept as printable ASCII`() throws {
        let text = """
            {"type":"report","revision":1,"mappings":[
            {"id":1,"state":"active","bound":"/run/caf\u{e9}\u{202e}.sock"},
            {"id":2,"state":"failed","detail":"\\u001b[2Ja\u{316}\u{301}"}]}
            """
        guard case .report(1, let states) = try read(text) else { return #expect(Bool(false)) }
        #expect(states[1] == .active(bound: #"/run/caf\u{e9}\u{202e}.sock"#))
        #expect(states[2] == .failed(error: #"\u{1b}[2Ja\u{316}\u{301}"#, retrySeconds: 0))
    }

    @Test func `nesting without an end, and bytes that are no text, are a violation`() {
        for open in ["[", "{\"a\":", "{\"type\":", #"{"type":"plan","revision":1,"mappings":["#] {
            #expect(throws: Violation.self) {
                try read(String(repeating: open, count: (1 << 20) / open.count))
            }
        }
        for bytes in [
            [0xff, 0xfe], [UInt8](repeating: 0x80, count: 1 << 20),
            Array("{\"type\":\"".utf8) + [0xc3, 0x28], [0xef, 0xbb, 0xbf],
        ] as [[UInt8]] {
            #expect(throws: Violation.self) { try ControlMessage(bytes, maximumMappings: 256) }
        }
    }

    @Test func `any change of a byte gives a message or a violation, and never a trap`() throws {
        let plan = ControlMessage.plan(
            revision: 12,
            parts: [Part(id: 7, kind: .peerListener, task: .listen(try endpoint("[::]:0", .tcp6)))]
        ).encoded
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<5_000 {
            var bytes = plan
            for _ in 0..<Int.random(in: 1...3) {
                bytes[Int.random(in: 0..<bytes.count)] = UInt8.random(in: 0...255, using: &generator)
            }
            _ = try? ControlMessage(bytes, maximumMappings: 4)
        }
    }
}
