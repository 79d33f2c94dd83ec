import Flags
import Glibc
import Reactor
import Records
import Synchronization

/// Where a command prints and asks; a value that a test fills in.
package struct Console {
    /// To standard output. Answers why not all of it was taken, as a number of errno, or 0.
    package var put: (String) -> Int32
    package var writeError: (String) -> Void
    /// Why standard output will take nothing, as far as that can be told before; or 0.
    package var foresee: () -> Int32 = { 0 }
    /// A line of the operator's; nil at the end.
    package var readLine: () -> String?
    package var isOutputTerminal: Bool
    /// Whether somebody can be asked.
    package var isInputTerminal: Bool
    /// Whether nobody reads any more what is written: a command without an end ends then.
    package var isOutputGone: () -> Bool = { false }
    /// Whether somebody sees how far a command is.
    package var isErrorTerminal = false
    /// From now on Ctrl-C is told by `isInterrupted`, once: the next one ends the program.
    package var catchInterrupts: () -> Void = {}
    package var isInterrupted: () -> Bool = { false }
    package var environment: [String: String]
    package var now: () -> Timestamp

    package init(
        write: @escaping (String) -> Void, writeError: @escaping (String) -> Void,
        readLine: @escaping () -> String?, isOutputTerminal: Bool, isInputTerminal: Bool,
        environment: [String: String], now: @escaping () -> Timestamp
    ) {
        put = {
            write($0)
            return 0
        }
        self.writeError = writeError
        self.readLine = readLine
        self.isOutputTerminal = isOutputTerminal
        self.isInputTerminal = isInputTerminal
        self.environment = environment
        self.now = now
    }

    /// What a program or a person reads. A reader that has gone, as `head` after its lines, wants no more and misses nothing.
    func write(_ text: String) throws(AdminError) {
        let error = put(text)
        guard error == 0 || error == EPIPE else { throw .output(error) }
    }

    /// What is shown this once: all of it, or it is an error.
    func writeOnce(_ text: String) throws(AdminError) {
        let error = put(text)
        guard error == 0 else { throw .output(error) }
    }

    /// Before something is made that is shown once.
    func requireRoom() throws(AdminError) {
        let error = foresee()
        guard error == 0 else { throw .output(error) }
    }

    /// no-color.org: any value but the empty one.
    package var hasColor: Bool {
        isOutputTerminal && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
    }

    /// This process's own.
    package static var standard: Console {
        let names = ["NO_COLOR", "TERM", "GOPROXY_DATA"]
        let found = names.compactMap { name in getenv(name).map { (name, String(cString: $0)) } }
        var console = Console(
            write: { _ in }, writeError: { _ = Startup.write($0, to: STDERR_FILENO) },
            readLine: { Swift.readLine() }, isOutputTerminal: isatty(STDOUT_FILENO) == 1,
            isInputTerminal: isatty(STDIN_FILENO) == 1,
            environment: Dictionary(uniqueKeysWithValues: found), now: { Timestamp.now })
        console.isErrorTerminal = isatty(STDERR_FILENO) == 1
        console.catchInterrupts = {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { _ in interrupted.store(true, ordering: .relaxed) }
            // The call that waits for an answer goes on: what was asked for is a part that comes soon.
            action.sa_flags = SA_RESTART | Int32(bitPattern: UInt32(SA_RESETHAND))
            sigaction(SIGINT, &action, nil)
        }
        console.isInterrupted = { interrupted.load(ordering: .relaxed) }
        console.put = { Startup.write($0, to: STDOUT_FILENO) }
        console.isOutputGone = { isGone }
        console.foresee = { foreseen }
        return console
    }

    private static var isGone: Bool {
        // A pipe whose reader has gone is in error, poll(2).
        var output = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
        return poll(&output, 1, 0) > 0 && output.revents & Int16(POLLERR | POLLNVAL) != 0
    }

    /// A device such as /dev/full refuses even nothing, and a file is given its blocks before they are written.
    private static var foreseen: Int32 {
        var file = stat()
        guard fstat(STDOUT_FILENO, &file) == 0 else { return errno }
        if isGone { return EPIPE }
        if Glibc.write(STDOUT_FILENO, "", 0) < 0 { return errno }
        guard file.st_mode & S_IFMT == S_IFREG else { return 0 }
        let offset = max(lseek(STDOUT_FILENO, 0, SEEK_CUR), 0)
        let isAppended = fcntl(STDOUT_FILENO, F_GETFL) & O_APPEND != 0
        let place = isAppended ? file.st_size : offset
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else { return errno }
        if UInt(place + onceBytes) > limit.rlim_cur { return EFBIG }
        guard !Startup.reserve(onceBytes, at: place, in: STDOUT_FILENO) else { return 0 }
        // Some file systems cannot.
        return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : errno
    }

    /// No answer that is shown once is longer.
    private static let onceBytes = 8_192
}

/// Set by the signal's handler.
private let interrupted = Atomic<Bool>(false)

/// What somebody else supplied, made safe for a terminal: escapes what does not print or turns the direction of writing.
func safe(_ text: String) -> String { FlagError.printable(text, limit: .max) }
