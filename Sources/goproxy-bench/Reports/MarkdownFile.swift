// MarkdownFile: where the tables go in a README.
import Charts
import FoundationEssentials
import Glibc

struct MarkdownFile {
    static let begin = "<!-- figures -->"
    static let end = "<!-- end of figures -->"

    let path: String
    private let text: String

    /// Reads the file and makes sure that it has a place for the tables: before minutes of measuring, not after them.
    init(_ path: String) throws(BenchError) {
        self.path = path
        guard access(path, R_OK | W_OK) == 0 else {
            throw BenchError(
                subject: path, failed: "cannot be read and written", why: String(cString: strerror(errno)),
                exitCode: 2)
        }
        text = textOfFile(path)
        _ = try merged(with: "")
    }

    func write(_ block: String) throws(BenchError) {
        try writeText(merged(with: block), to: path)
    }

    private func merged(with block: String) throws(BenchError) -> String {
        guard let result = replacing(from: Self.begin, to: Self.end, in: text, with: block) else {
            throw BenchError(
                subject: path, failed: "no place for tables",
                why: "it needs one line \(Self.begin) and one line \(Self.end) after it", exitCode: 2)
        }
        return result
    }
}

/// Throws where no file could be written: before minutes of measuring, not after them.
func requireWritable(_ path: String) throws(BenchError) {
    let isThere = access(path, F_OK) == 0
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    guard access(isThere ? path : folder, W_OK) == 0 else {
        throw BenchError(
            subject: path, failed: "cannot write", why: String(cString: strerror(errno)), exitCode: 2)
    }
}

func writeText(_ text: String, to path: String) throws(BenchError) {
    do { try Data(text.utf8).write(to: URL(filePath: path)) } catch {
        throw BenchError(subject: path, failed: "cannot write", why: "\(error)")
    }
}
