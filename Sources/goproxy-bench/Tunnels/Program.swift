// Program: a child process of the benchmark, its log, and what it costs.
import Glibc
import Synchronization

/// A running goproxy-server or goproxy-node. Every child is ended by its pid: by `end`, by `Program.endAll`
/// on an error or a signal, and by the crash handler.
final class Program: Sendable {
    let name: String
    let pid: pid_t
    private let log = ProgramLog()
    private let exit = Mutex<Int32?>(nil)

    private static let running = Mutex<(closed: Bool, programs: [Program])>((false, []))

    /// Starts the executable at `path`; standard output and standard error become its log.
    static func start(
        _ name: String, path: String, arguments: [String], echoLog: Bool
    ) throws(BenchError) -> Program {
        // Under the lock, so that no child starts after endAll and none is missed by it.
        try running.withLock { (state) throws(BenchError) in
            guard !state.closed else {
                throw BenchError(subject: name, failed: "not started", why: "the benchmark is ending")
            }
            let (pid, output) = try spawn(name, path, [path] + arguments)
            let program = Program(name, pid)
            CrashGuard.add(pid)
            state.programs.append(program)
            try program.log.follow(output, echoAs: echoLog ? name : nil)
            return program
        }
    }

    private init(_ name: String, _ pid: pid_t) {
        self.name = name
        self.pid = pid
    }

    /// Waits for a log line of `event` with these fields and returns all of its fields.
    func await(_ event: String, _ fields: [String: String] = [:]) throws(BenchError) -> [String: String] {
        var found: [String: String]?
        let deadline = Deadline()
        while found == nil {
            found = log.first(event, fields)
            if found == nil && hasExited { throw failed("ended before \(event)") }
            if found == nil && deadline.isPast { throw failed("did not report \(event)") }
            usleep(1_000)
        }
        return found!
    }

    /// An error about this program with the last lines that it logged.
    func failed(_ what: String) -> BenchError {
        let tail = log.tail
        return BenchError(
            subject: name, failed: what, why: tail.isEmpty ? "it logged nothing" : "it logged:\n" + tail)
    }

    var hasExited: Bool {
        exit.withLock { status in
            if status != nil { return true }
            var code: Int32 = 0
            guard waitpid(pid, &code, WNOHANG) == pid else { return false }
            status = code
            CrashGuard.remove(pid)
            return true
        }
    }

    /// Ends the process: SIGTERM, and SIGKILL when it is still there 5 s later.
    func end() {
        for signal in [SIGTERM, SIGKILL] where !hasExited {
            // Under the lock that reaping takes, so that the pid is still this child's.
            exit.withLock { status in
                if status == nil { kill(pid, signal) }
            }
            let deadline = Deadline(seconds: 5)
            while !hasExited && !deadline.isPast { usleep(1_000) }
            if !hasExited { complain("\(name): still there 5 s after signal \(signal)") }
        }
        // Only our own programs end with 0 after SIGTERM.
        if let code = exit.withLock({ $0 }), code != 0, code & 0x7f != SIGTERM {
            let how = code & 0x7f == 0 ? "exit code \(code >> 8)" : "signal \(code & 0x7f)"
            complain("\(name): ended with \(how)\n\(log.tail)")
        }
        Self.running.withLock { state in state.programs.removeAll { $0 === self } }
    }

    /// Ends all and lets no more start.
    static func endAll() {
        let programs = running.withLock { state in
            state.closed = true
            return state.programs
        }
        for program in programs.reversed() { program.end() }
    }
}

/// CPU time of all threads of a process so far, in nanoseconds, from the scheduler's own clock
/// (`clock_getcpuclockid`): unlike clock ticks it is exact over a fraction of a second.
func cpuNanoseconds(of pid: pid_t) -> Int {
    var clock = clockid_t()
    var time = timespec()
    guard clock_getcpuclockid(pid, &clock) == 0, clock_gettime(clock, &time) == 0 else { return 0 }
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Resident memory of a process in bytes. `smaps_rollup` counts pages; `statm` may lag behind by some, and
/// serves where the former is not readable.
func residentBytes(of pid: pid_t) -> Int {
    for line in textOfFile("/proc/\(pid)/smaps_rollup").split(separator: "\n") where line.hasPrefix("Rss:") {
        return (Int(line.split(separator: " ")[1]) ?? 0) * 1_024
    }
    let fields = textOfFile("/proc/\(pid)/statm").split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * sysconf(Int32(_SC_PAGESIZE)) : 0
}
