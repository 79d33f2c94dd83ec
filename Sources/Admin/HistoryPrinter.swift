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
    /// The ids of the nodes that had a name: a name may be used again, for another machine.
    private var nodes: [String: [String]] = [:]
    private var told: Set<String> = []

    init(_ session: Session) {
        console = session.console
        output = session.arguments.output
        text = HistoryText(isLocal: session.arguments.history.isLocal)
    }

    /// - Parameter place: of a follower, before these lines and behind them. Who goes on at that of a line misses nothing: the
    ///   last has the place behind, all others the one before.
    func write(_ lines: [HistoryLine], at place: (before: String, behind: String)? = nil) throws(AdminError) {
        for case .connection(let record) in lines.lazy.map(\.entry)
        where nodes[record.node]?.contains(record.nodeID) != true {
            nodes[record.node, default: []].append(record.nodeID)
        }
        switch output {
        case .json: kept += lines.map(\.json)
        case .jsonl:
            let last = lines.count - 1
            try console.write(
                lines.enumerated().map { index, line in
                    let text = String(decoding: line.json, as: UTF8.self)
                    guard let place else { return text + "\n" }
                    return text.dropLast()
                        + ",\"cursor\":\"\(index == last ? place.behind : place.before)\"}\n"
                }.joined())
        case .csv:
            try console.write(
                (hasBegun ? "" : HistoryText.csvTitles) + lines.map { HistoryText.csv($0.entry) }.joined())
        case .table:
            if hasBegun, lines.isEmpty { return }
            var table = TextTable(
                HistoryText.titles, hasColor: console.hasColor, widths: widths, isContinued: hasBegun)
            for line in lines {
                switch line.entry {
                case .connection(let record):
                    let isShared = nodes[record.node, default: []].count > 1
                    table.append(text.cells(record, withNodeID: isShared))
                case .gap(let gap): table.append(line: text.line(gap))
                }
            }
            try console.write(table.text)
            widths = table.widths
        }
        hasBegun = true
        for (name, ids) in nodes where ids.count > 1 && told.insert(name).inserted {
            console.writeError(
                "\(safe(name)) is the name of more than one node here: \(ids.joined(separator: ", ")). --node ID shows one\n"
            )
        }
    }

    func finish() throws(AdminError) {
        guard output == .json else { return }
        let array = [UInt8(ascii: "[")] + kept.joined(separator: [UInt8(ascii: ",")]) + [UInt8(ascii: "]")]
        try console.write(JSONLayout.indented(array) + "\n")
    }
}
