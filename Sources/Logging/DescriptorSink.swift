import Glibc
import Synchronization

/// The sink of programs: one `write` per line to a descriptor, which stays the caller's.
package final class DescriptorSink: Sendable {
    /// systemd sets it for a service whose output goes to the journal, which stamps every line itself.
    package static let isJournal = getenv("JOURNAL_STREAM") != nil

    private let descriptor: Int32
    /// Lines that a full, non-blocking pipe did not take. Told before the first line that it takes again.
    private let lost = Atomic<Int>(0)

    package init(descriptor: Int32 = STDERR_FILENO) {
        self.descriptor = descriptor
    }

    @Sendable package func write(_ line: String) {
        let missing = lost.exchange(0, ordering: .relaxed)
        if missing > 0, !writeWhole("warn log-lines-lost count=\(missing)") {
            lost.add(missing, ordering: .relaxed)
        }
        if !writeWhole(line) { lost.add(1, ordering: .relaxed) }
    }

    private func writeWhole(_ line: String) -> Bool {
        var text = line + "\n"
        return text.withUTF8 { bytes in
            while Glibc.write(descriptor, bytes.baseAddress, bytes.count) < 0 {
                if errno != EINTR { return false }
            }
            return true
        }
    }
}
