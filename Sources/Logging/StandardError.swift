import Glibc
import Synchronization

/// Standard error: where `Log` goes, and a program's last words before it exits.
package enum StandardError {
    /// systemd sets it for a service whose output goes to the journal, which stamps every line itself.
    package static let isJournal = getenv("JOURNAL_STREAM") != nil

    private static let sink = DescriptorSink(descriptor: STDERR_FILENO)

    /// Writes one line; give it without its newline.
    @Sendable package static func write(_ line: String) { sink.write(line) }
}

/// Writes each line with one `write` to a descriptor, which stays the caller's.
///
/// A reader that stops reading must not stop the program: the loops write their own lines. So a line that would wait is
/// dropped and counted. For a pipe the question is exact: it is writable when 4,096 bytes fit, and a line has fewer.
package final class DescriptorSink: Sendable {
    private let descriptor: Int32
    /// Lines that a full pipe did not take. Told before the first line that it takes again.
    private let lost = Mutex(0)

    package init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    package func write(_ line: String) {
        // One thread at a time: another's line could take the room that was found. None waits for long, as none waits for a reader.
        lost.withLock { lost in
            if lost > 0, writeWhole("warn log-lines-lost count=\(lost)") { lost = 0 }
            if !writeWhole(line) { lost += 1 }
        }
    }

    private func writeWhole(_ line: String) -> Bool {
        var text = line + "\n"
        var question = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        guard poll(&question, 1, 0) == 1 else { return false }
        return text.withUTF8 { bytes in
            while Glibc.write(descriptor, bytes.baseAddress, bytes.count) < 0 {
                if errno != EINTR { return false }
            }
            return true
        }
    }
}
