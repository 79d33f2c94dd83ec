import Foundation
import Support
import Testing

/// Who may write the records, and in whose name.
@Suite(.light)
struct DataDirectoryTests {
    @Test func `a second server on one data directory is refused with the pid of the first`() throws {
        let target = try namedTarget("red")
        try withFleet { fleet in
            _ = try fleet.joinNode("edge-07")
            let opened = try fleet.open(.listener, of: "edge-07", to: target.endpoint)
            let client = try Socket.named("red", at: opened.entrance)
            let second = try fleet.startServer()
            let done = try second.finish()
            #expect(done.end == .exit(1) && done.output.isEmpty)
            #expect(second.log.map(\.event) == ["starting", "waiting-for-records"])
            #expect(done.errors.count == 3, "\(done.errors)")
            #expect(
                done.errors.last?.contains("in use by process \(fleet.server.pid) (goproxy-server)") == true)
            // The first did not notice.
            try client.requireAlive()
            #expect(try fleet.nodes().count == 1)
        }
    }

    /// As a command does for a moment that asks for the status of a server which is just being started.
    @Test func `a server waits for whoever holds the records for a moment`() throws {
        try withFleet { fleet in
            try fleet.stopServer()
            let lock = open("\(fleet.data)/lock", O_RDWR)
            try #require(lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0)
            let server = try fleet.startServer()
            try server.waitForLog("waiting-for-records")
            close(lock)
            try server.waitForLog("control-listening")
        }
    }

    /// The control socket waits for the requests that have begun; what goes through the tunnel does not.
    @Test func `half a request at the control socket holds up no connection while the server stops`() throws {
        let target = try namedTarget("red")
        try withFleet(["-drain", "20s"]) { fleet in
            let (_, node) = try fleet.joinNode("edge-07", ["-drain", "20s"])
            let client = try Socket.named(
                "red", at: try fleet.open(.listener, of: "edge-07", to: target.endpoint).entrance)
            let half = try Socket.connect(to: .unix(fleet.control.path))
            try half.send("POST /v1/nodes HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            // It has been taken up when a whole one behind it is answered.
            _ = try fleet.nodes()
            fleet.server.send(SIGTERM)
            try fleet.server.waitForLog("stopping")
            var slowest = Duration.zero
            let start = ContinuousClock.now
            while ContinuousClock.now - start < .seconds(7) {
                let before = ContinuousClock.now
                try client.requireAlive()
                slowest = max(slowest, ContinuousClock.now - before)
            }
            // It used to stand for 5 s.
            #expect(slowest < .seconds(2))
            client.close()
            #expect(try fleet.server.waitForExit(within: .seconds(30)) == .exit(0))
            node.kill()
        }
    }

    @Test func `a server that was killed leaves nothing in the way`() throws {
        try withFleet { fleet in
            try fleet.addNode("edge-07")
            for _ in 0..<3 {
                try fleet.stopServer(SIGKILL)
                #expect(FileManager.default.fileExists(atPath: "\(fleet.data)/control.sock"))
                try fleet.resumeServer()
                #expect(try fleet.nodes().map { $0["name"] } == [.text("edge-07")])
            }
        }
    }

    @Test func `the command for a node has the name and the port that it finds the server at`() throws {
        for flags in [[], ["-public", "[::1]:4443"], ["-public", "vpn.example.com:4443"]] {
            try withFleet(flags) { fleet in
                func shown(_ words: [String]) throws -> String {
                    let admin = try Program.goproxy(
                        "goproxy-admin", words, environment: ["GOPROXY_DATA": fleet.data])
                    return try admin.finish(within: .seconds(60)).succeeded().joined(separator: "\n")
                }
                let wanted =
                    switch flags.last {
                    case "[::1]:4443": "goproxy-node -host ::1 -port 4443 -uuid gp1_"
                    case nil: " -port \(fleet.endpoint.port) -uuid gp1_"
                    default: "goproxy-node -host vpn.example.com -port 4443 -uuid gp1_"
                    }
                for words in [["node", "add", "edge-07"], ["node", "rotate", "edge-07", "--force"]] {
                    let text = try shown(words)
                    #expect(text.contains(wanted), "\(text)")
                }
                // What the command says itself comes first.
                let text = try shown(["node", "add", "edge-11", "--host", "other", "--port", "77"])
                #expect(text.contains("goproxy-node -host other -port 77 -uuid gp1_"), "\(text)")
            }
        }
    }

    @Test func `admin works with and without a server, and both are attributed to the user`() throws {
        try withFleet { fleet in
            let up = try fleet.addNode("edge-07")
            #expect(try fleet.admin("status")["running"] == .bool(true))
            #expect(try fleet.admin("status").integer("pid") == Int(fleet.server.pid))
            try fleet.stopServer()

            let down = try fleet.addNode("edge-11")
            try fleet.admin("node", "rename", "edge-07", "paris-1")
            let id = try fleet.add(.peerListener, of: "edge-11", forward: .tcp("127.0.0.1:9")).integer("id")
            // A server that is down is no success.
            let status = try fleet.adminProcess(["status"]).finish(within: .seconds(60))
            #expect(status.end == .exit(1))
            #expect(try JSON(Array(status.output.joined(separator: "\n").utf8))["running"] == .bool(false))
            #expect(try fleet.node("paris-1")["online"] == .bool(false))
            #expect(try fleet.mapping(id)["state"] == .text("pending"))

            try fleet.resumeServer()
            for (uuid, name) in [(up, "paris-1"), (down, "edge-11")] {
                try fleet.waitForLink(of: try fleet.startNode(uuid))
                #expect(try fleet.node(name)["name"] == .text(name))
            }
            try fleet.wait(for: id, "active")
            let user = try run("/usr/bin/id", ["-un"]).succeeded().joined()
            let entries = try fleet.audit()
            let told = entries.filter {
                ["node-add", "node-rename", "mapping-add"].contains($0["action"].string)
            }
            #expect(
                told.map { $0["action"].string } == ["node-add", "node-add", "node-rename", "mapping-add"])
            for entry in told {
                #expect(entry["actor"] == .text(user) && entry["uid"] == .integer(Int(getuid())), "\(entry)")
            }
        }
    }

    @Test func `a database that is shared by name is not opened twice by admin`() throws {
        try withFleet { fleet in
            try fleet.addNode("edge-07")
            // The socket's file is gone, as after somebody's clean-up; the lock still says who has the records.
            try FileManager.default.removeItem(atPath: "\(fleet.data)/control.sock")
            let error = try fleet.refusal("node", "list")
            #expect(error["code"] == .text("locked"), "\(error)")
            #expect(error["message"].string.contains("\(fleet.server.pid)"), "\(error)")
        }
    }

    @Test func `two admins at once change what they want, and all of it is there`() throws {
        try withFleet { fleet in
            try fleet.addNode("edge-07")
            let data = fleet.data
            let workers = ["a", "b"].map { who in
                Worker {
                    for number in 0..<50 {
                        _ = try Program.goproxy(
                            "goproxy-admin",
                            [
                                "peer-listener", "add", "edge-07", "--name", "\(who)-\(number)", "--listen",
                                "127.0.0.1:0", "--forward", "127.0.0.1:9", "-o", "json",
                            ], environment: ["GOPROXY_DATA": data]
                        ).finish(within: .seconds(60)).succeeded()
                    }
                }
            }
            for worker in workers { try worker.value(within: .seconds(120)) }
            let names = Set(try fleet.mappings().map { $0["name"].string })
            #expect(names == Set((0..<50).flatMap { ["a-\($0)", "b-\($0)"] }))
            let added = try fleet.audit().filter { $0["action"] == .text("mapping-add") }
            #expect(added.count == 100 && added.allSatisfy { $0["uid"] == .integer(Int(getuid())) })
        }
    }

    @Test func `the server ends at once although somebody waits for a node that is away`() throws {
        try withFleet { fleet in
            try fleet.addNode("edge-07")
            let waiting = try fleet.adminProcess(
                [
                    "peer-listener", "add", "edge-07", "--listen", "127.0.0.1:0", "--forward", "127.0.0.1:9",
                    "--wait", "--timeout", "50s",
                ])
            _ = try eventually("it is recorded") { try fleet.mappings().count == 1 ? true : nil }
            // Idle, and kept open by its client.
            let idle = try Socket.connect(to: .unix(fleet.control.path))
            try idle.send("GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
            _ = try idle.receive()
            let clock = ContinuousClock()
            let taken = try clock.measure { try fleet.stopServer() }
            #expect(taken < .seconds(5), "it took \(taken)")
            #expect(try waiting.finish(within: .seconds(20)).end != .exit(0))
        }
    }

    @Test(arguments: ["server.key", "seal.key"])
    func `a server makes no key beside credentials that only the old one opens`(key: String) throws {
        try withFleet { fleet in
            let (_, node) = try fleet.joinNode("edge-07")
            try fleet.stopServer()
            let (path, kept) = ("\(fleet.data)/\(key)", "\(fleet.data)/../kept")
            try FileManager.default.moveItem(atPath: path, toPath: kept)
            let done = try fleet.startServer().finish()
            #expect(done.end == .exit(1), "\(done.transcript)")
            #expect(
                done.transcript.contains("\(key) missing beside a database with 1 credentials"),
                "\(done.transcript)")
            #expect(!FileManager.default.fileExists(atPath: path))
            try FileManager.default.moveItem(atPath: kept, toPath: path)
            let mark = node.mark
            try fleet.resumeServer()
            try fleet.waitForLink(of: node, after: mark)
        }
    }
}
