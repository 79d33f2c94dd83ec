// ProgramStart: posix_spawn with a pipe for the log, and the handler that leaves no child behind a crash.
import Glibc
import Synchronization

/// Spawns with standard output and standard error on a pipe; returns the pipe's reading end.
func spawn(_ name: String, _ path: String, _ arguments: [String]) throws(BenchError) -> (
    pid: pid_t, output: Int32
) {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw .system(name, "cannot make a pipe") }
    defer { close(ends[1]) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2)

    // The benchmark blocks and ignores signals that its children must hear.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    var standard = sigset_t()
    sigemptyset(&none)
    sigemptyset(&standard)
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] { sigaddset(&standard, signal) }
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &standard)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
    var environment: [UnsafeMutablePointer<CChar>?] = childEnvironment().map { strdup($0) }
    defer { for pointer in argv + environment { free(pointer) } }
    argv.append(nil)
    environment.append(nil)
    var pid = pid_t()
    let code = posix_spawn(&pid, path, &actions, &attributes, argv, environment)
    guard code == 0 else {
        close(ends[0])
        throw BenchError(subject: name, failed: "cannot start \(path)", why: String(cString: strerror(code)))
    }
    return (pid, ends[0])
}

/// The benchmark's environment without the other sources of a uuid: a program refuses two at once.
private func childEnvironment() -> [String] {
    var entries: [String] = []
    var pointer = environ
    while let entry = pointer.pointee {
        let text = String(cString: entry)
        if !text.hasPrefix("GOPROXY_") && !text.hasPrefix("CREDENTIALS_DIRECTORY=") { entries.append(text) }
        pointer += 1
    }
    return entries
}

/// Kills the children when the benchmark itself traps. A handler may only load atomics and call `kill`.
enum CrashGuard {
    private static let pids = InlineArray<24, Atomic<pid_t>> { _ in Atomic(0) }
    private static let signals = [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV]

    /// Must run before `add`, and touches the atomics so that the handler does not initialize them.
    static func install() {
        remove(-1)
        for number in signals {
            signal(number) { number in
                CrashGuard.killAll()
                signal(number, SIG_DFL)
                raise(number)
            }
        }
    }

    /// Beyond the room there is, a child is not killed when this program traps; nothing else is lost.
    static func add(_ pid: pid_t) {
        for index in pids.indices
        where pids[index].compareExchange(expected: 0, desired: pid, ordering: .relaxed).exchanged { return }
    }

    static func remove(_ pid: pid_t) {
        for index in pids.indices {
            _ = pids[index].compareExchange(expected: pid, desired: 0, ordering: .relaxed)
        }
    }

    private static func killAll() {
        for index in pids.indices {
            let pid = pids[index].load(ordering: .relaxed)
            if pid > 0 { kill(pid, SIGKILL) }
        }
    }
}

/// The whole text of a small file, empty when it cannot be read.
func textOfFile(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4_096)
    while true {
        let count = read(descriptor, &buffer, buffer.count)
        guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
        bytes += buffer[..<count]
    }
}
