import Foundation
import Support
import Testing

/// The original flags beside the records.
@Suite(.light)
struct FlagNodeTests {
    private func flags(_ uuid: String, _ mappings: [(Kind, Mapping)]) -> [String] {
        ["-uuid-file", uuid] + mappings.flatMap { [$0.0.flag, $0.1.json] }
    }

    @Test func `they are the node default, replaced at each start, beside what operators declared`() throws {
        let (red, blue) = (try namedTarget("red"), try namedTarget("blue"))
        let directory = try TemporaryDirectory()
        let text = UUID().uuidString.lowercased()
        let uuid = try directory.write("uuid", text)
        let first = flags(
            uuid,
            [
                (.listener, Mapping(forward: red.endpoint)), (.listener, Mapping(forward: red.endpoint)),
                (.peerListener, Mapping(forward: red.endpoint)),
            ])
        let fleet = try ManagedFleet(first)
        try fleet.explained {
            var node = try fleet.startNode(text)
            try fleet.waitForLink(of: node)
            let own = try fleet.open(.listener, of: "default", name: "mine", to: blue.endpoint)
            _ = try fleet.addNode("edge-07")
            var listed = try fleet.mappings()
            #expect(listed.map { $0["origin"].string }.sorted() == ["flags", "flags", "flags", "operator"])
            #expect(listed.allSatisfy { $0["node"] == .text("default") })
            for mapping in listed where mapping["origin"] == .text("flags") {
                let id = try mapping.integer("id")
                _ = try Socket.named("red", at: try fleet.entrance(id))
                // Flags are changed where they are given.
                #expect(try fleet.refusal("listener", "show", "no-such")["code"] == .text("not-found"))
                for verb in ["disable", "remove"] {
                    let kind = try mapping.text("kind")
                    #expect(try fleet.refusal(kind, verb, "\(id)")["message"].string.contains("flags"))
                }
            }
            #expect(try fleet.refusal("node", "rotate", "default")["message"].string.contains("flags"))
            let kept = try #require(
                listed.first { $0["origin"] == .text("flags") && $0["kind"] == .text("peer-listener") })
            node.kill()
            try fleet.stopServer()

            // Other flags: one stays, two go, one comes.
            let second = flags(
                uuid,
                [
                    (.peerListener, Mapping(forward: red.endpoint)),
                    (.listener, Mapping(forward: blue.endpoint)),
                ])
            try fleet.resumeServer(second)
            node = try fleet.startNode(text)
            try fleet.waitForLink(of: node)
            listed = try fleet.mappings()
            #expect(listed.map { $0["origin"].string }.sorted() == ["flags", "flags", "operator"])
            #expect(listed.contains { $0["id"] == kept["id"] })
            _ = try Socket.named("blue", at: try fleet.entrance(own.id))
            for mapping in listed {
                let isRed = mapping["kind"] == .text("peer-listener")
                _ = try Socket.named(
                    isRed ? "red" : "blue", at: try fleet.entrance(try mapping.integer("id")))
            }
            node.kill()
            try fleet.stopServer()

            // No flags: their share is gone, the operator's is there, and the flags' uuid is good for nothing.
            try fleet.resumeServer()
            #expect(try fleet.mappings().map { $0["name"] } == [.text("mine")])
            let stranger = try fleet.startNode(text)
            try stranger.waitForLog("handshake-failed")
            #expect(Set(try fleet.nodes().map { $0["name"].string }) == ["default", "edge-07"])
        }
    }

    @Test func `another uuid in the flags is another credential of the same node`() throws {
        let directory = try TemporaryDirectory()
        let texts = (0..<2).map { _ in UUID().uuidString.lowercased() }
        let files = try texts.enumerated().map { try directory.write("uuid-\($0)", $1) }
        let fleet = try ManagedFleet(flags(files[0], []))
        try fleet.explained {
            let node = try fleet.startNode(texts[0])
            try fleet.waitForLink(of: node)
            let id = try fleet.node("default")["id"]
            try fleet.stopServer()
            node.kill()
            try fleet.resumeServer(flags(files[1], []))
            let old = try fleet.startNode(texts[0])
            try old.waitForLog("handshake-failed")
            try fleet.waitForLink(of: try fleet.startNode(texts[1]))
            #expect(try fleet.node("default")["id"] == id)
        }
    }

    @Test func `a conflict with an operator's mapping is one clear line, and nothing is changed`() throws {
        let directory = try TemporaryDirectory()
        let uuid = try directory.write("uuid", UUID().uuidString.lowercased())
        let place = Endpoint.tcp("127.0.0.1:\(try freePort())")
        let fleet = try ManagedFleet(flags(uuid, [(.listener, Mapping(forward: .tcp("127.0.0.1:9")))]))
        try fleet.explained {
            try fleet.addNode("edge-07")
            let id = try fleet.add(
                .listener, of: "edge-07", name: "rdp", listen: place, forward: .tcp("127.0.0.1:9")
            ).integer("id")
            try fleet.stopServer()
            func everything() throws -> [JSON] {
                [.list(try fleet.nodes()), .list(try fleet.mappings()), .list(try fleet.audit())]
            }
            let before = try everything()
            let wide = Endpoint.tcp("0.0.0.0:\(place.port)")
            let refused = try fleet.startServer(
                flags(uuid, [(.listener, Mapping(listen: wide, forward: .tcp("127.0.0.1:10")))]))
            let done = try refused.finish()
            #expect(done.end == .exit(1))
            let said = done.errors.filter { LogLine($0) == nil }
            #expect(said.count == 1 && done.output.isEmpty, "\(done.transcript)")
            #expect(said[0].contains("listener \(id) \"rdp\" of node edge-07"), "\(said)")
            #expect(said[0].contains(wide.address) && said[0].hasPrefix("goproxy-server: "), "\(said)")
            #expect(try everything() == before)
        }
    }

    @Test func `a main port in use changes nothing`() throws {
        let directory = try TemporaryDirectory()
        let uuid = try directory.write("uuid", UUID().uuidString.lowercased())
        let taken = try Socket.listening(on: .anyPort, backlog: 1)
        let port = try Endpoint(boundTo: taken.descriptor, domain: "tcp").port
        try withFleet { fleet in
            try fleet.addNode("edge-07")
            try fleet.stopServer()
            let before = try fleet.audit()
            let done = try fleet.startServer(
                port: port, flags(uuid, [(.listener, Mapping(forward: .tcp("127.0.0.1:9")))])
            ).finish()
            #expect(done.end == .exit(1) && done.errors.count == 1, "\(done.transcript)")
            #expect(done.errors[0].contains("address already in use"))
            #expect(try fleet.audit() == before)
        }
    }
}
