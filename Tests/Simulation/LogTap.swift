import Logging
import Synchronization

/// Takes the process's log away from standard error, where ten thousand seeds would write a million lines, and shows it to
/// tests that ask. All tests of a process share one log: a test looks for words that only its own lines have.
package final class LogTap: Sendable {
    private static let taps = Mutex<[ObjectIdentifier: LogTap]>([:])
    private static let isInstalled: Bool = {
        Log.replaceSink { line in
            let taps = LogTap.taps.withLock { Array($0.values) }
            for tap in taps { tap.kept.withLock { $0.append(line) } }
            if Seeds.only != nil { StandardError.write(line) }
        }
        return true
    }()

    private let kept = Mutex<[String]>([])

    /// Nothing is written to standard error from now on, unless one seed is replayed.
    package static func silence() {
        precondition(isInstalled)
    }

    /// Calls `body` with a tap that holds all lines written meanwhile.
    package static func during<Result>(_ body: (LogTap) throws -> Result) rethrows -> Result {
        silence()
        let tap = LogTap()
        let name = ObjectIdentifier(tap)
        taps.withLock { $0[name] = tap }
        defer { taps.withLock { $0[name] = nil } }
        return try body(tap)
    }

    /// The lines so far, with all of these words.
    package func lines(with words: String...) -> [String] {
        kept.withLock { $0 }.filter { line in words.allSatisfy { line.contains($0) } }
    }
}
