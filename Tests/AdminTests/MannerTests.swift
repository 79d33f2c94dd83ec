import Admin
import Flags
import Foundation
import Records
import Testing

struct MannerTests {
    @Test func `flags stand anywhere, in either form`() throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = fixture.run("node add edge")
        let wanted = fixture.run("node list -o json").output
        for line in [
            "-o json node list", "node -o json list", "node list -o=json", "node list --o=json",
            "--o=json node list",
        ] {
            #expect(fixture.run(line).output == wanted, "\(line)")
        }
        let other = try AdminFixture(hasServer: true)
        for line in ["--data \(other.directory) node list", "node --data=\(other.directory) list"] {
            #expect(fixture.run("\(line) -o json").output == "[]\n")
        }
        // `--` ends the flags, so that a name may begin with a dash.
        #expect(fixture.run("node show -- -x").error.contains(#"no node "-x""#))
    }

    @Test func `help and version are for standard output and need no server`() throws {
        let fixture = try AdminFixture(hasServer: false)
        for line in [
            "help", "--help", "-h", "node --help", "node add --help", "help node", "help node add",
            "help status",
        ] {
            let outcome = fixture.run(line)
            #expect(
                outcome.status == 0 && outcome.output.hasPrefix("Usage: goproxy-admin ")
                    && outcome.error.isEmpty)
        }
        for line in ["--version", "version", "node list --version"] {
            #expect(fixture.run(line).output.hasPrefix("goproxy-admin 0."))
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: fixture.directory).isEmpty)
        let overview = fixture.run("help").output
        for verb in Verb.all {
            #expect(overview.contains("  \(verb.words)"))
            let help = fixture.run("help \(verb.words)").output
            for flag in verb.flags { #expect(help.contains("  \(FlagStyle.gnu.shown(flag.name))")) }
        }
    }

    @Test func `examples of help are command lines that parse`() throws {
        for verb in Verb.all where verb.name != "completion" {
            var words = verb.example.split(separator: " ").map(String.init)
            #expect(words.removeFirst() == Verb.program)
            guard case .run(let parsed, _) = try CommandParser.parse(words) else {
                Issue.record("\(verb.example)")
                continue
            }
            #expect(parsed.words == verb.words)
        }
    }

    @Test(arguments: [
        ("node disable edge", "Disable node edge", "its link closes with 3 sub-connections"),
        ("node rotate edge", "Rotate the uuid of node edge", "the old one ends at once"),
        ("node remove edge", "Remove node edge", "it goes with its 1 mapping"),
        ("listener remove 1", "Remove listener 1", "its sub-connections are closed"),
    ])
    func `what destroys names the thing and its consequence, and asks`(
        line: String, thing: String, consequence: String
    ) throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = fixture.run("node add edge")
        _ = fixture.run("listener add edge --listen 127.0.0.1:1 --forward 127.0.0.1:80")
        let list = fixture.run("node list -o json").output
        let id = try #require(list.firstMatch(of: /"id": "([0-9a-f-]{36})"/)).output.1
        fixture.fleet.setOnline(String(id), subConnections: 3)
        let alone = fixture.run(line)
        #expect(alone.status == 2 && alone.error.contains(thing) && alone.error.contains("--force"))
        for answer in ["n", "", "no", "yess"] {
            let no = fixture.run(line, answer: answer)
            #expect(
                no.status == 1 && no.error.contains(thing) && no.error.contains(consequence)
                    && no.output.isEmpty)
        }
        #expect(fixture.run("node list -o json").output.contains(#""mappings": 1"#), "nothing has happened")
        let yes = fixture.run(line, answer: "y")
        #expect(yes.status == 0 && !yes.output.contains("[y/N]"), "\(yes)")
        if line.hasPrefix("node") { #expect(yes.output.contains("3 sub-connections ended")) }
    }

    @Test func `a rotation with overlap destroys nothing and does not ask`() throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = fixture.run("node add edge")
        let outcome = fixture.run("node rotate edge --overlap 1h30m")
        #expect(outcome.status == 0 && outcome.output.contains("good for another 1h30m"))
    }

    @Test func `colour is for terminals, and NO_COLOR is honoured`() throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = fixture.run("node add edge")
        _ = fixture.run("listener add edge --listen 127.0.0.1:5 --forward 127.0.0.1:80 --wait")
        let list = ["listener", "list"]
        #expect(fixture.run(list, isTerminal: true).output.contains("\u{1b}[31mfailed\u{1b}[0m"))
        #expect(
            fixture.run(list, isTerminal: true, environment: ["NO_COLOR": ""]).output.contains("\u{1b}[31m"))
        for environment in [["NO_COLOR": "1"], ["TERM": "dumb"]] {
            #expect(!fixture.run(list, isTerminal: true, environment: environment).output.contains("\u{1b}"))
        }
        #expect(!fixture.run(list).output.contains("\u{1b}"))
        #expect(!fixture.run(list + ["-o", "json"], isTerminal: true).output.contains("\u{1b}"))
    }

    @Test func `tables are as they were agreed`() throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = fixture.run("node add edge-11 --tag site=paris")
        _ = fixture.run("node add edge-07")
        _ = fixture.run(
            "listener add edge-07 --name rdp --listen 0.0.0.0:13389 --forward 127.0.0.1:3389 --wait")
        _ = fixture.run("peer-listener add edge-11 --listen 0.0.0.0:5 --forward 10.0.0.5:80 --wait")
        _ = fixture.run("listener add edge-11 --listen 127.0.0.1:0 --forward unix:/run/x --wait")
        #expect(
            fixture.run("listener list").output == """
                ID  NODE     NAME  KIND      LISTEN             FORWARD             STATE   DETAIL
                 1  edge-07  rdp   listener  tcp 0.0.0.0:13389  tcp 127.0.0.1:3389  active  -
                 2  edge-11  -     peer      tcp 0.0.0.0:5      tcp 10.0.0.5:80     failed  address already in use (retry in 8 s)
                 3  edge-11  -     listener  tcp 127.0.0.1:0    unix /run/x         active  bound to 127.0.0.1:41234

                """)
        let list = fixture.run("node list -o json").output
        let ids = list.matches(of: /"id": "([0-9a-f-]{36})"/).map { String($0.output.1) }
        fixture.fleet.setOnline(ids[0], subConnections: 2)
        let text = fixture.run(["node", "list"], now: .now.adding(seconds: 200)).output
        let lines = text.split(separator: "\n").map(String.init)
        #expect(lines.count == 3 && Set(lines.map { $0.firstRange(of: "  ") != nil }) == [true])
        #expect(lines[0].hasPrefix("NAME     ID        STATE    LINK  ADDRESS            LAST SEEN"))
        #expect(lines[1].hasPrefix("edge-07  \(ids[0].prefix(8))  enabled  up    203.0.113.9:40000  20"))
        #expect(lines[1].contains("Z (3m ago)") && lines[1].hasSuffix("       1  -"))
        #expect(
            lines[2].hasPrefix("edge-11  \(ids[1].prefix(8))  enabled  away  -")
                && lines[2].hasSuffix("2  site=paris"))
    }

    @Test func `cells hold no control characters, and an absent value is a dash`() {
        var table = TextTable(["A", "N"], rightAligned: ["N"], hasColor: true)
        table.append([TextTable.Cell("x\u{1b}[31m\n\u{202e}y", .red), TextTable.Cell(nil)])
        table.append([TextTable.Cell("é𝕳"), "12"])
        let lines = table.text.split(separator: "\n")
        #expect(lines.count == 3 && lines[1].hasPrefix("\u{1b}[31mx\\u{1B}[31m\\n\\u{202E}y\u{1b}[0m"))
        #expect(lines[1].hasSuffix("   -") && lines[2].hasSuffix("  12"))
    }

    @Test func `completions are scripts that know every verb and flag`() throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = fixture.run("node add edge-07")
        _ = fixture.run("listener add edge-07 --name rdp --listen 127.0.0.1:1 --forward 127.0.0.1:80")
        for shell in ["bash", "zsh", "fish"] {
            let script = fixture.run("completion \(shell)").output
            for verb in Verb.all {
                #expect(script.contains(verb.name))
                for flag in verb.flags { #expect(script.contains(flag.name), "\(shell): \(flag.name)") }
            }
        }
        #expect(fixture.run("completion nodes").output == "edge-07\n")
        #expect(fixture.run("completion listeners").output == "rdp\n")
        fixture.stop()
        #expect(fixture.run("completion nodes").output == "", "a Tab takes no lock")
    }

    @Test func `bash completes with the script`() throws {
        let fixture = try AdminFixture(hasServer: false)
        let file = fixture.directory + "/completion.bash"
        try fixture.run("completion bash").output.write(toFile: file, atomically: true, encoding: .utf8)
        for (words, found) in [
            ("no", ["node"]), ("node r", ["rename", "rotate", "remove"]), ("node list --st", ["--state"]),
            ("-o json listener d", ["disable"]), ("node list -o j", ["json", "jsonl"]),
            ("completion z", ["zsh"]),
            ("st", ["status"]), ("status --d", ["--data"]),
        ] {
            let list = (["goproxy-admin"] + words.split(separator: " ").map(String.init))
            let script = """
                . \(file); COMP_WORDS=(\(list.joined(separator: " "))); COMP_CWORD=\(list.count - 1)
                _goproxy_admin; printf '%s\\n' "${COMPREPLY[@]}"
                """
            let process = Process()
            let pipe = Pipe()
            process.executableURL = URL(filePath: "/bin/bash")
            process.arguments = ["-c", script]
            process.standardOutput = pipe
            try process.run()
            let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(text.split(separator: "\n").map(String.init) == found, "\(words)")
        }
    }
}
