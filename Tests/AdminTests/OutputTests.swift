import Foundation
import Support
import Testing

/// Standard output that takes nothing: a full disk, a limit, a reader that has gone.
struct OutputTests {
    private static let printing = [
        "help", "version", "node list", "node list -o json", "node list -o jsonl", "node show edge", "status",
        "audit", "history", "history -o csv --oldest", "history -o json", "history -o jsonl", "history top",
        "conn list", "listener list", "completion bash", "completion nodes", "doctor -o json",
    ]

    @Test(arguments: printing)
    func `what cannot be written is an error of the command, and a reader that has gone is none`(
        line: String
    ) throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = try fixture.makeHistory(5)
        _ = fixture.run("node add edge")
        let words = line.split(separator: " ").map(String.init)
        let full = fixture.run(words, outputError: ENOSPC)
        #expect(full.status == 1)
        #expect(full.error.contains("standard output: cannot be written: no space left on device"))
        let whole = fixture.run(words)
        let gone = fixture.run(words, outputError: EPIPE)
        #expect(gone.status == whole.status && gone.error == whole.error)
    }

    @Test func `a change that is done is said to be done though it cannot be shown`() throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = fixture.run("node add edge")
        let outcome = fixture.run(["node", "disable", "edge", "--force"], outputError: ENOSPC)
        #expect(outcome.status == 1 && outcome.error.contains("what was asked for is done"))
        #expect(fixture.run("node list --state disabled").output.contains("edge"))
    }

    @Test(arguments: [ENOSPC, EPIPE])
    func `a node whose uuid cannot be shown is not there`(error: Int32) throws {
        for hasServer in [true, false] {
            let fixture = try AdminFixture(hasServer: hasServer)
            _ = fixture.run("node add first")
            // Known before: nothing was made, so the audit knows nothing of it.
            let before = fixture.run(["node", "add", "edge"], foreseen: error)
            #expect(before.status == 1 && before.error.contains("standard output: cannot be written"))
            #expect(!fixture.run("audit -o json").output.contains("edge"))
            // Found out when it was there.
            let after = fixture.run(["node", "add", "edge"], outputError: error)
            #expect(after.status == 1 && after.error.contains("node edge was removed again"))
            #expect(fixture.run("node list -o json").output.contains("edge") == false)
            #expect(fixture.run("node add edge").status == 0)
        }
    }

    @Test(arguments: [ENOSPC, EPIPE])
    func `a uuid is not rotated where the new one cannot be shown`(error: Int32) throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = fixture.run("node add edge")
        let words = ["node", "rotate", "edge", "--force"]
        #expect(fixture.run(words, foreseen: error).status == 1)
        #expect(!fixture.run("audit -o json").output.contains("node-rotate"))
        let late = fixture.run(words, outputError: error)
        #expect(late.status == 1 && late.error.contains("the new uuid of node edge is lost"))
        #expect(late.error.contains("try: goproxy-admin node rotate edge"))
    }

    /// The real program with what the system really answers.
    @Test(arguments: ["> /dev/full", ">&-", "> here; ulimit -f 0", "| true"])
    func `the program makes no uuid for an output that takes nothing`(output: String) throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = fixture.run("node add edge")
        let admin = "\(Program.buildDirectory)/goproxy-admin"
        for line in ["node add other", "node rotate edge --force"] {
            let script =
                switch output {
                case "| true":
                    // The reader has gone before the program starts.
                    "exec 3> >(exec true); wait $!; \(admin) \(line) >&3; echo $? >&2"
                case "> here; ulimit -f 0":
                    "cd $GOPROXY_DATA; ulimit -f 0; \(admin) \(line) > here; echo $? >&2"
                default: "\(admin) \(line) \(output); echo $? >&2"
                }
            let finished = try run(
                "/bin/bash", ["-c", script], environment: ["GOPROXY_DATA": fixture.directory])
            #expect(finished.errors.last == "1", "\(finished.transcript)")
            #expect(finished.errors.contains { $0.contains("standard output: cannot be written") })
        }
        let audit = fixture.run("audit -o json").output
        #expect(!audit.contains("node-rotate") && !fixture.run("node list").output.contains("other"))
    }
}
