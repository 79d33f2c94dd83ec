import Support
import Testing

/// Nobody takes the last descriptors, streams or logins from the others: the real programs, with few descriptors.
@Suite(.waiting)
struct ShareTests {
    private func withFewDescriptors(_ body: (ManagedFleet) throws -> Void) throws {
        try withFleet { fleet in
            try fleet.stopServer()
            try fleet.resumeServer(under: ["/usr/bin/prlimit", "--nofile=200:200"])
            try body(fleet)
        }
    }

    /// Those of so many clients that are served; the others see a reset.
    private func crowd(_ count: Int, at entrance: Endpoint, from host: String) throws -> [Socket] {
        try (0..<count).compactMap { _ in
            let client = try Socket.connect(to: entrance, from: .tcp("\(host):0"))
            do {
                if try client.receive(upTo: 3).count > 0 { return client }
                Issue.record("an orderly end without a byte")
            } catch SocketError.reset {}
            return nil
        }
    }

    @Test func `one client's connections leave room for others, operators and links, and are counted`() throws
    {
        let target = try TargetServer { socket in
            try socket.send("red")
            _ = try socket.receiveToEnd()
        }
        try withFewDescriptors { fleet in
            _ = try fleet.joinNode("edge-07")
            let web = try fleet.open(.listener, of: "edge-07", to: target.endpoint)
            let other = try fleet.open(.listener, of: "edge-07", to: target.endpoint)
            let held = try crowd(250, at: web.entrance, from: "127.0.0.2")
            #expect((30..<120).contains(held.count), "\(held.count)")

            #expect(try crowd(3, at: web.entrance, from: "127.0.0.3").count == 3)
            #expect(try crowd(3, at: other.entrance, from: "127.0.0.4").count == 3)
            _ = try fleet.joinNode("edge-11")
            let theirs = try fleet.open(.listener, of: "edge-11", to: target.endpoint)
            #expect(try crowd(1, at: theirs.entrance, from: "127.0.0.2").count == 1)

            fleet.server.kill()
            try fleet.resumeServer()
            let counted = try fleet.refusals("client-share")
            #expect(counted == 250 - Int64(held.count))
        }
    }

    @Test func `two nodes leave the server's descriptors to a third`() throws {
        let target = try TargetServer { socket in
            try socket.send("red")
            _ = try socket.receiveToEnd()
        }
        try withFewDescriptors { fleet in
            var held: [Socket] = []
            for (number, name) in ["edge-01", "edge-02"].enumerated() {
                _ = try fleet.joinNode(name)
                for kind in Kind.allCases {
                    let mapping = try fleet.open(kind, of: name, to: target.endpoint)
                    for client in 0..<20 {
                        held += try crowd(10, at: mapping.entrance, from: "127.0.\(number + 1).\(client + 2)")
                    }
                }
            }
            _ = try fleet.joinNode("edge-03")
            let mine = try fleet.open(.listener, of: "edge-03", to: target.endpoint)
            #expect(try crowd(2, at: mine.entrance, from: "127.0.3.2").count == 2, "\(held.count) are held")
        }
    }

    @Test(arguments: Kind.allCases)
    func `a mapping that forwards to its own listener is named, and costs nobody anything`(kind: Kind) throws
    {
        try withFleet { fleet in
            let (_, node) = try fleet.joinNode("edge-07")
            let port = try freePort()
            let mapping = try fleet.add(
                kind, of: "edge-07", listen: .tcp("127.0.0.1:\(port)"), forward: .tcp("127.0.0.1:\(port)"))
            let entrance = try fleet.entrance(try mapping.integer("id"))
            let client = try Socket.connect(to: entrance)
            #expect(client.end().error == .reset)
            let dialler = kind == .listener ? node : fleet.server
            try dialler.waitForLog("sub-connection-refused", where: ["reason": "loop"])
            _ = try eventually("all have ended") { fleet.server.openFiles < 60 ? true : nil }
            if kind == .listener {
                _ = try eventually("the history names it", evidence: { "\((try? fleet.history()) ?? [])" }) {
                    try fleet.history().filter { $0.end?.reason == "loop" }.count == 1 ? true : nil
                }
            } else {
                fleet.server.kill()
                try fleet.resumeServer()
                #expect(try fleet.refusals("loop") == 1)
            }
            #expect(try fleet.history().count < 60)
        }
    }

    @Test func `logins in a loop are held off, and the node is heard again`() throws {
        try withFleet { fleet in
            let secret = try NodeSecret(uuid: try fleet.addNode("edge-07"))
            var logins = 0
            var isHeldOff = false
            for _ in 0..<200 where !isHeldOff {
                do {
                    _ = try HostileNode(fleet.endpoint, secret)
                    logins += 1
                } catch {
                    isHeldOff = true
                }
            }
            #expect(isHeldOff && (50..<150).contains(logins), "\(logins)")
            try fleet.server.waitForLog(
                "handshake-failed", where: ["reason": "too many logins with this credential"])
            _ = try eventually("it may log in again", within: .seconds(20)) {
                try? HostileNode(fleet.endpoint, secret)
            }
            fleet.server.kill()
            try fleet.resumeServer()
            #expect(try fleet.refusals("logins") >= 1)
        }
    }
}
