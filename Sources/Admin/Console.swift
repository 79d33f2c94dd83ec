import Flags
import Glibc
import Records
import Synchronization

/// Where a command prints and asks; a value that a test fills in.
package struct Console {
    package var write: (String) -> Void
    package var writeError: (String) -> Void
    /// As `write`, and whether all of it was taken.
    package var writeAll: (String) -> Bool = { _ in false }
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
        self.write = write
        self.writeError = writeError
        self.readLine = readLine
        self.isOutputTerminal = isOutputTerminal
        self.isInputTerminal = isInputTerminal
        self.environment = environment
        self.now = now
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
            write: { _ = put($0, STDOUT_FILENO) }, writeError: { _ = put($0, STDERR_FILENO) },
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
        console.writeAll = { put($0, STDOUT_FILENO) }
        console.isOutputGone = {
            // A pipe whose reader has gone is in error, poll(2).
            var output = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
            return poll(&output, 1, 0) > 0 && output.revents & Int16(POLLERR | POLLNVAL) != 0
        }
        return console
    }

    /// All of it, however slowly a pipe is read; a reader that has gone is not told.
    private static func put(_ text: String, _ descriptor: Int32) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)[...]
            while !rest.isEmpty {
                let count = Glibc.write(
                    descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }
    }
}

/// Set by the signal's handler.
private let interrupted = Atomic<Bool>(false)

/// What somebody else supplied, made safe for a terminal: escapes what does not print or turns the direction of writing.
func safe(_ text: String) -> String { FlagError.printable(text, limit: .max) }
