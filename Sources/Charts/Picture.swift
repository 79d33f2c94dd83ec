// The picture: a title, a legend, panels in two columns, a line about the machine. SVG with its own background, so that
// it is legible on any page, and with a second set of colours for readers who have asked for dark ones.

package struct Picture {
    private static let width = 960.0
    private static let margin = 16.0
    private static let gap = 24.0

    private let title: String
    /// The names of the colours, in the order in which panels give their values.
    private let series: [String]
    private let panels: [Panel]
    private let foot: String

    /// At most eight series: more colours are not told apart.
    package init(title: String, series: [String], panels: [Panel], foot: String) {
        precondition(series.count <= Self.colours.count, "more series than colours")
        self.title = title
        self.series = series
        self.panels = panels.filter { !$0.isEmpty }
        self.foot = foot
    }

    package var svg: String {
        var elements: [Element] = []
        elements.append(.text(Self.margin, 30, title, "title"))
        var y = legend(into: &elements, from: 50) + 12
        let width = (Self.width - 2 * Self.margin - Self.gap) / 2
        // Two and two of the same height, so that they stand in rows.
        for start in stride(from: 0, to: panels.count, by: 2) {
            let row = panels[start..<min(start + 2, panels.count)]
            let height = row.map(\.height).max() ?? 0
            for (column, panel) in row.enumerated() {
                let x = Self.margin + Double(column) * (width + Self.gap)
                elements += panel.elements(x: x, y: y, width: width, height: height)
            }
            y += height + Self.gap
        }
        elements.append(.text(Self.margin, y + 2, foot, "small"))
        return document(elements, height: y + 16)
    }

    /// Returns where the legend ends.
    private func legend(into elements: inout [Element], from top: Double) -> Double {
        var (x, y) = (Self.margin, top)
        for (index, name) in series.enumerated() {
            let width = 18 + 6.6 * Double(name.count) + 16
            if x + width > Self.width - Self.margin { (x, y) = (Self.margin, y + 18) }
            elements.append(.rect(x, y - 9, 11, 11, "s\(index)", radius: 2))
            elements.append(.text(x + 17, y, name, "label"))
            x += width
        }
        return y
    }

    private func document(_ elements: [Element], height: Double) -> String {
        let size = "\(Element.place(Self.width)) \(Element.place(height))"
        let fill = Element.rect(0, 0, Self.width, height, "page", radius: 8)
        let head = """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(size)" width="\(Element.place(Self.width))" \
            role="img" font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">
            <title>\(Element.escaped(title))</title>
            <style>
            \(Self.style)
            </style>

            """
        let all = ([fill] + elements).map(\.document)
        // Some on each line: short enough for a difference to be read, few enough for a file to be opened.
        let lines = stride(from: 0, to: all.count, by: 4).map { start in
            all[start..<min(start + 4, all.count)].joined()
        }
        return head + lines.joined(separator: "\n") + "\n</svg>\n"
    }

    // MARK: Colours

    private static let colours = [
        "#1f6feb", "#79b8ff", "#d9641e", "#f0a868", "#2f8f5b", "#9a9fa6", "#8250df", "#bf3989",
    ]

    private static let style: String = {
        let fills = colours.enumerated().map { index, colour in
            ".s\(index){fill:\(colour)} .l\(index){fill:none;stroke:\(colour);stroke-width:2}"
        }
        let plain = """
            .page{fill:#fff;stroke:#d0d7de} .title{font-size:17px;font-weight:600;fill:#1f2328}
            .head{font-size:13px;font-weight:600;fill:#1f2328} .label{font-size:12px;fill:#1f2328}
            .value{font-size:11px;fill:#1f2328} .small{font-size:11px;fill:#59636e} .axis{stroke:#d0d7de}
            .right{font-size:12px;fill:#1f2328;text-anchor:end} .middle{font-size:11px;fill:#59636e;text-anchor:middle}
            .over{font-size:11px;fill:#1f2328;text-anchor:middle}
            """
        let dark = """
            @media (prefers-color-scheme:dark){.page{fill:#0d1117;stroke:#3d444d} .axis{stroke:#3d444d}
            .title,.head,.label,.value,.right,.over{fill:#e6edf3} .small,.middle{fill:#9198a1}}
            """
        return ([plain] + fills + [dark]).joined(separator: "\n")
    }()
}
