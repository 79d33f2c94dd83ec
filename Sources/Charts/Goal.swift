// A figure beside what it has to reach.

package struct Goal {
    package enum Bound: Equatable {
        case atLeast(Double)
        case atMost(Double)
    }

    package let figure: String
    package let bound: Bound
    /// What is compared with the bound, the worst of several decides; empty when nothing was measured.
    package let values: [Double]
    package let digits: Int
    package let unit: String

    package init(
        _ figure: String, _ bound: Bound, _ values: [Double?], digits: Int = 2, unit: String = ""
    ) {
        self.figure = figure
        self.bound = bound
        self.values = values.compactMap { $0 }.filter(\.isFinite)
        self.digits = digits
        self.unit = unit
    }

    /// Nil when nothing was measured.
    package var isReached: Bool? {
        guard !values.isEmpty else { return nil }
        return values.allSatisfy { value in
            switch bound {
            case .atLeast(let least): value >= least
            case .atMost(let most): value <= most
            }
        }
    }

    /// The goals that were measured.
    package static func table(_ title: String, _ goals: [Goal]) -> Table? {
        let lines = goals.compactMap { goal in
            goal.isReached.map { isReached in
                let values = goal.values.map { shown($0, goal.digits) }.joined(separator: " / ")
                return [goal.figure, goal.wanted, values, isReached ? "yes" : "no"]
            }
        }
        guard !lines.isEmpty else { return nil }
        return Table(title, leading: 1, head: ["figure", "goal", "measured", "reached"], lines: lines)
    }

    private var wanted: String {
        let (sign, value) =
            switch bound {
            case .atLeast(let least): ("≥", least)
            case .atMost(let most): ("≤", most)
            }
        // 0.95 with its two digits, 500 without any.
        let text = value == value.rounded() ? shown(value) : shown(value, 2)
        return unit.isEmpty ? "\(sign) \(text)" : "\(sign) \(text) \(unit)"
    }
}
