import Foundation
import Support
import Testing

/// The program itself: what it refuses, and one run with sizes that measure nothing but that it works.
@Suite(.serialized, .light)
struct BenchTests {
    @Test(arguments: [
        (["-round", "3"], "did you mean -rounds?"), (["-rounds", "0"], "-rounds: invalid value"),
        (["-seconds", "soon"], "not a number from 0.05 to 60"),
        (["-connections", "1,,8"], "separated by commas"),
        (["-short", "10001"], "from 1 to"), (["-only", "speed"], "not out of memory, throughput"),
        (["-against", "ssh,frp"], "not out of ssh, haproxy"), (["-against="], "empty value"),
        (["-growth=maybe"], "neither true nor false"), (["serve"], "takes flags only"),
    ])
    func `a wrong flag is refused in one line with exit code 2`(arguments: [String], says: String) throws {
        let done = try Program.goproxy("goproxy-bench", arguments).finish(within: .seconds(5))
        #expect(done.end == .exit(2), "\(done.transcript)")
        #expect(done.output == [] && done.errors.count == 1, "\(done.transcript)")
        #expect(done.errors.first?.hasPrefix("goproxy-bench: ") == true)
        #expect(done.errors.first?.contains(says) == true, "\(done.errors)")
    }

    @Test(arguments: ["-svg", "-json"])
    func `a file that cannot be written is refused before anything is measured`(flag: String) throws {
        let path = "/no/such/folder/figures"
        let done = try Program.goproxy("goproxy-bench", [flag, path]).finish(within: .seconds(5))
        #expect(done.end == .exit(2), "\(done.transcript)")
        #expect(done.errors == ["goproxy-bench: \(path): cannot write: No such file or directory"])
    }

    @Test func `a file without a place for the tables is refused before anything is measured`() throws {
        let folder = try TemporaryDirectory()
        try folder.write("README.md", "# No place\n")
        for name in ["README.md", "missing.md"] {
            let path = folder.file(name)
            let done = try Program.goproxy("goproxy-bench", ["-markdown", path]).finish(within: .seconds(5))
            #expect(done.end == .exit(2) && done.errors.count == 1, "\(done.transcript)")
            #expect(done.errors.first?.contains(path) == true, "\(done.errors)")
        }
    }

    private static let hasHaproxy = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"]
        .contains {
            FileManager.default.fileExists(atPath: $0)
        }

    @Test(.enabled(if: !hasHaproxy, "haproxy is installed"))
    func `a tunnel that is not installed is named before anything is measured`() throws {
        let done = try Program.goproxy("goproxy-bench", ["-against", "haproxy"]).finish(within: .seconds(5))
        #expect(done.end == .exit(1) && done.errors.count == 1, "\(done.transcript)")
        #expect(done.errors.first?.contains("haproxy is not installed") == true)
    }

    @Test func `a small run measures every section, writes picture and tables, and leaves nothing behind`()
        throws
    {
        let folder = try TemporaryDirectory()
        try folder.write("README.md", "before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")
        let done = try Program.goproxy(
            "goproxy-bench",
            [
                "-rounds", "1", "-seconds", "0.05", "-connections", "1,3", "-short", "2", "-idle", "20",
                "-bin",
                Program.buildDirectory, "-svg", folder.file("figures.svg"), "-markdown",
                folder.file("README.md"),
                "-json", folder.file("raw.json"),
            ], environment: ["TMPDIR": folder.path]
        ).finish(within: .seconds(60))
        let output = try done.succeeded().joined(separator: "\n")
        for title in [
            "Beside the goals", "Throughput", "64-byte echo", "Short connections", "whose receiver stops",
            "Resident memory",
        ] { #expect(output.contains(title), "\(title): \(done.transcript)") }
        let text = try String(contentsOfFile: folder.file("README.md"), encoding: .utf8)
        #expect(
            text.hasPrefix("before\n<!-- figures -->\n") && text.hasSuffix("<!-- end of figures -->\nafter\n")
        )
        #expect(text.contains("**Throughput**") && text.contains("| 3 | up | peer listener |"))
        #expect(!text.contains("old"))
        #expect(try String(contentsOfFile: folder.file("figures.svg"), encoding: .utf8).hasSuffix("</svg>\n"))
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        #expect(left == ["README.md", "figures.svg", "raw.json"])
    }
}
