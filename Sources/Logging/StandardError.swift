import Glibc
import Synchronization

/// The sink of programs: one `write` per line.
package enum StandardError {
    /// systemd sets it for a service whose output goes to the journal, which stamps every line itself.
    static let isJournal = getenv("JOURNAL_STREAM") != nil

    /// Lines that a full, non-blocking pipe did not take. Told with the first line it takes again.
    private static let lost = Atomic<Int>(0)

    @Sendable package static func write(_ line: String) {
        let missing = lost.exchange(0, ordering: .relaxed)
        if missing > 0, !writeLine("warn log-lines-lost count=\(missing)") {
            lost.add(missing, ordering: .relaxed)
        }
        if !writeLine(line) { lost.add(1, ordering: .relaxed) }
    }

    private static func writeLine(_ line: String) -> Bool {
        var text = line
        text += "\n"
        return text.withUTF8 { bytes in
            while true {
                if Glibc.write(STDERR_FILENO, bytes.baseAddress, bytes.count) >= 0 { return true }
                if errno != EINTR { return false }
            }
        }
    }
}
