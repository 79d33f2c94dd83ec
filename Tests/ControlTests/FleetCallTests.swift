import Control
import Foundation
import HTTP
import Records
import Synchronization
import Testing

struct FleetCallTests {
    private let fixture: ControlFixture

    init() throws { fixture = try ControlFixture() }

    @Test func `a change is told to the fleet, and revocation ends the link after it`() throws {
        let id = try fixture.add("edge")
        #expect(fixture.fleet.takeCalls() == ["changed \(id)"])
        for (step, body, reason) in [
            ("disable", "", "node-disabled"), ("rotate", "{}", "uuid-rotated"), ("", "", "node-removed"),
        ] {
            fixture.fleet.setOnline(id, subConnections: 3)
            let answer =
                step.isEmpty
                ? fixture.ask("DELETE", "/v1/nodes/edge")
                : fixture.ask("POST", "/v1/nodes/edge/\(step)", body)
            #expect(try answer.value("subConnectionsEnded") == 3)
            #expect(fixture.fleet.takeCalls() == ["changed \(id)", "disconnect \(id) \(reason)"])
        }
    }

    @Test func `a rotation with overlap leaves the link alone`() throws {
        let id = try fixture.add("edge")
        fixture.fleet.setOnline(id, subConnections: 3)
        _ = fixture.fleet.takeCalls()
        let answer = fixture.ask("POST", "/v1/nodes/edge/rotate", #"{"overlapSeconds":3600}"#)
        #expect(
            try answer.value("subConnectionsEnded") == 0
                && answer.value("uuid", as: String.self).hasPrefix("gp1_"))
        #expect(fixture.fleet.takeCalls() == ["changed \(id)"])
    }

    @Test func `a mapping's change names its node`() throws {
        let id = try fixture.add("edge")
        let mapping = try fixture.addMapping("edge", listen: "127.0.0.1:0", name: "web")
        for (method, path, body) in [
            ("PATCH", "", #"{"listen":{"addr":"127.0.0.1:1"}}"#), ("POST", "/disable", ""),
            ("POST", "/enable", ""),
            ("DELETE", "", ""),
        ] {
            _ = fixture.fleet.takeCalls()
            #expect(fixture.ask(method, "/v1/mappings/\(mapping)\(path)", body).status == 200)
            #expect(fixture.fleet.takeCalls() == ["changed \(id)"])
        }
    }

    @Test func `the living server knows better than the records who is online`() throws {
        let id = try fixture.add("edge")
        #expect(try fixture.ask("GET", "/v1/nodes/edge").value("online") == false)
        fixture.fleet.setOnline(id, subConnections: 7)
        let node = fixture.ask("GET", "/v1/nodes/edge")
        #expect(try node.value("online") == true && node.value("subConnections") == 7)
        #expect(
            try node.value("address") == "203.0.113.9:40000"
                && node.value("lastSeen", as: String.self).count > 10)
        #expect(try fixture.ask("GET", "/v1/status").value("online") == 1)
        #expect(try fixture.ask("GET", "/v1/status").value("subConnections") == 7)
    }

    @Test func `the uuid is in no later answer`() throws {
        let uuid: String = try fixture.ask("POST", "/v1/nodes", #"{"name":"edge"}"#).value("uuid")
        for address in ["/v1/nodes", "/v1/nodes/edge", "/v1/audit", "/v1/status"] {
            #expect(!fixture.ask("GET", address).text.contains(uuid))
        }
    }

    @Test func `the audit says who`() throws {
        try fixture.add("edge")
        _ = fixture.ask("PATCH", "/v1/nodes/edge", #"{"name":"edge-2"}"#, actor: .user("bob", uid: 1_001))
        let text = fixture.ask("GET", "/v1/audit").text
        let list = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]])
        #expect(list.map { $0["actor"] as? String } == ["alice", "bob"])
        #expect(list.map { $0["uid"] as? Int } == [1_000, 1_001])
        #expect((list[1]["before"] as? [String: Any])?["name"] as? String == "edge")
        #expect((list[1]["after"] as? [String: Any])?["name"] as? String == "edge-2")
        let logins: [(PeerIdentity.Login?, String)] = [
            (nil, "root"), (.sudo("alice"), "alice (as root, says sudo)"), (.sudo("root"), "root"),
            (.kernel(uid: 1), "daemon (as root)"), (.kernel(uid: 4_000_000), "uid 4000000 (as root)"),
        ]
        for (login, name) in logins {
            let peer = PeerIdentity(uid: 0, gid: 0, pid: 1, login: login)
            #expect(ControlService.actor(peer) == .user(name, uid: 0))
        }
    }

    @Test func `the audit is read in pages`() throws {
        try fixture.add("edge")
        for number in 0..<10 { _ = fixture.ask("PATCH", "/v1/nodes/edge", #"{"tags":{"n":"\#(number)"}}"#) }
        var seen: [Int] = []
        var cursor = 0
        while true {
            let text = fixture.ask("GET", "/v1/audit?limit=4&cursor=\(cursor)").text
            let page = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]] ?? []
            seen += page.compactMap { $0["id"] as? Int }
            guard let last = seen.last, page.count == 4 else { break }
            cursor = last
        }
        #expect(seen.count == 11 && seen == seen.sorted())
        let newest = fixture.ask("GET", "/v1/audit?limit=2").text
        #expect(newest.contains(#""id":\#(seen[9])"#) && newest.contains(#""id":\#(seen[10])"#))
    }
}
