// The two kinds of panels: bars to compare, lines to see growth. Every value is written beside its mark.
import Glibc

package enum Panel {
    case bars(Bars)
    case lines(Lines)

    var isEmpty: Bool {
        switch self {
        case .bars(let bars): bars.rows.isEmpty
        case .lines(let lines): lines.values.joined().compactMap { $0 }.isEmpty
        }
    }

    var height: Double {
        switch self {
        case .bars(let bars): bars.height
        case .lines: Lines.height
        }
    }

    func elements(x: Double, y: Double, width: Double, height: Double) -> [Element] {
        switch self {
        case .bars(let bars): bars.elements(x: x, y: y, width: width)
        case .lines(let lines): lines.elements(x: x, y: y, width: width, height: height)
        }
    }
}

/// Groups of horizontal bars, one bar for each series that has a value.
package struct Bars {
    package struct Group {
        let name: String
        /// By series.
        let values: [Double?]

        package init(_ name: String, _ values: [Double?]) {
            self.name = name
            self.values = values
        }
    }

    private static let head = 26.0
    private static let bar = 13.0
    private static let space = 8.0
    private static let names = 96.0
    /// Room for a value behind the longest bar.
    private static let room = 52.0

    private let title: String
    /// A latency of 60 µs and one of 6 ms in one panel: equal distances are equal ratios.
    private let isLogarithmic: Bool
    fileprivate let rows: [Group]

    package init(_ title: String, isLogarithmic: Bool = false, _ groups: [Group]) {
        self.title = title
        self.isLogarithmic = isLogarithmic
        rows = groups.filter { !$0.values.compactMap { $0 }.isEmpty }
    }

    fileprivate var height: Double {
        rows.reduce(Self.head) { $0 + Self.bar * Double($1.values.compactMap { $0 }.count) + Self.space }
    }

    fileprivate func elements(x: Double, y: Double, width: Double) -> [Element] {
        var elements: [Element] = [.text(x, y + 12, title, "head")]
        let origin = x + Self.names
        let all = rows.flatMap(\.values).compactMap { $0 }
        let length = width - Self.names - Self.room
        var top = y + Self.head
        for row in rows {
            let bars = row.values.enumerated().compactMap { index, value in value.map { (index, $0) } }
            let height = Self.bar * Double(bars.count)
            elements.append(.text(origin - 8, top + height / 2 + 4, row.name, "right"))
            for (place, (series, value)) in bars.enumerated() {
                let barTop = top + Self.bar * Double(place)
                let end = length * share(value, of: all)
                elements.append(.rect(origin, barTop + 1, end, Self.bar - 2, "s\(series)", radius: 2))
                elements.append(.text(origin + end + 5, barTop + 10, brief(value), "value"))
            }
            top += height + Self.space
        }
        elements.append(.line(origin, y + Self.head - 4, origin, top - Self.space + 4, "axis"))
        return elements
    }

    /// How long the bar is, from 0 to 1.
    private func share(_ value: Double, of all: [Double]) -> Double {
        guard let most = all.max(), most > 0, value > 0 else { return 0 }
        guard isLogarithmic, let least = all.filter({ $0 > 0 }).min() else { return value / most }
        // The shortest bar still shows that it is one.
        return 0.08 + 0.92 * (least < most ? log(value / least) / log(most / least) : 1)
    }
}

/// Values at growing counts, equally spaced: 1, 10, 100 …
package struct Lines {
    fileprivate static let height = 150.0

    private let title: String
    private let counts: [Int]
    /// By series; the first two have their values written, above and below.
    fileprivate let values: [[Double?]]

    package init(_ title: String, counts: [Int], _ values: [[Double?]]) {
        precondition(values.allSatisfy { $0.count == counts.count }, "\(title): a line of another length")
        self.title = title
        self.counts = counts
        self.values = values
    }

    fileprivate func elements(x: Double, y: Double, width: Double, height: Double) -> [Element] {
        var elements: [Element] = [.text(x, y + 12, title, "head")]
        let (left, right) = (x + 24, x + width - 28)
        let (top, bottom) = (y + 44, y + height - 22)
        let step = counts.count > 1 ? (right - left) / Double(counts.count - 1) : 0
        elements.append(.line(x, bottom, x + width, bottom, "axis"))
        for (index, count) in counts.enumerated() {
            let place = left + step * Double(index)
            elements.append(.text(place, bottom + 15, shown(Double(count)), "middle"))
        }
        let most = values.joined().compactMap { $0 }.max() ?? 1
        for (series, line) in values.enumerated() {
            let points = line.enumerated().compactMap { index, value in
                value.map {
                    (
                        x: left + step * Double(index), y: bottom - (bottom - top) * $0 / max(most, 1e-9),
                        value: $0
                    )
                }
            }
            elements.append(.path(points.map { ($0.x, $0.y) }, "l\(series)"))
            for point in points {
                elements.append(.dot(point.x, point.y, "s\(series)"))
                let label = point.y + (series == 0 ? -8 : 16)
                elements.append(.text(point.x, min(label, bottom - 4), brief(point.value), "over"))
            }
        }
        return elements
    }
}
