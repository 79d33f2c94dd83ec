import Foundation
import Support
import Testing

/// Nodes and servers that were away: what the records say is there again without anybody's help.
@Suite(.light)
struct ReturnTests {
    @Test func `a node that was off gets its whole set when it comes`() throws {
        let (red, blue) = (try namedTarget("red"), try namedTarget("blue"))
        try withFleet { fleet in
            let uuid = try fleet.addNode("edge-07")
            let kinds = (0..<8).map { Kind.allCases[$0 % 2] }
            let ids = try kinds.map {
                try fleet.add($0, of: "edge-07", forward: red.endpoint).integer("id")
            }
            try fleet.remove(kinds[6], ids[6])
            try fleet.disable(kinds[7], ids[7])
            for id in ids[..<6] { try fleet.wait(for: id, "pending") }

            var node = try fleet.startNode(uuid)
            for id in ids[..<6] { _ = try Socket.named("red", at: try fleet.entrance(id)) }
            try fleet.wait(for: ids[7], "disabled")
            #expect(node.logged("listener-active").count == 3)

            // Off again: things change, and it learns of all of them at once.
            node.kill()
            for id in ids[..<6] { try fleet.wait(for: id, "pending") }
            try fleet.remove(kinds[0], ids[0])
            try fleet.remove(kinds[1], ids[1])
            for number in 2...3 { try fleet.set(kinds[number], ids[number], forward: blue.endpoint) }
            try fleet.disable(kinds[4], ids[4])
            try fleet.disable(kinds[5], ids[5])
            try fleet.enable(kinds[7], ids[7])
            node = try fleet.startNode(uuid)
            for id in ids[2...3] { _ = try Socket.named("blue", at: try fleet.entrance(id)) }
            _ = try Socket.named("red", at: try fleet.entrance(ids[7]))
            let states = Dictionary(
                uniqueKeysWithValues: try fleet.mappings().map {
                    (try $0.integer("id"), try $0.text("state"))
                })
            #expect(
                states == [
                    ids[2]: "active", ids[3]: "active", ids[4]: "disabled", ids[5]: "disabled",
                    ids[7]: "active",
                ])
        }
    }

    @Test(arguments: [SIGKILL, SIGTERM])
    func `after the server's end everything comes back from the records`(signal: Int32) throws {
        let target = try namedTarget("red")
        try withFleet { fleet in
            let (_, node) = try fleet.joinNode("edge-07")
            _ = try fleet.joinNode("edge-11")
            let place = Endpoint.tcp("127.0.0.1:\(try freePort())")
            let fixed = try fleet.open(.listener, of: "edge-07", listen: place, to: target.endpoint)
            let peer = try fleet.open(.peerListener, of: "edge-07", to: target.endpoint)
            let far = try fleet.open(.listener, of: "edge-11", to: target.endpoint)
            let off = try fleet.add(.listener, of: "edge-11", forward: target.endpoint).integer("id")
            try fleet.disable(.listener, off)
            for entrance in [fixed, peer, far].map(\.entrance) { _ = try Socket.named("red", at: entrance) }
            let before = try fleet.nodes().map { ($0["id"], $0["name"], $0["mappings"]) }

            let mark = node.mark
            try fleet.stopServer(signal)
            _ = try eventually("nobody listens at the server") { isClosed(fixed.entrance) ? true : nil }
            try fleet.resumeServer()
            try fleet.waitForLink(of: node, after: mark)
            #expect(try fleet.entrance(fixed.id) == place)
            // The node's own port was never closed.
            #expect(try fleet.entrance(peer.id) == peer.entrance)
            for id in [fixed.id, peer.id, far.id] { _ = try Socket.named("red", at: try fleet.entrance(id)) }
            try fleet.wait(for: off, "disabled")
            let after = try fleet.nodes().map { ($0["id"], $0["name"], $0["mappings"]) }
            #expect(before.elementsEqual(after, by: ==))
            #expect(try fleet.nodes().allSatisfy { $0["online"] == .bool(true) })
        }
    }

    @Test func `a node that is away is shown as away, with when it was last seen`() throws {
        try withFleet { fleet in
            let uuid = try fleet.addNode("edge-07")
            let never = try fleet.node("edge-07")
            #expect(never["online"] == .bool(false) && never["lastSeen"].isNull)
            let node = try fleet.startNode(uuid)
            try fleet.waitForLink(of: node)
            let up = try eventually("it is online") {
                let shown = try fleet.node("edge-07")
                return shown["online"] == .bool(true) ? shown : nil
            }
            #expect(!up["lastSeen"].isNull && up["address"].string.hasPrefix("127.0.0.1:"))
            #expect(!up["version"].isNull && up["os"].string.contains("Linux"))
            node.kill()
            _ = try eventually("it is away, and was seen after it was up") {
                let shown = try fleet.node("edge-07")
                let isLater = shown["lastSeen"].string >= up["lastSeen"].string
                return shown["online"] == .bool(false) && isLater ? true : nil
            }
        }
    }

    @Test func `a renamed node has its new name everywhere at once`() throws {
        let target = try namedTarget("red")
        try withFleet { fleet in
            let node = try fleet.joinNode("edge-07").node
            try fleet.admin("node", "rename", "edge-07", "paris-1")
            let opened = try fleet.open(.listener, of: "paris-1", to: target.endpoint)
            #expect(try fleet.mapping(opened.id)["node"] == .text("paris-1"))
            try fleet.server.waitForLog("listener-active", where: ["node": "paris-1"])
            node.kill()
            try fleet.server.waitForLog("link-down", where: ["node": "paris-1"])
        }
    }

    @Test func `the sub-connections that are open are counted`() throws {
        let target = try namedTarget("red")
        try withFleet { fleet in
            _ = try fleet.joinNode("edge-07")
            let opened = try Kind.allCases.map { try fleet.open($0, of: "edge-07", to: target.endpoint) }
            var clients = try opened.map { try Socket.named("red", at: $0.entrance) }
            clients.append(try Socket.named("red", at: opened[0].entrance))
            _ = try eventually("three are shown") {
                try fleet.node("edge-07")["subConnections"] == .integer(3) ? true : nil
            }
            #expect(try fleet.admin("status").integer("subConnections") == 3)
            clients.removeAll()
            _ = try eventually("none is shown") {
                try fleet.node("edge-07")["subConnections"] == .integer(0) ? true : nil
            }
        }
    }
}
