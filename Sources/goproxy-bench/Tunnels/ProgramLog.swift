// ProgramLog: what a child prints, line by line: `level event time=… key=value key="quoted value"`.
import Glibc
import Synchronization

final class ProgramLog: Sendable {
    /// Without -verbose a program logs a few dozen lines; a runaway one must not fill the memory here.
    private static let mostLines = 1_000

    private let lines = Mutex<[String]>([])

    /// Reads `output` on a thread of its own until the child has closed it.
    func follow(_ output: Int32, echoAs name: String?) throws(BenchError) {
        try WorkThread { [self] in
            var rest: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4_096)
            while true {
                let count = read(output, &buffer, buffer.count)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { break }
                rest += buffer[..<count]
                while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                    keep(String(decoding: rest[..<end], as: UTF8.self), echoAs: name)
                    rest.removeSubrange(...end)
                }
            }
            close(output)
        }.detach()
    }

    private func keep(_ line: String, echoAs name: String?) {
        if let name { complain("  \(name): \(line)") }
        lines.withLock { lines in
            if lines.count == Self.mostLines { lines.removeFirst(Self.mostLines / 2) }
            lines.append(line)
        }
    }

    /// The last lines, for an error message.
    var tail: String {
        lines.withLock { $0.suffix(10).map { "    " + $0 }.joined(separator: "\n") }
    }

    /// The fields of the first line of `event` that has all of `wanted`.
    func first(_ event: String, _ wanted: [String: String]) -> [String: String]? {
        for line in lines.withLock({ $0 }) {
            let words = Self.words(line)
            guard words.count >= 2, words[1] == event else { continue }
            var fields: [String: String] = [:]
            for word in words[2...] {
                let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                if parts.count == 2 { fields[String(parts[0])] = String(parts[1]) }
            }
            if wanted.allSatisfy({ fields[$0.key] == $0.value }) { return fields }
        }
        return nil
    }

    /// Splits at spaces outside quotes; drops the quotes and resolves `\x` to x.
    private static func words(_ line: String) -> [String] {
        var words: [String] = []
        var word = ""
        var isQuoted = false
        var isEscaped = false
        for character in line {
            switch character {
            case _ where isEscaped:
                word.append(character)
                isEscaped = false
            case "\\" where isQuoted: isEscaped = true
            case "\"": isQuoted.toggle()
            case " " where !isQuoted:
                words.append(word)
                word = ""
            default: word.append(character)
            }
        }
        words.append(word)
        return words
    }
}

/// Writes a line to standard error.
func complain(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(2, bytes, bytes.count)
}
