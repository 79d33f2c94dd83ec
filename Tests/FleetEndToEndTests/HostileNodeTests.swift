import Mux
import Support
import Testing
import Tunnel

/// A node whose uuid is right and whose program is not.
@Suite(.light)
struct HostileNodeTests {
    /// One fleet: a hostile node "edge-07", a real one "edge-11", a mapping of each kind at both.
    private struct Scene {
        let fleet: ManagedFleet
        let secret: NodeSecret
        let bystander: Socket
        let mine: (listener: UInt32, peer: UInt32)
        let others: (listener: UInt32, peer: UInt32)

        func login() throws -> HostileNode { try HostileNode(fleet.endpoint, secret) }

        /// What the node did cost it its link and stands in the audit; nobody else noticed.
        func requireViolation(_ node: HostileNode, _ detail: String) throws {
            #expect(try node.waitForEnd() == .violation)
            let entry = try eventually("the audit has it", evidence: { fleet.logs }) {
                try fleet.audit().last { $0["action"] == .text("violation") }
            }
            #expect(entry["actor"] == .text("node edge-07") && entry["node"] == .text("edge-07"))
            #expect(entry["detail"].string.contains(detail), "\(entry)")
            let down = try fleet.server.waitForLog("link-down", where: ["node": "edge-07"])
            #expect(down["reason"] == "violation", "\(down)")
            try bystander.requireAlive()
            #expect(fleet.server.logged("link-down", where: ["node": "edge-11"]).isEmpty)
            // It may come back: the uuid was not the fault.
            _ = try login().waitForPlan()
        }
    }

    private func withScene(_ body: (Scene) throws -> Void) throws {
        let target = try namedTarget("red")
        try withFleet { fleet in
            let secret = try NodeSecret(uuid: try fleet.addNode("edge-07"))
            _ = try fleet.joinNode("edge-11")
            var ids: [UInt32] = []
            for node in ["edge-07", "edge-11"] {
                for kind in Kind.allCases {
                    ids.append(
                        UInt32(try fleet.add(kind, of: node, forward: target.endpoint).integer("id")))
                }
            }
            let bystander = try Socket.named("red", at: try fleet.entrance(Int(ids[2])))
            try body(
                Scene(
                    fleet: fleet, secret: secret, bystander: bystander, mine: (ids[0], ids[1]),
                    others: (ids[2], ids[3])))
        }
    }

    @Test func `a record that was damaged on the way ends the link, and both ends say why`() throws {
        try withScene { scene in
            let node = try scene.login()
            _ = try node.waitForPlan()
            node.sendDamagedRecord()
            #expect(try node.waitForEnd() == nil)
            #expect(node.tlsFailure?.description == "the peer ended the link with the alert 'bad record mac'")
            let down = try scene.fleet.server.waitForLog("link-down", where: ["node": "edge-07"])
            #expect(down["detail"].contains("changed or damaged on the way"), "\(down)")
            try scene.bystander.requireAlive()
        }
    }

    @Test func `a node is told of its own mappings alone`() throws {
        try withScene { scene in
            let parts = try scene.login().waitForPlan()
            #expect(parts.map(\.id) == [scene.mine.listener, scene.mine.peer])
            // Of each only its own half: where it dials, where it listens.
            for part in parts {
                switch part.task {
                case .forward: #expect(part.id == scene.mine.listener)
                case .listen: #expect(part.id == scene.mine.peer)
                }
            }
        }
    }

    @Test func `opening a mapping of its own works`() throws {
        try withScene { scene in
            let node = try scene.login()
            let stream = try node.open(scene.mine.peer)
            _ = try node.waitFor(.opened, stream: stream)
            let data = try node.waitFor(.data, stream: stream)
            #expect(data.payload.starts(with: Array("red\n".utf8)))
        }
    }

    @Test(arguments: [1 << 63, UInt64.max, 1_000, 4] as [UInt64])
    func `a node that counts otherwise than its server is marked, and one that counts the same is not`(
        count: UInt64
    ) throws {
        try withScene { scene in
            let node = try scene.login()
            let stream = try node.open(scene.mine.peer)
            let data = try node.waitFor(.data, stream: stream)
            #expect(data.payload == Array("red\n".utf8))
            try node.send(.fin, stream: stream, big(UInt64(0)))
            _ = try node.waitFor(.fin, stream: stream, within: .seconds(30))
            // From the client's socket nothing, to it what came.
            try node.send(
                kind: FrameKind.tally.rawValue, stream: stream, flags: 0, big(UInt64(0)) + big(count))
            let end = try #require(try scene.fleet.record(of: 50_000).end)
            #expect(end.down == 4 && end.nodeDown == Int64(clamping: count) && end.nodeUp == 0)
            #expect(end.flags == (count == 4 ? 0 : 2), "\(end)")
            withExtendedLifetime(node) {}
        }
    }

    @Test(arguments: [
        "another node's", "another node's, other way", "the other way", "nobody's", "0", "the last",
    ])
    func `opening a mapping that is not its own costs the link`(which: String) throws {
        try withScene { scene in
            let node = try scene.login()
            _ = try node.waitForPlan()
            let id: UInt32 =
                switch which {
                case "another node's": scene.others.peer
                case "another node's, other way": scene.others.listener
                case "the other way": scene.mine.listener
                case "nobody's": 4_711
                case "0": 0
                default: .max
                }
            try node.open(id)
            try scene.requireViolation(node, "OPEN of a mapping that this end does not have")
        }
    }

    @Test func `a plan from a node costs it the link`() throws {
        try withScene { scene in
            let node = try scene.login()
            let parts = try node.waitForPlan()
            try node.send(.plan(revision: 99, parts: parts))
            try scene.requireViolation(node, "not permitted")
            #expect(try scene.fleet.mappings().count == 4)
        }
    }

    @Test(arguments: ["another node's", "not JSON", "a list"])
    func `a report of what is not its own costs the link`(what: String) throws {
        try withScene { scene in
            let node = try scene.login()
            _ = try node.waitForPlan()
            switch what {
            case "another node's":
                try node.send(
                    .report(revision: 1, states: [scene.others.peer: .active(bound: "6.6.6.6:6")]))
            case "not JSON": try node.send(control: Array("{\"type\":\"report\",".utf8))
            default: try node.send(control: Array("[1,2,3]".utf8))
            }
            let detail = what == "another node's" ? "mapping that this end does not have" : "not understood"
            try scene.requireViolation(node, detail)
            #expect(try scene.fleet.mapping(Int(scene.others.peer))["state"] == .text("active"))
        }
    }

    @Test(arguments: [
        "never sent", "the last there is", "above all", "below zero", "older than the last answer",
    ])
    func `a report of a revision that is not true costs the link, and nobody is answered by it`(what: String)
        throws
    {
        try withScene { scene in
            let node = try scene.login()
            _ = try node.waitForPlan(2)
            let raw = { (number: String) in
                Array(#"{"type":"report","revision":\#(number),"mappings":[]}"#.utf8)
            }
            switch what {
            case "never sent": try node.send(.report(revision: 1_000_000, states: [:]))
            case "the last there is": try node.send(.report(revision: .max, states: [:]))
            case "above all": try node.send(control: raw("18446744073709551615"))
            case "below zero": try node.send(control: raw("-1"))
            default:
                try node.send(.report(revision: 2, states: [:]))
                try node.send(.report(revision: 1, states: [:]))
            }
            let isNumber = what != "above all" && what != "below zero"
            try scene.requireViolation(node, isNumber ? "revision that was never sent" : "not understood")
            #expect(try scene.fleet.mapping(Int(scene.mine.peer))["state"] != .text("active"))
        }
    }

    @Test func `a node cannot speak for the server's own listeners`() throws {
        try withScene { scene in
            let node = try scene.login()
            _ = try node.waitForPlan()
            let bound = try scene.fleet.server.waitForLog(
                "listener-active", where: ["mapping": "\(scene.mine.listener)"])["bound"]
            try node.send(
                .report(
                    revision: 2,
                    states: [
                        scene.mine.listener: .failed(error: "I say so", retrySeconds: 5),
                        scene.mine.peer: .active(bound: "127.0.0.1:9"),
                    ]))
            try node.live(.milliseconds(300))
            let listed = try scene.fleet.mapping(Int(scene.mine.listener))
            #expect(listed["state"] != .text("failed") && listed["detail"].isNull, "\(listed)")
            if listed["state"] == .text("active") { #expect(listed["boundAddress"] == .text(bound)) }
            #expect(!scene.fleet.server.errors.contains { $0.contains("I say so") })
            // Its link stands until here, whatever the optimiser thinks of its last use.
            withExtendedLifetime(node) {}
        }
    }

    @Test func `what a node says of its listeners is cut and shown without control characters`() throws {
        try withScene { scene in
            let node = try scene.login()
            _ = try node.waitForPlan()
            let long =
                "\u{1b}[31m\nerror forged time=0\u{202e}\u{1F600}" + String(repeating: "é", count: 400)
            try node.send(
                .report(revision: 2, states: [scene.mine.peer: .failed(error: long, retrySeconds: .max)]))
            try node.live(.milliseconds(300))
            let listed = try scene.fleet.wait(for: Int(scene.mine.peer), "failed")
            #expect(listed["detail"].string.utf8.count <= 512)
            let lines = scene.fleet.server.errors
            #expect(lines.allSatisfy { $0.utf8.count < 2_000 }, "\(lines.map(\.utf8.count))")
            #expect(lines.allSatisfy { line in line.utf8.allSatisfy { $0 >= 32 && $0 != 127 } })
            #expect(!lines.contains { $0.hasPrefix("error forged") })
            let table = try Program.goproxy(
                "goproxy-admin", ["listener", "list"], environment: ["GOPROXY_DATA": scene.fleet.data]
            ).finish().succeeded()
            #expect(table.count == 5 && table.allSatisfy { $0.utf8.allSatisfy { $0 >= 32 && $0 != 127 } })
            // Its link stands until here, whatever the optimiser thinks of its last use.
            withExtendedLifetime(node) {}
        }
    }

    @Test func `a report that no node with its mappings can need costs the link, and nobody waits for it`()
        throws
    {
        try withScene { scene in
            let marks = "a" + String(repeating: "\u{316}\u{301}", count: 120_000)
            for text in [
                #"{"type":"report","revision":0,"mappings":[],"\#(marks)":1}"#,
                #"{"type":"report","revision":0,"mappings":[{"id":\#(scene.mine.peer),"state":"failed","detail":"\#(marks)"}]}"#,
            ] {
                let node = try scene.login()
                _ = try node.waitForPlan()
                try node.send(control: Array(text.utf8))
                try scene.requireViolation(node, "larger than any of its kind")
            }
        }
    }

    @Test func `a node that changes its mind all the time fills neither the log nor the records`() throws {
        try withScene { scene in
            let node = try scene.login()
            _ = try node.waitForPlan(2)
            let said = 90
            for number in 0..<said {
                try node.send(
                    .report(
                        revision: 2,
                        states: [scene.mine.peer: .failed(error: "no \(number)", retrySeconds: 1)]))
            }
            #expect(try node.isAnswered())
            try node.send(.report(revision: 2, states: [scene.mine.peer: .active(bound: "127.0.0.1:4711")]))
            // What it said last is what counts, some seconds later.
            let listed = try scene.fleet.wait(for: Int(scene.mine.peer), "active")
            #expect(listed["boundAddress"] == .text("127.0.0.1:4711"))
            try scene.fleet.stopServer()
            let lines = scene.fleet.server.logged("listener-failed", where: ["node": "edge-07"])
            #expect(lines.count == 10, "\(lines.count)")
            // Those of the reports that were taken: 20 at once, one a second, and the answer to the plan.
            let leftOut = try scene.fleet.server.waitForLog("lines-left-out", where: ["node": "edge-07"])
            let count = try #require(Int(leftOut["count"]))
            #expect((11...60).contains(count), "\(leftOut)")
            withExtendedLifetime(node) {}
        }
    }

    @Test func `what a node says of itself is cut and shown without control characters`() throws {
        try withScene { scene in
            let evil = "\u{1b}[2J\u{7}'; drop table nodes; --\n\u{1F600}"
            let node = try HostileNode(scene.fleet.endpoint, scene.secret, version: evil, system: evil)
            _ = try node.waitForPlan()
            let shown = try eventually("it is shown") {
                let shown = try scene.fleet.node("edge-07")
                return shown["online"] == .bool(true) ? shown : nil
            }
            #expect(shown["version"].string.utf8.count <= 64 && shown["os"].string.utf8.count <= 64)
            let text = try Program.goproxy(
                "goproxy-admin", ["node", "show", "edge-07"], environment: ["GOPROXY_DATA": scene.fleet.data]
            ).finish().succeeded()
            for line in text + scene.fleet.server.errors {
                #expect(line.utf8.allSatisfy { $0 >= 32 && $0 != 127 }, "\(line)")
            }
            #expect(try scene.fleet.nodes().count == 2)
            // Its link stands until here, whatever the optimiser thinks of its last use.
            withExtendedLifetime(node) {}
        }
    }

    @Test func `the pre-shared key of a node with another signing key lets nobody in`() throws {
        try withScene { scene in
            var thief = scene.secret
            thief.signingSeed[0] ^= 1
            #expect(throws: Failure.self) { try HostileNode(scene.fleet.endpoint, thief).waitForPlan() }
            let line = try scene.fleet.server.waitForLog("handshake-failed")
            #expect(line["reason"].contains("signing key"), "\(line)")
            thief = scene.secret
            thief.psk[31] ^= 1
            #expect(throws: Failure.self) { try HostileNode(scene.fleet.endpoint, thief) }
            _ = try scene.login().waitForPlan()
        }
    }

    @Test func `a violation again and again does not fill the audit`() throws {
        try withScene { scene in
            for _ in 0..<40 {
                let node = try scene.login()
                try node.open(4_711)
                _ = try node.waitForEnd()
            }
            let entries = try scene.fleet.audit().filter { $0["action"] == .text("violation") }
            #expect(entries.count == 10, "\(entries.count)")
            // What is not there is counted, at the latest when the server ends.
            let lines = scene.fleet.server.logged("violation", where: ["node": "edge-07"]).count
            try scene.fleet.stopServer()
            try scene.fleet.resumeServer()
            let last = try #require(
                try scene.fleet.audit().last { $0["action"] == .text("entries-left-out") })
            #expect(
                last["detail"] == .text("\(lines - 10) violations and takeovers are not in the audit")
                    && last["node"] == .text("edge-07"), "\(last)")
        }
    }
}
