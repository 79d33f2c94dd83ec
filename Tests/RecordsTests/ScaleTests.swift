import Foundation
import Records
import Testing

@Suite(.serialized) struct ScaleTests {
    let scratch = Scratch()

    @Test(.timeLimit(.minutes(5))) func `1,000 nodes with 20 mappings each`() throws {
        let clock = ContinuousClock()
        let kinds: [MappingKind] = [.listener, .peerListener]
        do {
            let store = try scratch.store()
            let time = try clock.measure {
                for hundred in 0..<10 {
                    try store.change { (t) throws(RecordsError) in
                        for number in hundred * 100..<hundred * 100 + 100 {
                            let node = try t.addNode(
                                name: "edge-\(number)", tags: ["site": "s\(number % 10)"],
                                credential: .random())
                            for place in 0..<20 {
                                let port = 10_000 + number * 10 + place / 2
                                let new = NewMapping(
                                    kind: kinds[place % 2], name: "m\(place)",
                                    listen: .tcp("0.0.0.0:\(port)"),
                                    forward: .tcp("127.0.0.1:80"))
                                _ = try t.addMapping(node.id, new)
                            }
                        }
                    }
                }
            }
            print("insert 1,000 nodes x 20 mappings, each checked and audited: \(time)")
            store.close()
        }
        var store: Store?
        print("open: \(try clock.measure { store = try scratch.store() })")
        let opened = try #require(store)
        var fleet: [FleetNode] = []
        let load = try clock.measure { fleet = try opened.read { (r) throws(RecordsError) in try r.fleet() } }
        print("load the whole fleet: \(load)")
        #expect(
            fleet.count == 1_000 && fleet.allSatisfy { $0.mappings.count == 20 && $0.credentials.count == 1 })
        var nodes: [NodeRecord] = []
        let list = try clock.measure { nodes = try opened.read { (r) throws(RecordsError) in try r.nodes() } }
        print("list the nodes: \(list)")
        #expect(nodes.count == 1_000 && nodes.allSatisfy { $0.mappings == 20 && $0.tags.count == 1 })
        var count = 0
        let mappings = try clock.measure {
            count = try opened.read { (r) throws(RecordsError) in try r.mappings().count }
        }
        #expect(count == 20_000)
        print("list the mappings: \(mappings)")
        let one = try clock.measure { _ = try opened.node("edge-5") }
        print("find one node: \(one)")
        let add = try clock.measure { try opened.addMapping(nodes[0], .tcp("0.0.0.0:9999")) }
        print("add one mapping: \(add)")
        // A debug build on two shared cores: ten times the goals of the release build.
        #expect(load < .seconds(10) && list < .seconds(1))
    }
}
