import Foundation
import Support
import Testing

/// The README's commands, pasted one after the other on a machine of their own, with the programs of a fresh clone.
@Suite(.serialized, .heavy)
struct ReadmeTests {
    private static func readme() throws -> Readme {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return Readme(try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8))
    }

    @Test func `every command has its way, and no way is without its command`() throws {
        let commands = try Self.readme().blocks.flatMap(\.commands)
        #expect(commands.count > 25)
        var followed: Set<String> = []
        for command in commands {
            do {
                _ = try Readme.way(of: command)
                followed.formUnion(Readme.ways.first { command.hasPrefix($0.0) }.map { [$0.0] } ?? [])
            } catch { Issue.record("\(error)") }
        }
        #expect(Readme.ways.map(\.0).filter { !followed.contains($0) } == [])
    }

    @Test func `a command that nothing follows is found`() {
        let planted = Readme("## More\n```sh\ngoproxy-admin fly     # away\nsleep \\\n  1\n```\n")
        #expect(planted.blocks.first?.commands == ["goproxy-admin fly", "sleep   1"])
        #expect(throws: Failure.self) { _ = try Readme.way(of: "goproxy-admin fly") }
    }

    @Test(.enabled(if: canHaveOwnNetwork, "needs root, for a machine of its own"))
    func `a server, a node and both kinds of listener, and then who connected to what`() throws {
        let readme = try Self.readme()
        try Stage.with { stage in
            for command in try readme.commands("On two machines", 1) {
                let lines = try stage.follow(command)
                if let uuid = lines.joined(separator: " ").firstMatch(of: /gp1_[0-9A-Za-z_-]+/) {
                    stage.values["gp1_…"] = String(uuid.output)
                }
            }
            try stage.proves(13389, reaches: 3389)
            try stage.proves(14151, reaches: 4151) {
                let list = try run("/usr/local/bin/goproxy-admin", ["conn", "list", "-o", "json"]).succeeded()
                let id = try #require(list.joined().firstMatch(of: /"id"\s*:\s*"?(\d+)/)).output.1
                stage.values["4711"] = String(id)
                for command in try readme.commands("Who connected to what") {
                    if command.hasPrefix("goproxy-admin audit verify") {
                        // A journal keeps the server's log; it has an anchor each minute.
                        let server = stage.programs[0]
                        try server.waitForLog("history-head", within: .seconds(100))
                        try stage.folder.write("journal.txt", server.errors.joined(separator: "\n") + "\n")
                    }
                    try stage.follow(command)
                }
                #expect(FileManager.default.fileExists(atPath: "/var/backups/goproxy.db"))
            }
        }
    }

    @Test(.enabled(if: canHaveOwnNetwork, "needs root, for a machine of its own"))
    func `the line that node add prints starts that node`() throws {
        try Stage.with { stage in
            try stage.follow("goproxy-server &")
            let lines = try stage.follow("goproxy-admin node add edge-07")
            let line = try #require(lines.first { $0.contains("goproxy-node -host ") })
            try stage.follow(line.trimmingCharacters(in: .whitespaces))
        }
    }

    @Test(.enabled(if: canHaveOwnNetwork, "needs root, for a machine of its own"))
    func `one node without a database's help`() throws {
        let readme = try Self.readme()
        try Stage.with { stage in
            for command in try readme.commands("On two machines", 2) { try stage.follow(command) }
            try stage.proves(13389, reaches: 3389)
            try stage.proves(14151, reaches: 4151)
        }
    }

    @Test(.enabled(if: canHaveOwnNetwork, "needs root, for a machine of its own"))
    func `units, settings and credential go where they belong`() throws {
        let readme = try Self.readme()
        try Stage.with { stage in
            stage.values["gp1_…"] = try run("/usr/local/bin/goproxy-server", ["-new-uuid"]).succeeded()
                .joined()
            for number in 0...1 {
                for command in try readme.commands("As services", number) { try stage.follow(command) }
            }
            #expect(try run("/usr/bin/stat", ["-c", "%a", "/etc/goproxy/uuid"]).output == ["600"])
            #expect(
                try String(contentsOfFile: "/etc/goproxy/node.env", encoding: .utf8)
                    == "GOPROXY_SERVER=vpn.example.com\n")
            #expect(
                try String(contentsOfFile: "/proc/sys/net/ipv4/tcp_mtu_probing", encoding: .utf8) == "1\n")
        }
    }

    @Test(.enabled(if: canHaveOwnNetwork, "needs root, for a machine of its own"))
    func `each measurement runs, with less to measure`() throws {
        let readme = try Self.readme()
        try Stage.with { stage in
            for command in try readme.commands("Measuring") {
                try stage.follow(command, in: "\(stage.clone)/.build/release")
            }
        }
    }
}
