import Foundation
import Support
import Testing

/// What an operator is told without asking for it.
@Suite(.light)
struct StatusTests {
    @Test(arguments: Kind.allCases)
    func `a target that is not reached is named until somebody reaches it`(kind: Kind) throws {
        try withFleet { fleet in
            _ = try fleet.joinNode("edge-07")
            let port = try freePort()
            let mapping = try fleet.open(kind, of: "edge-07", name: "rdp", to: .tcp("127.0.0.1:\(port)"))
            #expect(try text(fleet, "status").contains("unreachable") == false)
            for _ in 0..<2 {
                let client = try Socket.connect(to: mapping.entrance)
                #expect(throws: SocketError.self) { _ = try client.receive(exactly: 1) }
            }
            for verb in ["status", "doctor"] {
                let said = try text(fleet, verb)
                #expect(
                    said.contains("127.0.0.1:\(port)") && said.contains("edge-07/rdp")
                        || said.contains("\"rdp\""),
                    "\(said)")
                #expect(said.contains("target-refused, 2 clients since"), "\(said)")
            }
            #expect(try fleet.admin("status")["unreachable"].list().first?["count"] == .integer(2))
            let echo = try TargetServer.echo(on: .tcp("127.0.0.1:\(port)"))
            let client = try Socket.connect(to: mapping.entrance)
            try client.requireEcho()
            client.close()
            _ = try eventually("it is reached") {
                try fleet.admin("status")["unreachable"].list().isEmpty ? true : nil
            }
            #expect(echo.accepted == 1)
        }
    }

    private func text(_ fleet: ManagedFleet, _ verb: String) throws -> String {
        let done = try Program.goproxy("goproxy-admin", [verb], environment: ["GOPROXY_DATA": fleet.data])
            .finish()
        return done.output.joined(separator: "\n")
    }

    @Test func `the first line of a log says what runs, where its data is and where it listens`() throws {
        try withFleet { fleet in
            let (_, node) = try fleet.joinNode("edge-07")
            let first = try #require(fleet.server.log.first)
            #expect(first.event == "starting" && first["data"] == fleet.data)
            #expect(first["address"] == fleet.endpoint.address && !first["version"].isEmpty)
            #expect(node.log.first?.event == "starting")
            #expect(node.log.first?["server"].hasPrefix("127.0.0.1:") == true)
        }
    }

    @Test func `the database of an empty fleet is as large as the doctor says, and its log apart`() throws {
        try withFleet { fleet in
            let status = try fleet.admin("status")
            #expect(try status.integer("databaseBytes") < 1 << 20 && status.integer("logBytes") > 0)
            #expect(status["logHolder"] == .null)
        }
    }

    @Test(.enabled(if: getuid() == 0, "needs root, to be nobody"))
    func `a port for the privileged is named as one`() throws {
        let folder = try TemporaryDirectory()
        _ = try run("/usr/bin/chown", ["nobody", folder.path]).succeeded()
        let done = try Program.goproxy(
            "goproxy-server", ["-port", "80", "-data", folder.file("data")],
            prefix: ["/usr/bin/setpriv", "--reuid=nobody", "--clear-groups"]
        ).finish()
        #expect(done.end == .exit(1), "\(done.transcript)")
        #expect(done.errors.last?.contains("ports below 1024 are for root") == true, "\(done.transcript)")
    }
}
