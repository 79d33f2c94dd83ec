import Charts
import Testing

struct StatisticsTests {
    @Test func `the median is the middle value, or the mean of two`() {
        #expect([3.0, 1, 2].median == 2)
        #expect([4.0, 1, 2, 3].median == 2.5)
        #expect([Double]().median == nil)
    }

    @Test func `ranks are values that were measured`() {
        let values = (1...1_000).map { $0 }.reversed()
        #expect(Array(values).ranked([500, 990, 999, 1_000]) == [500, 990, 999, 1_000])
        #expect([7].ranked([1, 500, 999]) == [7, 7, 7])
        #expect([Int]().ranked([500, 990]) == [0, 0])
    }

    @Test func `fairness is 1 among equals and 0 when one got nothing`() {
        #expect([5.0, 5, 5].leastByMean == 1)
        #expect([0.0, 5, 10].leastByMean == 0)
        #expect([4.0, 6].leastByMean == 0.8)
        #expect([Double]().leastByMean == 0 && [0.0].leastByMean == 0)
    }

    private func growth(_ costs: Double...) -> Growth {
        var count = 1
        return Growth(
            costs.map { cost in
                defer { count *= 10 }
                return Growth.Step(count: count, cost: cost)
            })
    }

    @Test func `growth is linear while what one costs stays the same or falls`() {
        #expect(growth(2, 2.9, 2.1).departure == nil)
        #expect(growth(9, 3, 2, 2).departure == nil)
        #expect(growth(1).departure == nil && growth().departure == nil)
    }

    @Test func `growth departs at the first count that costs half more than the cheapest before it`() throws {
        let found = try #require(growth(9, 2, 2.5, 3.1, 9).departure)
        #expect(found.step == .init(count: 1_000, cost: 3.1) && found.cheapest == .init(count: 10, cost: 2))
    }

    @Test func `a cost that was not measured says nothing about growth`() {
        #expect(growth(2, .nan, .infinity, 0, 2).departure == nil)
    }
}

struct NumbersTests {
    @Test(
        arguments: [
            (0, 0, "0"), (1.005, 2, "1.00"), (9.996, 2, "10.00"), (-1.25, 1, "-1.3"), (-0.001, 2, "0.00"),
            (1_234, 0, "1234"), (12_345.6, 0, "12,346"), (1_234_567.89, 1, "1,234,567.9"), (.nan, 2, ""),
            (.infinity, 0, ""), (0.05, 2, "0.05"),
        ] as [(Double, Int, String)])
    func `numbers are rounded and grouped`(value: Double, digits: Int, text: String) {
        #expect(shown(value, digits) == text)
    }

    @Test func `what was not measured is shown as nothing`() {
        #expect(shown(nil, 2) == "")
    }

    @Test(arguments: [(0.123, "0.12"), (9.994, "9.99"), (9.996, "10.0"), (99.96, "100"), (1_234.5, "1235")])
    func `a label has about three digits`(value: Double, text: String) {
        #expect(brief(value) == text)
    }
}
