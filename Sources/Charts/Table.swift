// A table for people: padded columns on a terminal, pipes in Markdown.

package struct Table: Equatable {
    package let title: String
    /// So many columns are text, aligned left; the others are numbers, aligned right.
    package let leading: Int
    package let head: [String]
    package private(set) var lines: [[String]]

    /// A line with more or fewer cells than the head is a fault of the program.
    package init(_ title: String, leading: Int, head: [String], lines: [[String]] = []) {
        precondition(lines.allSatisfy { $0.count == head.count }, "\(title): a line of another length")
        self.title = title
        self.leading = leading
        self.head = head
        self.lines = lines
    }

    package mutating func add(_ line: [String]) {
        precondition(line.count == head.count, "\(title): a line of another length")
        lines.append(line)
    }

    package var text: String {
        let all = [head] + lines
        let widths = head.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        let body = all.map { line in
            let cells = line.indices.map { column in
                let gap = String(repeating: " ", count: widths[column] - line[column].count)
                return column < leading ? line[column] + gap : gap + line[column]
            }
            return "  " + cells.joined(separator: "  ").withoutTrailingSpaces
        }
        return ([title] + body).joined(separator: "\n") + "\n"
    }

    package var markdown: String {
        func row(_ cells: [String]) -> String {
            "| " + cells.map(Self.escaped).joined(separator: " | ") + " |"
        }
        let rule = head.indices.map { $0 < leading ? "---" : "---:" }
        let body = [row(head), "|" + rule.joined(separator: "|") + "|"] + lines.map(row)
        return "**\(title)**\n\n" + body.joined(separator: "\n") + "\n"
    }

    private static func escaped(_ cell: String) -> String {
        cell.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
    }
}

extension String {
    fileprivate var withoutTrailingSpaces: String {
        String(self[..<(lastIndex { $0 != " " }.map(index(after:)) ?? startIndex)])
    }
}

/// Puts `block` between the lines that hold `begin` and `end`; nil when they are not there, once each and in order.
package func replacing(
    from begin: String, to end: String, in text: String, with block: String
) -> String? {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let begins = lines.indices.filter { lines[$0] == begin[...] }
    let ends = lines.indices.filter { lines[$0] == end[...] }
    guard begins.count == 1, ends.count == 1, begins[0] < ends[0] else { return nil }
    return (lines[...begins[0]] + [block[...]] + lines[ends[0]...]).joined(separator: "\n")
}
