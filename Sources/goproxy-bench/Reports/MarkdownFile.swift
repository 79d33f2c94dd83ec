// MarkdownFile: where the tables go in a README.
import Charts
import FoundationEssentials

struct MarkdownFile {
    static let begin = "<!-- figures -->"
    static let end = "<!-- end of figures -->"

    let path: String
    private let text: String

    /// Reads the file and makes sure that it has a place for the tables: before minutes of measuring, not after them.
    init(_ path: String) throws(BenchError) {
        self.path = path
        do {
            text = try String(contentsOf: URL(filePath: path), encoding: .utf8)
        } catch {
            throw BenchError(subject: path, failed: "cannot read", why: "\(error)")
        }
        _ = try merged(with: "")
    }

    func write(_ block: String) throws(BenchError) {
        try writeText(merged(with: block), to: path)
    }

    private func merged(with block: String) throws(BenchError) -> String {
        guard let result = replacing(from: Self.begin, to: Self.end, in: text, with: block) else {
            throw BenchError(
                subject: path, failed: "no place for tables",
                why: "it needs one line \(Self.begin) and one line \(Self.end) after it")
        }
        return result
    }
}

func writeText(_ text: String, to path: String) throws(BenchError) {
    do { try Data(text.utf8).write(to: URL(filePath: path)) } catch {
        throw BenchError(subject: path, failed: "cannot write", why: "\(error)")
    }
}
