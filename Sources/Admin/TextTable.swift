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

    private let hasColor: Bool
    private var rows: [[Cell]]
    private let isRightAligned: Set<Int>

    package init(_ titles: [String], rightAligned: Set<String> = [], hasColor: Bool) {
        self.hasColor = hasColor
        rows = [titles.map { Cell($0) }]
        isRightAligned = Set(titles.indices.filter { rightAligned.contains(titles[$0]) })
    }

    package mutating func append(_ cells: [Cell]) {
        precondition(cells.count == rows[0].count, "a row of another width")
        rows.append(cells)
    }

    package var text: String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].text.count }.max() ?? 0 }
        var out = ""
        for row in rows {
            var line = ""
            for (column, cell) in row.enumerated() {
                let space = String(repeating: " ", count: widths[column] - cell.text.count)
                let isLast = column == row.count - 1
                if isRightAligned.contains(column) { line += space }
                line += colored(cell)
                if !isRightAligned.contains(column), !isLast { line += space }
                if !isLast { line += "  " }
            }
            out += line + "\n"
        }
        return out
    }

    private func colored(_ cell: Cell) -> String {
        guard hasColor, let color = cell.color else { return cell.text }
        return "\u{1b}[\(color.rawValue)m\(cell.text)\u{1b}[0m"
    }
}
