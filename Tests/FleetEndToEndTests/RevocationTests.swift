import Foundation
import Records
import Support
import Testing

/// Disable, remove and rotate: what they promise is in effect when they return.
@Suite(.light)
struct RevocationTests {
    enum Verb: String, CaseIterable, CustomTestStringConvertibleByRawValue {
        case disable, remove, rotate
    }

    @Test(arguments: Verb.allCases)
    func `the link is closed within a second, and the command says how many sub-connections ended`(
        verb: Verb
    ) throws {
        let target = try namedTarget("red")
        try withFleet { fleet in
            let (uuid, node) = try fleet.joinNode("edge-07")
            _ = try fleet.joinNode("edge-11")
            var clients: [Socket] = []
            var entrances: [Endpoint] = []
            for (kind, count) in [(Kind.listener, 5), (.peerListener, 3)] {
                let entrance = try fleet.open(kind, of: "edge-07", to: target.endpoint).entrance
                entrances.append(entrance)
                for _ in 0..<count { clients.append(try Socket.named("red", at: entrance)) }
            }
            let other = try fleet.open(.listener, of: "edge-11", to: target.endpoint)
            let bystander = try Socket.named("red", at: other.entrance)

            let clock = ContinuousClock()
            var answer = JSON.null
            let taken = try clock.measure {
                switch verb {
                case .disable: answer = try fleet.disable(node: "edge-07")
                case .remove: answer = try fleet.remove(node: "edge-07")
                case .rotate: answer = try fleet.rotate(node: "edge-07")
                }
            }
            let returned = clock.now
            #expect(answer["subConnectionsEnded"] == .integer(8), "\(answer)")
            // The promise is 1 s; three times that on a machine that does other things.
            #expect(taken < .seconds(3), "the command took \(taken)")
            for client in clients { try client.requireEnd() }
            try node.waitForLog("link-down")
            // The ports of a node that is told to go are free for the next process, while it lives on.
            #expect(throws: SocketError.refused) { try Socket.connect(to: entrances[1]) }
            #expect(node.isRunning)
            #expect(returned.duration(to: clock.now) < .seconds(3))
            let down = try fleet.server.waitForLog("link-down", where: ["node": "edge-07"])
            #expect(down["reason"] == "revoked" && down["sub-connections"] == "8", "\(down)")
            let closed = fleet.server.logged("sub-connection-closed")
            #expect(closed.filter { $0["reason"] == "revoked" }.count == 8, "\(closed)")
            try bystander.requireAlive()

            // The old uuid is good for nothing.
            let stranger = try fleet.startNode(uuid)
            try stranger.waitForLog("handshake-failed")
            #expect(stranger.logged("link-up").isEmpty)
            stranger.kill()
            switch verb {
            case .disable:
                #expect(try fleet.mappings(of: "edge-07").allSatisfy { $0["state"] == .text("disabled") })
                try fleet.enable(node: "edge-07")
                let back = try fleet.startNode(uuid)
                try fleet.waitForLink(of: back)
            case .rotate:
                let back = try fleet.startNode(try answer.text("uuid"))
                try fleet.waitForLink(of: back)
            case .remove:
                #expect(try fleet.nodes().map { $0["name"] } == [.text("edge-11")])
                #expect(try fleet.mappings().count == 1)
                return
            }
            for mapping in try fleet.mappings(of: "edge-07") {
                _ = try Socket.named("red", at: try fleet.entrance(try mapping.integer("id")))
            }
            try bystander.requireAlive()
        }
    }

    @Test func `a node that does not close its end is gone within a second too`() throws {
        let target = try namedTarget("red")
        try withFleet { fleet in
            let (_, node) = try fleet.joinNode("edge-07")
            let entrance = try fleet.open(.listener, of: "edge-07", to: target.endpoint).entrance
            let client = try Socket.named("red", at: entrance)
            node.send(SIGSTOP)
            defer { node.send(SIGCONT) }
            var answer = JSON.null
            let taken = try ContinuousClock().measure { answer = try fleet.disable(node: "edge-07") }
            #expect(answer["subConnectionsEnded"] == .integer(1), "\(answer)")
            #expect(taken < .seconds(3), "the command took \(taken)")
            try client.requireEnd(within: .seconds(3))
            try fleet.server.waitForLog("link-down", where: ["node": "edge-07"], within: .seconds(3))
        }
    }

    @Test func `during an overlap both uuids are good and no connection is lost`() throws {
        let echo = try TargetServer.echo(limit: .seconds(120))
        try withFleet { fleet in
            let (old, node) = try fleet.joinNode("edge-07")
            let opened = try fleet.open(.listener, of: "edge-07", to: echo.endpoint)
            let transfer = try EndlessTransfer(through: opened.entrance, seed: 1)
            let answer = try fleet.rotate(node: "edge-07", overlap: "5m")
            #expect(answer["subConnectionsEnded"] == .integer(0))
            try transfer.requireProgress()
            try transfer.finish()
            #expect(node.logged("link-down").isEmpty)
            node.kill()
            for uuid in [try answer.text("uuid"), old] {
                let next = try fleet.startNode(uuid)
                try fleet.waitForLink(of: next)
                try Socket.connect(to: try fleet.entrance(opened.id)).requireEcho()
                next.kill()
                try fleet.wait(for: opened.id, "pending")
            }
        }
    }

    @Test func `after an overlap the old uuid is refused and the new one is not`() throws {
        try withFleet { fleet in
            let (old, node) = try fleet.joinNode("edge-07")
            let new = try fleet.rotate(node: "edge-07", overlap: "2s").text("uuid")
            let end = ContinuousClock.now + .seconds(2)
            node.kill()
            _ = try eventually("the overlap is over") { ContinuousClock.now > end ? true : nil }
            let late = try fleet.startNode(old)
            try late.waitForLog("handshake-failed")
            #expect(late.logged("link-up").isEmpty)
            late.kill()
            let next = try fleet.startNode(new)
            try fleet.waitForLink(of: next)
        }
    }

    @Test func `nobody gets in with two rotations' worth of old uuids`() throws {
        try withFleet { fleet in
            let first = try fleet.addNode("edge-07")
            let second = try fleet.rotate(node: "edge-07", overlap: "5m").text("uuid")
            // Without overlap all that came before ends, overlap or not.
            let third = try fleet.rotate(node: "edge-07").text("uuid")
            for uuid in [first, second] {
                let node = try fleet.startNode(uuid)
                try node.waitForLog("handshake-failed")
                node.kill()
            }
            try fleet.waitForLink(of: try fleet.startNode(third))
            #expect(Set([first, second, third]).count == 3)
        }
    }

    @Test
    func `a link ends when its uuid does, with the reason everywhere, and whoever comes with it is named`()
        throws
    {
        let target = try namedTarget("red")
        try withFleet { fleet in
            let (old, node) = try fleet.joinNode("edge-07")
            let entrance = try fleet.open(.listener, of: "edge-07", to: target.endpoint).entrance
            let client = try Socket.named("red", at: entrance)
            let rotated = try fleet.rotate(node: "edge-07", overlap: "3s")

            // Seen before it happens: which is which, until when, and what the link stands on.
            let credentials = try fleet.node("edge-07")["credentials"].list()
            let used = try #require(credentials.first { $0["inUse"] == .bool(true) }, "\(credentials)")
            let new = try #require(credentials.first { $0["inUse"] == .bool(false) }, "\(credentials)")
            #expect(credentials.count == 2 && new["to"].isNull && new["lastUsed"].isNull, "\(credentials)")
            let end = try #require(Timestamp(try used.text("to")))
            #expect(try Timestamp(used.text("lastUsed")) != nil && Timestamp(used.text("from")) != nil)
            #expect(try fleet.node("edge-07")["credential"] == used["id"])
            let listed = try fleet.words("node", "list")
            #expect(listed.contains("runs on a uuid that ends"), "\(listed)")
            let doctor = try fleet.words("doctor")
            #expect(doctor.contains("edge-07 runs on a uuid that ends"), "\(doctor)")

            let over = try fleet.server.waitForLog("uuid-ended", where: ["node": "edge-07"])
            let late = Timestamp.now.distance(from: end)
            // The promise is 1 s; three times that on a machine that does other things.
            #expect((0..<3_000_000).contains(late), "\(late) microseconds after its end")
            #expect(over["credential"] == used["id"].string && over["sub-connections"] == "1", "\(over)")
            try client.requireEnd()
            try node.waitForLog("link-down")
            let down = try fleet.server.waitForLog("link-down", where: ["node": "edge-07"])
            #expect(down["detail"].contains("its uuid was good until"), "\(down)")
            #expect(try fleet.node("edge-07")["online"] == .bool(false))
            _ = try eventually("the records say so") {
                try fleet.audit().first { $0["action"] == .text("uuid-ended") }?["detail"].string
                    .contains("its link was closed, 1 sub-connections ended") == true ? true : nil
            }
            let history = try fleet.words("history", "--limit", "1", "-o", "jsonl")
            #expect(history.contains("revoked") && history.contains(used["id"].string), "\(history)")
            let locked = try fleet.words("node", "list")
            #expect(locked.contains("the uuid that it last came with has ended"), "\(locked)")

            let stranger = try fleet.startNode(old)
            try stranger.waitForLog("handshake-failed")
            let refused = try fleet.server.waitForLog("handshake-failed", where: ["node": "edge-07"])
            #expect(refused["reason"].contains("a uuid of this node that lets nobody in"), "\(refused)")
            stranger.kill()
            // A restart knows it too.
            try fleet.stopServer()
            try fleet.resumeServer()
            let again = try fleet.startNode(old)
            try again.waitForLog("handshake-failed")
            try fleet.server.waitForLog("handshake-failed", where: ["node": "edge-07"])
            again.kill()
            try fleet.waitForLink(of: try fleet.startNode(try rotated.text("uuid")))
            let quiet = try fleet.words("node", "list")
            #expect(!quiet.contains("NOTE"), "\(quiet)")
        }
    }

    @Test func `a uuid that ended while no server ran lets nobody in, and its end is in the audit`() throws {
        try withFleet { fleet in
            let (old, node) = try fleet.joinNode("edge-07")
            _ = try fleet.rotate(node: "edge-07", overlap: "1s")
            let end = ContinuousClock.now + .seconds(1)
            try fleet.stopServer(SIGKILL)
            _ = try eventually("the overlap is over") { ContinuousClock.now > end ? true : nil }
            try fleet.resumeServer()
            try fleet.server.waitForLog(
                "handshake-failed", where: ["node": "edge-07"], within: .seconds(60))
            node.kill()
            let endings = try fleet.audit().filter { $0["action"] == .text("uuid-ended") }
            #expect(endings.count == 1 && endings[0]["node"] == .text("edge-07"), "\(endings)")
            let late = try fleet.startNode(old)
            try late.waitForLog("handshake-failed")
        }
    }
}
