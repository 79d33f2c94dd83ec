import Admin
import Foundation
import Support
import Synchronization
import Testing

/// Two at once, with the real program and with curl.
struct TwoAdminTests {
    private static let changes = 50

    @Test func `two programs share the records while no server runs`() throws {
        let fixture = try AdminFixture(hasServer: false)
        #expect(fixture.run("node add edge").status == 0)
        let program = try Self.program()
        let failures = Atomic<Int>(0)
        let threads = ["a", "b"].map { side in
            let directory = fixture.directory
            return Thread {
                for number in 0..<Self.changes {
                    let words = [
                        "node", "tag", "edge", "\(side)\(number)=1", "--remove", "\(side)\(number - 1)",
                    ]
                    if Self.run(program, words + ["--data", directory]) != 0 {
                        failures.add(1, ordering: .relaxed)
                    }
                }
            }
        }
        try Self.join(threads)
        #expect(failures.load(ordering: .relaxed) == 0)
        #expect(fixture.run("node show edge").output.contains("a49=1 b49=1"))
        let entries = fixture.run("audit --since 1h -o jsonl").output.split(separator: "\n")
        #expect(entries.count == 1 + 2 * Self.changes)
    }

    /// As root only: one of the two must be another user.
    @Test(.enabled(if: getuid() == 0)) func `changes of two users are all there, each with its user`() throws
    {
        let fixture = try AdminFixture(hasServer: false)
        try fixture.start(mode: 0o666)
        chmod(fixture.directory, 0o711)
        #expect(fixture.run("node add edge").status == 0)
        let program = try Self.program()
        let failures = Atomic<Int>(0)
        let directory = fixture.directory
        let root = Thread {
            for number in 0..<Self.changes {
                let listen = ["--listen", "127.0.0.1:\(20_000 + number)", "--forward", "127.0.0.1:80"]
                let words = ["listener", "add", "edge", "--name", "root-\(number)"] + listen
                if Self.run(program, words + ["--data", directory]) != 0 {
                    failures.add(1, ordering: .relaxed)
                }
            }
        }
        let nobody = Thread {
            for number in 0..<Self.changes {
                let body = """
                    {"node":"edge","kind":"peer-listener","name":"nobody-\(number)",
                    "listen":{"addr":"127.0.0.1:\(20_000 + number)"},"forward":{"addr":"127.0.0.1:80"}}
                    """
                let words = ["-sS", "-f", "--unix-socket", "\(directory)/control.sock", "-d", body]
                let status = Self.run(
                    "/usr/bin/env",
                    ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl"] + words
                        + ["-o", "/dev/null", "http://localhost/v1/mappings"])
                if status != 0 { failures.add(1, ordering: .relaxed) }
            }
        }
        try Self.join([root, nobody])
        #expect(failures.load(ordering: .relaxed) == 0)
        let list = fixture.run("listener list -o jsonl").output
        #expect(list.split(separator: "\n").count == 2 * Self.changes)
        let entries = fixture.run("audit --since 1h -o jsonl").output.split(separator: "\n").filter {
            $0.contains(#""action":"mapping-add""#)
        }
        #expect(entries.count == 2 * Self.changes)
        for entry in entries {
            let isRoots = entry.contains(#""name":"root-"#)
            #expect(entry.contains(isRoots ? #""actor":"root""# : #""actor":"nobody""#))
            #expect(entry.contains(isRoots ? #""uid":0"# : #""uid":65534"#))
        }
    }

    @Test func `the program's exit statuses and streams are the library's`() throws {
        let fixture = try AdminFixture(hasServer: true)
        let program = try Self.program()
        #expect(Self.run(program, ["node", "add", "edge", "--data", fixture.directory]) == 0)
        #expect(Self.run(program, ["node", "show", "paris", "--data", fixture.directory]) == 1)
        #expect(Self.run(program, ["node", "shw"]) == 2)
    }

    /// Beside the tests, in the folder of the build.
    private static func program() throws -> String {
        let tests = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        let path = tests.deletingLastPathComponent().appending(path: "goproxy-admin").path
        return FileManager.default.isExecutableFile(atPath: path)
            ? path
            : URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().path + "/goproxy-admin"
    }

    private static func run(_ program: String, _ words: [String]) -> Int32 {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = words
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return -1 }
        process.waitUntilExit()
        return process.terminationStatus
    }

    private static func join(_ threads: [Thread]) throws {
        for thread in threads { thread.start() }
        let deadline = time(nil) + 120
        while !threads.allSatisfy(\.isFinished), time(nil) < deadline { poll(nil, 0, 10) }
        try #require(threads.allSatisfy { $0.isFinished })
    }
}
