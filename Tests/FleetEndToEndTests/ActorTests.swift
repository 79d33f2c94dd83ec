import Foundation
import Support
import Testing

/// Who did it, where everybody comes by sudo.
@Suite(.light, .enabled(if: getuid() == 0, "needs root, to be somebody else before"))
struct ActorTests {
    @Test func `the audit tells apart who came by sudo, with a server and without`() throws {
        let fleet = try ManagedFleet()
        try fleet.explained {
            try fleet.addNode("edge-01")
            for (login, name) in [("alice", "edge-02"), ("bob", "edge-03")] {
                try rename(fleet, to: name, environment: ["SUDO_USER": login])
            }
            // Set at login and inherited: what the kernel says counts, whatever the environment tells.
            try rename(fleet, to: "edge-04", environment: ["SUDO_USER": "mallory"], loginUID: 1)
            try fleet.stopServer()
            try rename(fleet, to: "edge-05", environment: ["SUDO_USER": "carol"])
            try fleet.resumeServer()
            let renames = try fleet.audit().filter { $0["action"] == .text("node-rename") }
            #expect(
                renames.map { $0["actor"].string } == [
                    "alice (as root, says sudo)", "bob (as root, says sudo)", "daemon (as root)",
                    "carol (as root, says sudo)",
                ])
            #expect(renames.allSatisfy { $0["uid"] == .integer(0) })
            #expect(try fleet.admin("audit", "--actor", "alice").list().count == 1)
            #expect(try fleet.admin("audit", "--actor", "ali").list().isEmpty)
        }
    }

    private func rename(
        _ fleet: ManagedFleet, to name: String, environment: [String: String], loginUID: Int? = nil
    ) throws {
        let login = loginUID.map { "echo \($0) > /proc/self/loginuid; " } ?? ""
        let node = try #require(try fleet.nodes().first)["name"].string
        let done = try run(
            "/bin/sh",
            ["-c", "\(login)exec \(Program.buildDirectory)/goproxy-admin node rename \(node) \(name)"],
            environment: environment.merging(["GOPROXY_DATA": fleet.data]) { $1 })
        _ = try done.succeeded()
    }
}
