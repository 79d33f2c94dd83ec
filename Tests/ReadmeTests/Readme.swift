import Foundation
import Support

/// The shell commands of the README, as they would be pasted.
struct Readme {
    struct Block {
        let heading: String
        let commands: [String]
    }

    let blocks: [Block]

    init(_ text: String) {
        var blocks: [Block] = []
        var heading = ""
        var commands: [String]?
        var begun = ""
        for line in text.components(separatedBy: "\n") {
            if line == "```sh" {
                commands = []
            } else if line == "```" {
                if let commands { blocks.append(Block(heading: heading, commands: commands)) }
                commands = nil
            } else if commands == nil {
                if line.hasPrefix("#") { heading = line.trimmingCharacters(in: ["#", " "]) }
            } else if line.hasSuffix("\\") {
                begun += line.dropLast()
            } else {
                let command = Self.withoutComment(begun + line)
                begun = ""
                if !command.isEmpty { commands?.append(command) }
            }
        }
        self.blocks = blocks
    }

    private static func withoutComment(_ line: String) -> String {
        let end = line.range(of: #"(^|\s+)# ?.*$"#, options: .regularExpression)?.lowerBound ?? line.endIndex
        return line[..<end].trimmingCharacters(in: .whitespaces)
    }

    /// The commands of one block, which stands under a heading together with others.
    func commands(_ heading: String, _ number: Int = 0) throws -> [String] {
        let under = blocks.filter { $0.heading == heading }
        guard under.indices.contains(number) else {
            throw Failure("README: no block \(number) under \(heading)")
        }
        return under[number].commands
    }

    /// What becomes of a command here.
    enum Way: Equatable {
        /// It ends, with status 0, and prints this; nil: nothing that is promised.
        case ends(prints: String?)
        /// It runs until the test is over, and shows this, in its log or on standard output.
        case stays(shows: String)
        /// The same with less to do, or with the answer that a person would give.
        case instead(String)
        /// Not by these tests, and why.
        case elsewhere(String)
    }

    private static let small = "-seconds 0.05 -rounds 1 -connections 1 -short 1 -idle 10"

    /// The first that a command begins with tells.
    static let ways: [(String, Way)] = [
        ("deploy/up", .elsewhere("deploy/test runs it with --check")),
        ("deploy/test", .elsewhere("it runs these tests")),
        (FreshClone.build, .elsewhere("that is how the clone was built")),
        ("goproxy-server &", .stays(shows: "server-listening")),
        ("goproxy-server -uuid-file", .stays(shows: "server-listening")),
        ("goproxy-node", .stays(shows: "link-up")),
        ("goproxy-admin node add", .ends(prints: "goproxy-node -host ")),
        ("goproxy-admin listener add", .ends(prints: "active")),
        ("goproxy-admin peer-listener add", .ends(prints: "active")),
        ("(umask 077; goproxy-server -new-uuid", .ends(prints: nil)),
        ("install -m 644 deploy/systemd", .ends(prints: nil)),
        ("install -d", .ends(prints: nil)),
        ("echo", .ends(prints: nil)),
        ("goproxy-admin history --follow", .stays(shows: #""mapping""#)),
        ("goproxy-admin history top", .ends(prints: "127.0.0.1")),
        ("goproxy-admin history", .ends(prints: nil)),
        (
            "goproxy-admin conn list ; goproxy-admin conn kill 4711 --reason \"not on duty\"",
            .instead(
                "goproxy-admin conn list ; goproxy-admin conn kill 4711 --reason \"not on duty\" --force")
        ),
        ("goproxy-admin audit verify", .ends(prints: "anchor")),
        ("goproxy-admin audit", .ends(prints: "node-add")),
        ("goproxy-admin backup", .ends(prints: "/var/backups/goproxy.db")),
        ("swift build -c release && cd .build/release", .elsewhere("the clone is built")),
        ("./goproxy-bench -only growth", .elsewhere("10,000 connections at full load, beside other tests")),
        ("./goproxy-bench -only short -audit", .instead("./goproxy-bench -only short -audit \(small)")),
        ("./goproxy-bench -against ssh", .instead("./goproxy-bench -against ssh -only echo \(small)")),
        ("./goproxy-bench -fleet", .instead("./goproxy-bench -fleet 3")),
        ("./goproxy-bench -history", .instead("./goproxy-bench -history 2000")),
        ("./goproxy-bench", .instead("./goproxy-bench -only throughput \(small)")),
        (".build/release/goproxy-bench", .elsewhere("BenchTests: -markdown and -svg write their files")),
        ("swift test", .elsewhere("the same tests in debug mode, and a part of them")),
        ("GOPROXY_KILLS=1000 deploy/test", .elsewhere("the same tests for longer")),
        ("GOPROXY_SEED=1234 swift test", .elsewhere("the same tests with other seeds")),
    ]

    static func way(of command: String) throws -> Way {
        guard let way = ways.first(where: { command.hasPrefix($0.0) }) else {
            throw Failure("README: no test follows this command: \(command)")
        }
        return way.1
    }
}

/// The tree as it would be cloned, with the programs that the README's command builds there.
///
/// `GOPROXY_FRESH_CLONE` is the folder of one that is built already; deploy/test makes it before the tests, while nothing
/// else needs the processors. Without it the first test to ask makes one, which takes minutes.
enum FreshClone {
    static let build = "swift build -c release --static-swift-stdlib"

    static let shared: Result<Clone, any Error> = Result {
        if let made = ProcessInfo.processInfo.environment["GOPROXY_FRESH_CLONE"] {
            return Clone(path: made, owner: nil)
        }
        let directory = try TemporaryDirectory()
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path
        let script = """
            cd "$1" && git -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
            tar -c --null --ignore-failed-read -T - | tar -x -C "$2" && cd "$2" && nice \(build)
            """
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        _ = try run(
            "/usr/bin/env", ["bash", "-o", "pipefail", "-c", script, "clone", root, directory.path],
            environment: ["PATH": path, "HOME": directory.path], within: .seconds(1_500)
        ).succeeded()
        return Clone(path: directory.path, owner: directory)
    }

    struct Clone: Sendable {
        let path: String
        fileprivate let owner: TemporaryDirectory?
    }
}
