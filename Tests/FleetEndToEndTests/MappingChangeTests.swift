import Foundation
import Support
import Testing

/// One mapping is changed while others carry traffic.
@Suite(.light)
struct MappingChangeTests {
    @Test(arguments: Kind.allCases)
    func `a mapping is added, changed, disabled, enabled and removed while other transfers go on`(
        kind: Kind
    ) throws {
        let echo = try TargetServer.echo(limit: .seconds(120))
        let (red, blue) = (try namedTarget("red"), try namedTarget("blue"))
        try withFleet { fleet in
            let edge = try fleet.joinNode("edge-07").node
            let other = try fleet.joinNode("edge-11").node
            // One transfer each way over the node whose mappings change, and one over another node.
            var transfers: [EndlessTransfer] = []
            for (number, node) in ["edge-07", "edge-07", "edge-11"].enumerated() {
                let still = try fleet.open(Kind.allCases[number % 2], of: node, to: echo.endpoint)
                transfers.append(try EndlessTransfer(through: still.entrance, seed: UInt64(number)))
            }
            for transfer in transfers { try transfer.requireProgress() }

            // Added.
            let added = try fleet.add(kind, of: "edge-07", name: "web", forward: red.endpoint)
            let id = try added.integer("id")
            #expect(added["kind"] == .text(kind.rawValue) && added["origin"] == .text("operator"))
            let entrance = try fleet.entrance(id)
            let first = try Socket.named("red", at: entrance)
            for transfer in transfers { try transfer.requireProgress() }

            // Changed: another target. Whoever was connected to the old one is not any more.
            try fleet.set(kind, id, forward: blue.endpoint)
            #expect(try fleet.entrance(id).host == "127.0.0.1")
            try first.requireEnd()
            let second = try Socket.named("blue", at: try fleet.entrance(id))
            try second.requireAlive()

            // Changed: another address.
            let place = Endpoint.tcp("127.0.0.1:\(try freePort())")
            let left = try fleet.entrance(id)
            try fleet.set(kind, id, listen: place)
            #expect(try fleet.entrance(id) == place)
            try second.requireEnd()
            _ = try eventually("the old address is free") { isClosed(left) ? true : nil }
            let third = try Socket.named("blue", at: place)
            try third.requireAlive()
            for transfer in transfers { try transfer.requireProgress() }

            // Disabled, and enabled again.
            try fleet.disable(kind, id)
            #expect(try fleet.wait(for: id, "disabled")["boundAddress"].isNull)
            try third.requireEnd()
            _ = try eventually("nobody listens") { isClosed(place) ? true : nil }
            try fleet.enable(kind, id)
            #expect(try fleet.entrance(id) == place)
            let fourth = try Socket.named("blue", at: place)
            for transfer in transfers { try transfer.requireProgress() }

            // Removed.
            try fleet.remove(kind, id)
            #expect(try !fleet.mappings().contains { $0["id"] == .integer(id) })
            try fourth.requireEnd()
            _ = try eventually("nobody listens") { isClosed(place) ? true : nil }

            for transfer in transfers {
                try transfer.requireProgress()
                try transfer.finish()
            }
            #expect(fleet.server.logged("link-down").isEmpty && edge.isRunning && other.isRunning)
            let told = try fleet.audit().filter { $0["mapping"] == .integer(id) }.map { $0["action"].string }
            #expect(
                told == [
                    "mapping-add", "mapping-set", "mapping-set", "mapping-disable", "mapping-enable",
                    "mapping-remove",
                ])
        }
    }

    @Test func `each node sees its own mappings alone`() throws {
        let (red, blue) = (try namedTarget("red"), try namedTarget("blue"))
        try withFleet { fleet in
            let nodes = try ["edge-07", "edge-11"].map { try fleet.joinNode($0).node }
            var mine: [[Int]] = [[], []]
            for (number, name) in ["edge-07", "edge-11"].enumerated() {
                for kind in Kind.allCases {
                    let target = number == 0 ? red : blue
                    let opened = try fleet.open(kind, of: name, to: target.endpoint)
                    _ = try Socket.named(number == 0 ? "red" : "blue", at: opened.entrance)
                    if kind == .peerListener { mine[number].append(opened.id) }
                }
                let listed = try fleet.mappings(of: name)
                #expect(listed.count == 2 && listed.allSatisfy { $0["node"] == .text(name) })
                #expect(try fleet.node(name).integer("mappings") == 2)
            }
            for (node, ids) in zip(nodes, mine) {
                #expect(node.logged("listener-active").map { $0["mapping"] } == ids.map(String.init))
            }
            #expect(try fleet.mappings().count == 4)
        }
    }

    @Test(arguments: Kind.allCases)
    func `removing a mapping closes its sub-connections and no other's`(kind: Kind) throws {
        let target = try namedTarget("red")
        try withFleet { fleet in
            let node = try fleet.joinNode("edge-07").node
            let doomed = try fleet.open(kind, of: "edge-07", to: target.endpoint)
            let kept = try fleet.open(kind, of: "edge-07", to: target.endpoint)
            let dying = try (0..<5).map { _ in try Socket.named("red", at: doomed.entrance) }
            let living = try (0..<5).map { _ in try Socket.named("red", at: kept.entrance) }
            try fleet.remove(kind, doomed.id)
            for socket in dying { try socket.requireEnd() }
            for socket in living { try socket.requireAlive() }
            for program in [fleet.server, node] {
                let closed = try eventually("five are closed", evidence: { fleet.logs }) {
                    let lines = program.logged("sub-connection-closed")
                    return lines.count >= 5 ? lines : nil
                }
                #expect(closed.count == 5)
                #expect(
                    closed.allSatisfy {
                        $0["reason"] == "mapping-removed" && $0["mapping"] == "\(doomed.id)"
                    }, "\(closed)")
            }
            // The optimiser would close them after their last use, and their ends be among those counted.
            withExtendedLifetime(living) {}
            #expect(node.logged("link-down").isEmpty)
        }
    }

    @Test(arguments: Kind.allCases)
    func `clients that knock while mappings come and go do not cost the link`(kind: Kind) throws {
        let echo = try TargetServer.echo(limit: .seconds(120))
        try withFleet { fleet in
            let node = try fleet.joinNode("edge-07").node
            let still = try fleet.open(kind, of: "edge-07", to: echo.endpoint)
            let transfer = try EndlessTransfer(through: still.entrance, seed: 1)
            let places = try (0..<4).map { _ in Endpoint.tcp("127.0.0.1:\(try freePort())") }
            // Knocks at all of them as fast as it can: some knock in the moment between a bind and its push.
            let isOver = Locked(false)
            defer { isOver.set(true) }
            let knocking = places.map { place in
                Worker {
                    while !isOver.get() {
                        guard let socket = try? Socket.connect(to: place, limit: .seconds(5)) else {
                            usleep(500)
                            continue
                        }
                        if (try? socket.send("x")) != nil { _ = try? socket.receive(upTo: 1) }
                    }
                }
            }
            // Straight to the socket and all at once: a process for each change would leave time between them.
            let (control, target) = (fleet.control, echo.endpoint.address)
            let changing = places.map { place in
                Worker {
                    for _ in 0..<50 {
                        let id = try control.ask(
                            "POST", "/v1/mappings",
                            """
                            {"node":"edge-07","kind":"\(kind)","listen":{"addr":"\(place.address)"},
                             "forward":{"addr":"\(target)"}}
                            """
                        ).integer("id")
                        try control.ask("DELETE", "/v1/mappings/\(id)")
                    }
                }
            }
            for worker in changing { try worker.value(within: .seconds(60)) }
            isOver.set(true)
            for worker in knocking { try worker.value(within: .seconds(20)) }
            try transfer.requireProgress()
            try transfer.finish()
            for program in [fleet.server, node] { #expect(program.logged("violation").isEmpty) }
            #expect(node.logged("link-down").isEmpty, "\(fleet.logs)")
        }
    }
}
