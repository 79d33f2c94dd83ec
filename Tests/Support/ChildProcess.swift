import Foundation

/// A process of ours, its two output pipes read to the end and its end awaited on threads.
///
/// Foundation's `Process` is not used: its end is reported through a run loop, and its output through another.
final class ChildProcess: Sendable {
    enum Input: Sendable { case null, pipe }

    let pid: pid_t
    let state: Locked<State>
    private let inputWriter: Int32

    struct State: Sendable {
        var lines: [(stream: Stream, text: String)] = []
        var partial: [Stream: [UInt8]] = [:]
        var openPipes = 2
        var isRead = true
        var status: Int32?
    }

    enum Stream: Sendable { case output, error }

    init(
        _ executable: String, _ arguments: [String], environment: [String: String], input: Input
    ) throws {
        let output = try Self.pipe()
        let error = try Self.pipe()
        let inputPipe =
            input == .pipe ? try Self.pipe() : (read: Glibc.open("/dev/null", O_RDONLY), write: -1)
        defer { for end in [output.write, error.write, inputPipe.read] { close(end) } }
        inputWriter = inputPipe.write

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, inputPipe.read, 0)
        posix_spawn_file_actions_adddup2(&actions, output.write, 1)
        posix_spawn_file_actions_adddup2(&actions, error.write, 2)
        closeFromThree(&actions)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

        let argv = ([executable] + arguments).map { strdup($0) } + [nil]
        let envp = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var pid: pid_t = 0
        let status = posix_spawn(&pid, executable, &actions, &attributes, argv, envp)
        self.pid = pid
        state = Locked(State())
        guard status == 0 else {
            for end in [output.read, error.read, inputPipe.write] { close(end) }
            throw Failure("cannot start \(executable): \(String(cString: strerror(status)))")
        }
        Undertaker.shared.note(pid)
        Self.read(output.read, .output, state)
        Self.read(error.read, .error, state)
        Self.awaitEnd(of: pid, state)
    }

    deinit { if inputWriter >= 0 { close(inputWriter) } }

    func write(_ bytes: [UInt8]) throws {
        guard Glibc.write(inputWriter, bytes, bytes.count) == bytes.count else { throw SocketError("write") }
    }

    /// Under the lock that the end is recorded in, so that the number cannot be another process's by now.
    func send(_ signal: Int32) {
        state.with { if $0.status == nil { kill(pid, signal) } }
    }

    private static func pipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { throw SocketError("pipe") }
        return (ends[0], ends[1])
    }

    private static func read(_ descriptor: Int32, _ stream: Stream, _ state: Locked<State>) {
        Thread.detachNewThread {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while case let count = Glibc.read(descriptor, &buffer, buffer.count), count > 0 {
                state.with { $0.take(buffer[..<count], stream) }
                while !state.get().isRead { usleep(5_000) }
            }
            close(descriptor)
            state.with { state in
                if let rest = state.partial[stream], !rest.isEmpty {
                    state.lines.append((stream, String(decoding: rest, as: UTF8.self)))
                }
                state.openPipes -= 1
            }
        }
    }

    private static func awaitEnd(of pid: pid_t, _ state: Locked<State>) {
        Thread.detachNewThread {
            var information = siginfo_t()
            while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) != 0 && errno == EINTR {}
            state.with { state in
                var status: Int32 = 0
                waitpid(pid, &status, 0)
                state.status = status
            }
            Undertaker.shared.forget(pid)
        }
    }
}

extension ChildProcess.State {
    fileprivate mutating func take(_ bytes: ArraySlice<UInt8>, _ stream: ChildProcess.Stream) {
        var rest = (partial[stream] ?? []) + bytes
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            lines.append((stream, String(decoding: rest[..<end], as: UTF8.self)))
            rest.removeSubrange(...end)
        }
        partial[stream] = rest
    }
}

/// A child gets no descriptor beyond its three. Without this, a socket of some other test would live on in it, and
/// whoever waits for that socket's end would wait for the child's. The call is GNU's, so Glibc's module hides it.
private func closeFromThree(_ actions: inout posix_spawn_file_actions_t) {
    typealias Function = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32
    guard let symbol = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np") else {
        fatalError("needs glibc 2.34")
    }
    _ = unsafeBitCast(symbol, to: Function.self)(&actions, 3)
}

/// A shell that outlives us by a moment: when our end of its pipe closes, however we ended, it kills what we left.
private final class Undertaker: Sendable {
    static let shared = Undertaker()
    private let pipe: Int32

    private init() {
        let script = #"""
            trap '' INT TERM HUP
            while read op pid; do
                case $op in
                    +) left="$left $pid " ;;
                    -) left=${left%% $pid *}${left#* $pid } ;;
                esac
            done
            [ -z "${left# }" ] || kill -9 $left 2>/dev/null
            """#
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { fatalError("no pipe for the undertaker") }
        pipe = ends[1]
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
        // Not our output: whoever waits for its end would wait for the undertaker.
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        closeFromThree(&actions)
        let argv = (["/bin/sh", "-c", script] as [String]).map { strdup($0) } + [nil]
        var pid: pid_t = 0
        posix_spawn(&pid, "/bin/sh", &actions, nil, argv, [nil])
        for pointer in argv { free(pointer) }
        posix_spawn_file_actions_destroy(&actions)
        close(ends[0])
    }

    func note(_ pid: pid_t) { say("+ \(pid)\n") }
    func forget(_ pid: pid_t) { say("- \(pid)\n") }

    private func say(_ line: String) {
        _ = Array(line.utf8).withUnsafeBytes { write(pipe, $0.baseAddress, $0.count) }
    }
}
