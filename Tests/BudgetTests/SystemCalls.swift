import Foundation
import Support

/// strace at a running program, that counts what the program asks of the kernel until `stop`.
///
/// It slows the program down, so that more waits for each call: what is counted is the least that a MiB needs. A call that is made
/// for each frame shows all the same.
final class SystemCalls {
    static let strace = "/usr/bin/strace"
    /// Whether this machine lets one process look into another.
    static let isPossible: Bool = {
        guard FileManager.default.isExecutableFile(atPath: strace) else { return false }
        guard let child = try? Program("/usr/bin/sleep", ["60"]) else { return false }
        let looking = try? SystemCalls(of: child, into: try TemporaryDirectory())
        return (try? looking?.stop()) != nil
    }()

    struct Table {
        let calls: [String: Int]

        private static let waiting: Set = [
            "epoll_wait", "epoll_pwait", "epoll_pwait2", "futex", "restart_syscall", "sched_yield",
        ]

        /// Calls that do something.
        var working: Int { calls.filter { !Self.waiting.contains($0.key) }.values.reduce(0, +) }
        /// Calls that wait, look whether there is something, or wake who waits.
        var waiting: Int { calls.values.reduce(0, +) - working }

        /// The most frequent ones first.
        var shown: String {
            calls.sorted { $0.value > $1.value }.prefix(12).map { "\($0.key) \($0.value)" }.joined(
                separator: ", ")
        }
    }

    private let tool: Program
    private let file: String
    private let directory: TemporaryDirectory

    init(of program: Program, into directory: TemporaryDirectory) throws {
        self.directory = directory
        file = directory.file("calls-\(program.pid)")
        tool = try Program(Self.strace, ["-c", "-f", "-U", "calls,name", "-o", file, "-p", "\(program.pid)"])
        let tool = tool
        _ = try eventually("strace looks at \(program.name)", evidence: { tool.transcript }) {
            if !tool.isRunning { throw Failure("strace has ended\n\(tool.transcript)") }
            return tool.errors.contains { $0.contains("attached") } ? true : nil
        }
    }

    func stop() throws -> Table {
        tool.send(SIGINT)
        try tool.waitForExit()
        let text = try String(contentsOfFile: file, encoding: .utf8)
        let rows = text.split(separator: "\n").compactMap { line -> (String, Int)? in
            let words = line.split(separator: " ")
            guard words.count == 2, words[1] != "total", let count = Int(words[0]) else { return nil }
            return (String(words[1]), count)
        }
        return Table(calls: Dictionary(rows) { $0 + $1 })
    }
}
