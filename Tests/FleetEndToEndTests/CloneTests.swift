import Foundation
import Support
import Testing

/// One uuid on two machines: each takes the link from the other, and cuts the other's connections.
@Suite(.light)
struct CloneTests {
    private func instance(_ byte: UInt8) -> UInt64 { UInt64(byte) * 0x0101_0101_0101_0101 }

    private func entries(_ fleet: ManagedFleet) throws -> [JSON] {
        try fleet.audit().filter { $0["action"] == .text("takeovers") }
    }

    @Test func `clones behind one address are noticed, once a storm, and named wherever one looks`() throws {
        try withFleet { fleet in
            let secret = try NodeSecret(uuid: try fleet.addNode("edge-07"))
            var links: [HostileNode] = []
            func login(_ byte: UInt8) throws {
                let link = try HostileNode(fleet.endpoint, secret, instance: instance(byte))
                _ = try link.waitForPlan()
                links.append(link)
            }
            // A node that is started anew, and one that has moved, take the link once each.
            for byte: UInt8 in [1, 1, 2, 3] { try login(byte) }
            #expect(fleet.server.logged("uuid-shared").isEmpty)
            #expect(try fleet.node("edge-07")["machines"] == .list([]))
            #expect(try !fleet.words("node", "list").contains("share its uuid"))
            // One that had it and comes back while another has it.
            for _ in 0..<4 { for byte: UInt8 in [2, 3] { try login(byte) } }
            let said = try fleet.server.waitForLog("uuid-shared", where: ["node": "edge-07"])
            #expect(fleet.server.logged("uuid-shared").count == 1, "once a storm")
            #expect(said["machines"].contains("0202020202020202 at 127.0.0.1"), "\(said)")
            let one = try eventually("the audit has it") { try entries(fleet).first }
            #expect(one["node"] == .text("edge-07") && one["detail"].string.contains("0303030303030303"))
            #expect(try entries(fleet).count == 1)
            let machines = try fleet.node("edge-07")["machines"].list()
            #expect(
                machines.map { $0["instance"].string }
                    == ["0303030303030303", "0202020202020202", "0101010101010101"], "\(machines)")
            for command in [["node", "list"], ["node", "show", "edge-07"], ["status"], ["doctor"]] {
                let words = try fleet.words(command)
                #expect(words.contains("3 machines share its uuid"), "\(command): \(words)")
            }
        }
    }

    @Test func `a node's log calls itself by the name that the server has for it, whatever its uuid`() throws
    {
        try withFleet { fleet in
            let (_, node) = try fleet.joinNode("edge-07")
            let id = try fleet.node("edge-07").text("id")
            let named = try node.waitForLog("named", where: ["node": "edge-07"])
            #expect(named["id"] == id)
            try fleet.admin("node", "rename", "edge-07", "edge-7")
            try node.waitForLog("named", where: ["node": "edge-7", "before": "edge-07"])
            let uuid = try fleet.rotate(node: "edge-7").text("uuid")
            let down = try node.waitForLog("link-down")
            #expect(down["node"] == "edge-7")
            let next = try fleet.startNode(uuid)
            let again = try next.waitForLog("named", where: ["node": "edge-7"])
            #expect(again["id"] == id && again["before"] != id)
        }
    }

    @Test func `the command that node add prints reaches the server, with or without one`() throws {
        let fleet = try ManagedFleet()
        try fleet.explained {
            func place(_ name: String) throws -> String {
                let words = try fleet.words("node", "add", name)
                let line = try #require(
                    words.split(separator: "\n").first { $0.contains("goproxy-node -host") })
                let parts = line.split(separator: " ")
                let host = try #require(parts.firstIndex(of: "-host").map { parts[$0 + 1] })
                let port = try #require(parts.firstIndex(of: "-port").map { parts[$0 + 1] })
                return "\(host):\(port)"
            }
            #expect(try place("one") == fleet.endpoint.address)
            try fleet.stopServer()
            #expect(try place("two") == fleet.endpoint.address, "remembered")
            try fleet.resumeServer(["-public", "vpn.example.com:4443"])
            #expect(try place("three") == "vpn.example.com:4443")
            try fleet.stopServer()
            #expect(try place("four") == "vpn.example.com:4443")
        }
    }
}
