import Foundation
import Support
import Testing

@Suite(.light)
struct PortInUseTests {
    @Test(arguments: Kind.allCases)
    func `a port in use is shown with its address and turns active by itself when it is free`(kind: Kind)
        throws
    {
        let target = try namedTarget("red")
        let taken = try Socket.listening(on: .anyPort, backlog: 1)
        let place = try Endpoint(boundTo: taken.descriptor, domain: "tcp")
        try withFleet { fleet in
            let node = try fleet.joinNode("edge-07").node
            let still = try fleet.open(kind, of: "edge-07", to: target.endpoint)
            let client = try Socket.named("red", at: still.entrance)
            let id = try fleet.add(kind, of: "edge-07", listen: place, forward: target.endpoint)
                .integer("id")
            let failed = try fleet.wait(for: id, "failed")
            #expect(failed["detail"].string.hasPrefix("address already in use"), "\(failed)")
            #expect(failed["listen"]["addr"] == .text(place.address) && failed["boundAddress"].isNull)
            #expect(try fleet.wait(for: still.id, "active")["detail"].isNull)
            let done = try fleet.adminProcess(["status"]).finish(within: .seconds(60))
            #expect(done.end == .exit(1) && done.transcript.contains("address already in use"), "\(done)")
            let status = try JSON(Array(done.output.joined(separator: "\n").utf8))
            #expect(
                status["mappings"]["failed"] == .integer(1) && status["mappings"]["active"] == .integer(1))

            taken.close()
            #expect(try fleet.wait(for: id, "active", within: .seconds(40))["detail"].isNull)
            _ = try Socket.named("red", at: place)
            try client.requireAlive()
            #expect(node.logged("link-down").isEmpty)
        }
    }

    @Test func `two nodes on one machine cannot both have a port, and the second gets it from the first`()
        throws
    {
        let (red, blue) = (try namedTarget("red"), try namedTarget("blue"))
        try withFleet { fleet in
            _ = try fleet.joinNode("edge-07")
            _ = try fleet.joinNode("edge-11")
            let place = Endpoint.tcp("127.0.0.1:\(try freePort())")
            let first = try fleet.open(.peerListener, of: "edge-07", listen: place, to: red.endpoint)
            // Two nodes are two machines as far as the records know: only the node can tell.
            let second = try fleet.add(
                .peerListener, of: "edge-11", listen: place, forward: blue.endpoint
            ).integer("id")
            #expect(try fleet.wait(for: second, "failed")["detail"].string.contains("in use"))
            try fleet.remove(.peerListener, first.id)
            #expect(try fleet.wait(for: second, "active", within: .seconds(40))["detail"].isNull)
            _ = try Socket.named("blue", at: place)
        }
    }

    @Test func `listeners of all nodes share the server's addresses`() throws {
        let target = try namedTarget("red")
        try withFleet { fleet in
            try fleet.addNode("edge-07")
            try fleet.addNode("edge-11")
            let port = try freePort()
            let place = Endpoint.tcp("127.0.0.1:\(port)")
            let first = try fleet.add(
                .listener, of: "edge-07", name: "rdp", listen: place, forward: target.endpoint
            ).integer("id")
            for address in [place.address, "0.0.0.0:\(port)", ":\(port)", "[::]:\(port)"] {
                let error = try fleet.refusal(
                    "listener", "add", "edge-11", "--listen", address, "--forward", "127.0.0.1:80")
                #expect(error["code"] == .text("conflict"))
                let other = "listener \(first) \"rdp\" of node edge-07"
                #expect(error["message"].string.contains(other), "\(error)")
            }
            // An address may move from one to the other.
            try fleet.disable(.listener, first)
            let second = try fleet.add(.listener, of: "edge-11", listen: place, forward: target.endpoint)
                .integer("id")
            #expect(try fleet.refusal("listener", "enable", "\(first)")["code"] == .text("conflict"))
            try fleet.remove(.listener, second)
            try fleet.enable(.listener, first)
        }
    }
}
