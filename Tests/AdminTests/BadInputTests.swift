import Admin
import Foundation
import Testing

struct BadInputTests {
    private static let strange = [
        "a\nb", "a\u{1b}[31mred", "it's", "a\"b", "'; drop table nodes; --", "𝕳ost", "a\u{202e}b", "ÿ", " ",
        "x/../y",
        "%s%n", String(repeating: "a", count: 64), String(repeating: "𝕳", count: 4_000),
    ]

    /// Every verb with a place for each strange text; `@` is the text.
    private static let lines = [
        "node add @", "node add new --tag @=v", "node show @", "node rename @ new", "node rename known @",
        "node tag @ k=v", "node tag known @=v", "node disable @ --force", "node enable @",
        "node rotate @ --force",
        "node remove @ --force", "listener add @ --listen :1 --forward a:1",
        "listener add known --name @ --listen :1 --forward a:1",
        "listener add known --listen @ --forward a:1",
        "listener add known --listen :1 --forward @", "listener add known --json @", "listener list --node @",
        "listener show @", "listener set @ --name n", "listener set 1 --name @", "listener set 1 --listen @",
        "listener disable @", "listener enable @", "listener remove @ --force",
        "peer-listener add @ --listen :1 --forward a:1", "peer-listener show @",
        "peer-listener set @ --name n",
        "peer-listener disable @", "peer-listener enable @", "peer-listener remove @ --force",
        "peer-listener list --node @", "node list --state @", "audit --since @", "completion @", "status @",
        "audit @",
        "history --since @", "history --until @", "history --at @", "history --node @",
        "history --listener @",
        "history --client @", "history --result @", "history --min-bytes @", "history --limit @",
        "history --cursor @",
        "history show @", "history top --by @", "history top --sort @", "history top --node @", "history @",
        "conn list --node @", "conn kill @ --reason r --force", "audit --until @", "audit --node @",
        "history stats @",
        "version @", "@", "node @", "help @", "node list -o @", "listener list --kind @", "node list --@",
    ]

    @Test func `strange text is refused in one safe sentence, whatever the verb, and changes nothing`() throws
    {
        let fixture = try AdminFixture(hasServer: true)
        #expect(fixture.run("node add known").status == 0)
        #expect(fixture.run("listener add known --listen 127.0.0.1:9 --forward a:1 --wait").status == 0)
        let before = fixture.run("node list -o json").output + fixture.run("listener list -o json").output
        for line in Self.lines {
            for text in Self.strange {
                let words = line.split(separator: " ").map { String($0.replacing("@", with: text)) }
                let outcome = fixture.run(words)
                #expect(outcome.status == 1 || outcome.status == 2, "\(line) with \(text.debugDescription)")
                #expect(outcome.output.isEmpty, "\(line)")
                expectSafe(outcome.error, line)
                guard !line.contains("-o") else { continue }
                let json = fixture.run(words + ["-o", "json"])
                #expect(json.errorCode != nil && json.status == outcome.status, "\(line): \(json.error)")
            }
        }
        #expect(
            fixture.run("node list -o json").output + fixture.run("listener list -o json").output == before)
        // `known` without a kind of listing: the database is as sound as before.
        #expect(fixture.run("status").status == 0)
    }

    private func expectSafe(_ error: String, _ line: String) {
        #expect(
            error.hasPrefix("goproxy-admin: ") && error.utf8.count < 4_000, "\(line): \(error.prefix(300))")
        let lines = error.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count <= 3 && lines.last == "", "\(line): \(error)")
        let isSafe = error.unicodeScalars.allSatisfy { scalar in
            scalar == "\n" || ![.control, .format].contains(scalar.properties.generalCategory)
        }
        #expect(isSafe, "\(line): \(error.debugDescription)")
    }

    @Test(arguments: [
        ("", "no command"),
        ("nod list", "did you mean node?"),
        ("node lsit", "did you mean list?"),
        ("node frobnicate", "there is add, list, show"),
        ("frobnicate", "there is node, listener"),
        ("node list --stat enabled", "did you mean --state?"),
        ("node list --state sleepy", "neither enabled nor disabled"),
        ("node show", "missing NODE"),
        ("node rename one", "missing NAME"),
        ("node show one two", "1 at most"),
        ("status now", "no arguments"),
        ("listener add edge", "missing --listen"),
        ("listener add edge --listen :1", "missing --forward"),
        ("listener add edge --listen", "missing value"),
        ("listener add edge --listen --forward a:1", "missing value"),
        ("listener add edge --listen :1 --listen :2", "given twice"),
        ("listener add edge --listen /run/x --forward a:1", "unix:/run/x"),
        ("listener set 1", "nothing to change"),
        ("listener enable 1 --wait --timeout 0s", "not between"),
        ("listener enable 1 --wait --timeout soon", "not a duration"),
        ("node tag edge", "no tags"),
        ("node tag edge k", "not key=value"),
        ("node add edge --tag k=1 --tag k=2", "there twice"),
        ("node rotate edge --overlap 91d", "not between"),
        ("node list -o xml", "none of table, json, jsonl"),
        ("node --tag k list", "before the command"),
        ("audit --since tomorrow", "neither a time"),
        ("audit --until 2026-13-01", "neither a time"),
        ("history --since 24", "neither a time"),
        ("history --since -1h", "neither a time"),
        ("history --until 2026-02-30", "neither a time"),
        ("history --at noon", "neither a time"),
        ("history --client 10.0.0.0/33", "neither an address nor a range"),
        ("history --client host", "neither an address nor a range"),
        ("history --result idle,bored", "none of client-eof"),
        ("history --result idle,", "an element is empty"),
        ("history --min-bytes many", "not a number of bytes"),
        ("history --min-bytes 1.5", "not a number of bytes"),
        ("history --min-bytes 99999999TB", "more bytes than there are"),
        ("history --limit 0", "not between"),
        ("history --limit 1000001", "not between"),
        ("history --cursor x", "not a connection's id"),
        ("history --cursor 1.2.3", "is for --follow"),
        ("history --follow --until 1h", "--follow and --until"),
        ("history --follow --at 1h", "--follow and --at"),
        ("history --follow --cursor 1.2", "not a connection's id"),
        ("history --utc --local", "exclude each other"),
        ("history --node", "missing value"),
        ("history --target", "missing value"),
        ("history --listener --open", "missing value"),
        ("history --open=maybe", "neither true nor false"),
        ("history -o xml", "none of table, json, jsonl, csv"),
        ("history stats -o csv", "csv is not for this command"),
        ("node show a -o csv", "csv is not for this command"),
        ("history shwo 4", "takes no arguments"),
        ("history show", "missing ID"),
        ("history top --by shoe", "none of client, node, listener, target"),
        ("history top --sort size", "neither bytes nor connections"),
        ("history top --limit 1001", "not between"),
        ("conn list --force", "unknown flag"),
        ("conn kill 4", "missing --reason"),
        ("conn kill x --reason r --force", "not a connection's id"),
        ("conn kill 4 --reason", "missing value"),
        ("conn end 4", "there is list, kill"),
        ("audit --limit 0", "not between"),
        ("completion tcsh", "none of bash, zsh, fish"),
        ("help frob", "there is node"),
        ("help node frob", "there is add"),
    ])
    func `wrong usage gets a sentence and status 2`(line: String, part: String) throws {
        let fixture = try AdminFixture(hasServer: false)
        let outcome = fixture.run(line)
        #expect(outcome.status == 2 && outcome.output.isEmpty && outcome.error.contains(part), "\(outcome)")
        #expect(!FileManager.default.fileExists(atPath: "\(fixture.directory)/lock"), "nothing was opened")
    }

    @Test func `an unknown target is named, an ambiguous one lists the candidates`() throws {
        let fixture = try AdminFixture(hasServer: true)
        for name in ["edge-1", "edge-2"] { _ = fixture.run("node add \(name)") }
        for verb in ["show", "enable", "disable --force", "rotate --force", "remove --force"] {
            let parts = verb.split(separator: " ")
            let line = { (name: String) in
                "node \(parts[0]) \(name) \(parts.dropFirst().joined(separator: " "))"
            }
            let unknown = fixture.run(line("paris"))
            #expect(unknown.status == 1 && unknown.error.contains(#"no node "paris""#))
            let ambiguous = fixture.run(line("edge"))
            #expect(ambiguous.status == 1, "never a guess")
            #expect(ambiguous.error.contains("edge-1") && ambiguous.error.contains("edge-2"))
        }
    }

    @Test func `a mistyped data directory is not made`() throws {
        let fixture = try AdminFixture(hasServer: false)
        let place = fixture.directory + "/typo"
        for verb in ["node list", "status", "listener add edge --listen :1 --forward a:1"] {
            let outcome = fixture.run("\(verb) --data \(place)")
            #expect(outcome.status == 1 && outcome.error.contains("no records here"))
        }
        #expect(!FileManager.default.fileExists(atPath: place))
    }

    @Test func `records in use by somebody who does not answer`() throws {
        let fixture = try AdminFixture(hasServer: true)
        unlink("\(fixture.directory)/control.sock")
        let outcome = fixture.run("node list -o json")
        #expect(outcome.status == 1 && outcome.errorCode == "locked" && outcome.error.contains("\(getpid())"))
    }
}
