import Flags
import Glibc
import Records

/// Where a command prints and asks; a value that a test fills in.
package struct Console {
    package var write: (String) -> Void
    package var writeError: (String) -> Void
    /// A line of the operator's; nil at the end.
    package var readLine: () -> String?
    package var isOutputTerminal: Bool
    /// Whether somebody can be asked.
    package var isInputTerminal: Bool
    /// Whether nobody reads any more what is written: a command without an end ends then.
    package var isOutputGone: () -> Bool = { false }
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
            write: { put($0, STDOUT_FILENO) }, writeError: { put($0, STDERR_FILENO) },
            readLine: { Swift.readLine() }, isOutputTerminal: isatty(STDOUT_FILENO) == 1,
            isInputTerminal: isatty(STDIN_FILENO) == 1,
            environment: Dictionary(uniqueKeysWithValues: found), now: { Timestamp.now })
        console.isOutputGone = {
            // A pipe whose reader has gone is in error, poll(2).
            var output = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
            return poll(&output, 1, 0) > 0 && output.revents & Int16(POLLERR | POLLNVAL) != 0
        }
        return console
    }

    /// All of it, however slowly a pipe is read; a reader that has gone is not told.
    private static func put(_ text: String, _ descriptor: Int32) {
        var text = text
        text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)[...]
            while !rest.isEmpty {
                let count = Glibc.write(
                    descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return }
                rest = rest.dropFirst(count)
            }
        }
    }
}

/// What somebody else supplied, made safe for a terminal: escapes what does not print or turns the direction of writing.
func safe(_ text: String) -> String { FlagError.printable(text, limit: .max) }
