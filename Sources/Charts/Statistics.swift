// Charts: what a benchmark makes of its figures: medians, tables, a picture. Pure: values in, text out, so
// that tests can hold it to its promises without measuring anything.

extension Collection where Element == Double {
    /// The middle value, or the mean of the two in the middle.
    package var median: Double? {
        guard !isEmpty else { return nil }
        let ordered = sorted()
        let middle = count / 2
        return count % 2 == 1 ? ordered[middle] : (ordered[middle - 1] + ordered[middle]) / 2
    }

    /// The smallest value's share of the mean: 1 when all are equal, 0 when one got nothing.
    package var leastByMean: Double {
        let sum = reduce(0, +)
        return sum > 0 ? (self.min() ?? 0) * Double(count) / sum : 0
    }
}

extension Collection where Element: BinaryInteger {
    /// The values below which `parts` per thousand of all stay, by nearest rank; zeros when there are none.
    package func ranked(_ parts: [Int]) -> [Element] {
        let ordered = sorted()
        return parts.map { part in
            guard !ordered.isEmpty else { return 0 }
            let rank = (part * ordered.count + 999) / 1_000
            return ordered[Swift.max(0, rank - 1)]
        }
    }
}

/// What one of many costs, at growing numbers of them.
package struct Growth {
    package struct Step: Equatable {
        package let count: Int
        /// Per unit: it stays the same where the whole grows linearly.
        package let cost: Double

        package init(count: Int, cost: Double) {
            self.count = count
            self.cost = cost
        }
    }

    package let steps: [Step]

    package init(_ steps: [Step]) {
        self.steps = steps.filter { $0.cost.isFinite && $0.cost > 0 }.sorted { $0.count < $1.count }
    }

    /// Figures of one run differ by a fifth between rounds; half more is a difference.
    package static let factor = 1.5

    /// The first step that costs `factor` times the cheapest before it, with that one; nil while all is linear.
    package var departure: (step: Step, cheapest: Step)? {
        guard var cheapest = steps.first else { return nil }
        for step in steps.dropFirst() {
            if step.cost > cheapest.cost * Self.factor { return (step, cheapest) }
            if step.cost < cheapest.cost { cheapest = step }
        }
        return nil
    }
}
