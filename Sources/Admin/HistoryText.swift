import Glibc
import JSON
import Records

/// The lines of the history for people, and its cells for spreadsheets.
struct HistoryText {
    let isLocal: Bool

    static let titles = ["START", "DURATION", "NODE", "LISTENER", "CLIENT", "TARGET", "UP", "DOWN", "END"]

    func cells(_ record: ConnectionRecord, withNodeID: Bool = false) -> [TextTable.Cell] {
        [
            "\(time(record.openedAt))", TextTable.Cell(record.durationSeconds.map(Self.duration)),
            TextTable.Cell(withNodeID ? "\(record.node) \(record.nodeID.prefix(8))" : record.node),
            TextTable.Cell(record.listener ?? String(record.mapping)),
            TextTable.Cell(record.client), TextTable.Cell(record.target),
            TextTable.Cell(record.bytesUp.map(bytesText)), TextTable.Cell(record.bytesDown.map(bytesText)),
            record.isOpen
                ? TextTable.Cell("open", .green)
                : TextTable.Cell(
                    end(record), record.side == "client" || record.side == "target" ? nil : .yellow),
        ]
    }

    private func end(_ record: ConnectionRecord) -> String? {
        guard !record.flags.isEmpty else { return record.reason }
        return "\(record.reason ?? "") (\(record.flags.joined(separator: ", ")))"
    }

    /// `-- gap: server stopped 09:40:12Z to 09:41:55Z (unclean) --`
    func line(_ gap: HistoryGap) -> String {
        let (from, to) = (time(gap.from), time(gap.to))
        // The day is named where it is not that of both.
        let isOneDay = from.prefix(10) == to.prefix(10)
        let words =
            switch gap.cause {
            case "server-stop", "server-crash": "server stopped"
            case "clock-step": "clock set"
            case "audit-failure": "history could not be written"
            case "restored": "a backup was restored"
            case "many-gaps": "many"
            default: safe(gap.cause)
            }
        let span = isOneDay ? "\(from.dropFirst(11)) to \(to.dropFirst(11))" : "\(from) to \(to)"
        let mark = gap.cause == "server-crash" ? " (unclean)" : ""
        return "-- gap: \(words) \(span)\(mark) --"
    }

    /// `2026-08-22 09:14:03Z`, or with the offset of this machine's zone: `2026-08-22 11:14:03+02:00`.
    func time(_ time: Timestamp) -> String {
        guard isLocal else { return TimeText.absolute(time) }
        var seconds = time_t(time.microseconds / 1_000_000)
        var parts = tm()
        localtime_r(&seconds, &parts)
        let shown = time.adding(seconds: Int64(parts.tm_gmtoff))
        let minutes = abs(parts.tm_gmtoff) / 60
        let padded = { (number: Int) in number < 10 ? "0\(number)" : "\(number)" }
        let zone = "\(parts.tm_gmtoff < 0 ? "-" : "+")\(padded(minutes / 60)):\(padded(minutes % 60))"
        return TimeText.absolute(shown).dropLast() + zone
    }

    /// Two units at most: `0.3s`, `8s`, `12m08s`, `3h05m`, `2d04h`.
    static func duration(_ seconds: Double) -> String {
        let whole = Int64(max(0, seconds))
        let padded = { (number: Int64) in number < 10 ? "0\(number)" : "\(number)" }
        switch whole {
        case 0: return "0.\(Int64(max(0, seconds) * 10))s"
        case ..<60: return "\(whole)s"
        case ..<3_600: return "\(whole / 60)m\(padded(whole % 60))s"
        case ..<86_400: return "\(whole / 3_600)h\(padded(whole / 60 % 60))m"
        default: return "\(whole / 86_400)d\(padded(whole / 3_600 % 24))h"
        }
    }

    // MARK: CSV

    static let csvTitles = """
        id,openedAt,closedAt,durationSeconds,nodeID,node,listener,mapping,kind,listen,client,target,bytesUp,bytesDown,\
        nodeBytesUp,nodeBytesDown,reason,side,recovered,flags,credential,chain,closedChain

        """

    /// RFC 4180, but for the line's end. A gap is a line without an id, whose reason says so.
    static func csv(_ entry: HistoryEntry) -> String {
        let cells: [String?]
        switch entry {
        case .connection(let record):
            cells = [
                String(record.id), record.openedAt.description, record.closedAt?.description,
                record.durationSeconds.map { String($0) }, record.nodeID, record.node, record.listener,
                String(record.mapping), record.kind.rawValue, record.listen, record.client, record.target,
                record.bytesUp.map { String($0) }, record.bytesDown.map { String($0) },
                record.nodeBytesUp.map { String($0) }, record.nodeBytesDown.map { String($0) },
                record.reason, record.side, String(record.recovered), record.flags.joined(separator: " "),
                record.credential, record.chain, record.closedChain,
            ]
        case .gap(let gap):
            cells =
                [nil, gap.from.description, gap.to.description] + [String?](repeating: nil, count: 13)
                + ["gap: \(gap.cause)"] + [String?](repeating: nil, count: 6)
        }
        return cells.map { cell($0 ?? "") }.joined(separator: ",") + "\n"
    }

    /// Objects, a line each: what these names have, and of a value that is none itself, its JSON.
    static func csv(_ columns: [String], _ objects: [ArraySlice<UInt8>]) -> String {
        objects.map { object in
            let object = Array(object)
            return columns.map { name in
                guard let value = JSONLayout.member(name, of: object) else { return "" }
                switch try? JSONValue(Array(value), JSONLimits(textBytes: 1 << 20)) {
                case .string(let text): return cell(text)
                case .null: return ""
                default: return cell(String(decoding: value, as: UTF8.self))
                }
            }.joined(separator: ",") + "\n"
        }.joined()
    }

    /// A program that shows the cell takes what begins so for a formula (OWASP, "CSV Injection"); a mark before it makes it text.
    static func cell(_ text: String) -> String {
        var shown = safe(text)
        if let first = shown.unicodeScalars.first, ["=", "+", "-", "@"].contains(first) {
            shown = "'" + shown
        }
        guard shown.unicodeScalars.contains(where: { $0 == "," || $0 == "\"" }) else { return shown }
        return "\"" + shown.replacing("\"", with: "\"\"") + "\""
    }
}
