import Foundation

/// A started program: its lines, its log, its end. Killed with its owner.
package final class Program: Sendable {
    package let name: String
    private let child: ChildProcess

    package enum End: Equatable, Sendable, CustomStringConvertible {
        case exit(Int32)
        case signal(Int32)

        package var description: String {
            switch self {
            case .exit(let code): "exit \(code)"
            case .signal(let number): "ended by signal \(number)"
            }
        }
    }

    /// How many lines the log had; `waitForLog(after:)` looks only at later ones.
    package typealias Mark = Int

    /// The environment is exactly `environment` and a PATH: nothing of the developer's shell reaches the program.
    package init(
        _ executable: String, _ arguments: [String] = [], environment: [String: String] = [:],
        keepInputOpen: Bool = false, name: String? = nil
    ) throws {
        self.name = name ?? executable.split(separator: "/").last.map(String.init) ?? executable
        let path = ["PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"]
        child = try ChildProcess(
            executable, arguments, environment: environment.merging(path) { own, _ in own },
            input: keepInputOpen ? .pipe : .null)
    }

    /// A program of this package, from the directory that the running tests were built into, or from `GOPROXY_BIN`.
    ///
    /// `descriptors` is the most that it may have open.
    package static func goproxy(
        _ name: String, _ arguments: [String], environment: [String: String] = [:], descriptors: Int? = nil,
        prefix: [String] = []
    ) throws -> Program {
        let limit = descriptors.map { ["/usr/bin/prlimit", "--nofile=\($0):\($0)"] } ?? []
        let words = prefix + limit + ["\(buildDirectory)/\(name)"] + arguments
        return try Program(words[0], Array(words[1...]), environment: environment, name: name)
    }

    package static let buildDirectory: String = {
        if let override = ProcessInfo.processInfo.environment["GOPROXY_BIN"] { return override }
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (tests as NSString).deletingLastPathComponent
    }()

    deinit {
        setReading(true)
        kill()
    }

    package var pid: pid_t { child.pid }
    package var isRunning: Bool { child.state.get().status == nil }

    // MARK: Signals and the end

    package func send(_ signal: Int32) { child.send(signal) }

    /// `kill -9`, and returns when the process is gone.
    package func kill() {
        child.send(SIGKILL)
        _ = try? waitForExit(within: .seconds(10))
    }

    @discardableResult
    package func waitForExit(within limit: Duration = .seconds(10)) throws -> End {
        try eventually("\(name) ends", within: limit, evidence: { transcript }) {
            child.state.get().status.map { $0 & 0x7f == 0 ? .exit($0 >> 8 & 0xff) : .signal($0 & 0x7f) }
        }
    }

    /// Waits for the end and for the last line of both outputs.
    package func finish(within limit: Duration = .seconds(10)) throws -> Finished {
        let end = try waitForExit(within: limit)
        _ = try eventually("\(name) closes its output", within: .seconds(5), evidence: { transcript }) {
            child.state.get().openPipes == 0 ? true : nil
        }
        return Finished(end: end, output: output, errors: errors, transcript: transcript)
    }

    package struct Finished: Sendable {
        package let end: End
        package let output: [String]
        package let errors: [String]
        package let transcript: String

        /// The output, or a failure that shows everything.
        package func succeeded() throws -> [String] {
            guard end == .exit(0) else { throw Failure("\(end)\n\(transcript)") }
            return output
        }
    }

    // MARK: Lines

    package var output: [String] { child.state.get().lines.filter { $0.stream == .output }.map(\.text) }
    package var errors: [String] { child.state.get().lines.filter { $0.stream == .error }.map(\.text) }
    package var log: [LogLine] { errors.compactMap(LogLine.init) }
    package var mark: Mark { errors.count }

    /// Lets both outputs fill up, as a log reader does that hangs, or goes on reading them.
    package func setReading(_ isRead: Bool) { child.state.with { $0.isRead = isRead } }

    package func write(_ bytes: [UInt8]) throws { try child.write(bytes) }

    /// The first log line of this event whose fields have these values; an exited program stops the waiting.
    @discardableResult
    package func waitForLog(
        _ event: String, where wanted: [String: String] = [:], after mark: Mark = 0,
        within limit: Duration = .seconds(10)
    ) throws -> LogLine {
        let conditions = wanted.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        return try eventually("\(name) logs \(event)\(conditions)", within: limit, evidence: { transcript }) {
            let ended = !isRunning && child.state.get().openPipes == 0
            let lines = errors.dropFirst(mark).compactMap(LogLine.init)
            if let line = lines.first(where: { $0.matches(event, wanted) }) { return line }
            if ended { throw Failure("\(name) ended before it logged \(event)\(conditions)\n\(transcript)") }
            return nil
        }
    }

    package func waitForOutput(_ what: String, within limit: Duration = .seconds(10)) throws -> String {
        try eventually("\(name) prints \(what)", within: limit, evidence: { transcript }) {
            child.state.get().lines.first { $0.text.contains(what) }?.text
        }
    }

    package func logged(_ event: String, where wanted: [String: String] = [:]) -> [LogLine] {
        log.filter { $0.matches(event, wanted) }
    }

    /// The last lines of both outputs, for a failure's message; of a run of lines with one event, the first and last.
    package var transcript: String {
        let state = child.state.get()
        let end = state.status.map { $0 & 0x7f == 0 ? "exit \($0 >> 8 & 0xff)" : "signal \($0 & 0x7f)" }
        var shown: [String] = []
        var (event, repeats) = ("", 0)
        for line in state.lines {
            let next = LogLine(line.text).map { "\($0.level) \($0.event)" } ?? ""
            repeats = next == event && !next.isEmpty ? repeats + 1 : 0
            event = next
            if repeats > 1 { shown.removeLast() }
            let note = repeats > 1 ? "  (and \(repeats - 1) more such)" : ""
            shown.append("    \(line.stream == .output ? "out" : "err")| \(line.text)\(note)")
        }
        return (["  \(name) (pid \(pid), \(end ?? "running"))"] + shown.suffix(60)).joined(separator: "\n")
    }

    /// Resident memory in bytes, 0 once the process has ended.
    package var residentBytes: Int { status("VmRSS") }
    /// The most that it ever was.
    package var peakResidentBytes: Int { status("VmHWM") }

    private func status(_ field: String) -> Int {
        let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("\(field):") }
        return (line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0) * 1024
    }

    package var openFiles: Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count) ?? 0
    }
}

/// Runs a program of the system to its end.
package func run(
    _ executable: String, _ arguments: [String], environment: [String: String] = [:],
    within limit: Duration = .seconds(30)
) throws -> Program.Finished {
    try Program(executable, arguments, environment: environment).finish(within: limit)
}
