import Control
import FoundationEssentials
import Records

/// One line of the history, as the server wrote it and as it is.
struct HistoryLine {
    let json: ArraySlice<UInt8>
    let entry: HistoryEntry

    var isGap: Bool { if case .gap = entry { true } else { false } }

    /// The lines of a page, and the cursor of the next.
    static func page(
        _ json: [UInt8], _ session: Session
    ) throws(AdminError) -> (entries: [HistoryLine], next: String?) {
        let answer: HistoryAnswer = try session.decode(json)
        let list = JSONLayout.member("entries", of: json).map { JSONLayout.elements(Array($0)) } ?? []
        return (zip(list, answer.entries).map { HistoryLine(json: $0, entry: $1) }, answer.next)
    }
}

/// Writes lines as they come, in the form that was asked for.
final class HistoryPrinter {
    private let console: Console
    private let output: Arguments.Output
    private let text: HistoryText
    private var widths: [Int] = []
    private var hasBegun = false
    /// JSON is one document, so its lines wait for the end.
    private var kept: [ArraySlice<UInt8>] = []

    init(_ session: Session) {
        console = session.console
        output = session.arguments.output
        text = HistoryText(isLocal: session.arguments.history.isLocal)
    }

    func write(_ lines: [HistoryLine]) throws(AdminError) {
        switch output {
        case .json: kept += lines.map(\.json)
        case .jsonl:
            try console.write(lines.map { String(decoding: $0.json, as: UTF8.self) + "\n" }.joined())
        case .csv:
            try console.write(
                (hasBegun ? "" : HistoryText.csvTitles) + lines.map { HistoryText.csv($0.entry) }.joined())
        case .table:
            if hasBegun, lines.isEmpty { return }
            var table = TextTable(
                HistoryText.titles, hasColor: console.hasColor, widths: widths, isContinued: hasBegun)
            for line in lines {
                switch line.entry {
                case .connection(let record): table.append(text.cells(record))
                case .gap(let gap): table.append(line: text.line(gap))
                }
            }
            try console.write(table.text)
            widths = table.widths
        }
        hasBegun = true
    }

    func finish() throws(AdminError) {
        guard output == .json else { return }
        let array = [UInt8(ascii: "[")] + kept.joined(separator: [UInt8(ascii: ",")]) + [UInt8(ascii: "]")]
        try console.write(JSONLayout.indented(array) + "\n")
    }
}
