/// A table for people: a line a row, columns two spaces apart, nothing wrapped, no borders.
package struct TextTable {
    package enum Color: String, Sendable {
        case green = "32"
        case red = "31"
        case yellow = "33"
        case dim = "2"
    }

    package struct Cell: ExpressibleByStringInterpolation {
        let text: String
        let color: Color?

        package init(stringLiteral text: String) { self.init(text) }

        /// An absent value is a dash.
        package init(_ text: String?, _ color: Color? = nil) {
            let shown = safe(text ?? "")
            self.text = shown.isEmpty ? "-" : shown
            self.color = color
        }
    }

    private enum Row {
        case cells([Cell])
        /// Across all columns.
        case line(String)
    }

    private let hasColor: Bool
    private let isContinued: Bool
    private let titles: [Cell]
    private var rows: [Row] = []
    private let isRightAligned: Set<Int>
    /// Of the columns, in characters: at least what was asked for.
    package private(set) var widths: [Int]

    /// - Parameter widths: at least, as a table had them that this one continues, without titles of its own.
    package init(
        _ titles: [String], rightAligned: Set<String> = [], hasColor: Bool, widths: [Int] = [],
        isContinued: Bool = false
    ) {
        self.hasColor = hasColor
        self.isContinued = isContinued
        self.titles = titles.map { Cell($0) }
        self.widths = widths.count == titles.count ? widths : titles.map(\.count)
        isRightAligned = Set(titles.indices.filter { rightAligned.contains(titles[$0]) })
    }

    package mutating func append(_ cells: [Cell]) {
        precondition(cells.count == titles.count, "a row of another width")
        for column in cells.indices { widths[column] = max(widths[column], cells[column].text.count) }
        rows.append(.cells(cells))
    }

    /// What is said between the rows. It is safe to show already.
    package mutating func append(line: String) { rows.append(.line(line)) }

    package var text: String {
        var out = isContinued ? "" : text(of: titles)
        for row in rows {
            switch row {
            case .cells(let cells): out += text(of: cells)
            case .line(let line): out += line + "\n"
            }
        }
        return out
    }

    private func text(of row: [Cell]) -> String {
        var line = ""
        for (column, cell) in row.enumerated() {
            let space = String(repeating: " ", count: widths[column] - cell.text.count)
            let isLast = column == row.count - 1
            if isRightAligned.contains(column) { line += space }
            line += colored(cell)
            if !isRightAligned.contains(column), !isLast { line += space }
            if !isLast { line += "  " }
        }
        return line + "\n"
    }

    private func colored(_ cell: Cell) -> String {
        guard hasColor, let color = cell.color else { return cell.text }
        return "\u{1b}[\(color.rawValue)m\(cell.text)\u{1b}[0m"
    }
}
