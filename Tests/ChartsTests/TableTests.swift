import Charts
import Testing

struct TableTests {
    private let table = Table(
        "Speed", leading: 1, head: ["route", "MB/s"], lines: [["direct", "2185"], ["a|b", ""]])

    @Test func `columns stand below each other, text left and numbers right`() {
        #expect(table.text == "Speed\n  route   MB/s\n  direct  2185\n  a|b\n")
    }

    @Test func `in Markdown a pipe does not end its cell`() {
        #expect(
            table.markdown
                == "**Speed**\n\n| route | MB/s |\n|---|---:|\n| direct | 2185 |\n| a\\|b |  |\n")
    }

    @Test func `the tables of a file are replaced between its two lines, and nothing else is`() {
        let text = "# A\n<!-- b -->\nold\nold\n<!-- e -->\n<!-- b --> in a sentence\n"
        #expect(
            replacing(from: "<!-- b -->", to: "<!-- e -->", in: text, with: "new")
                == "# A\n<!-- b -->\nnew\n<!-- e -->\n<!-- b --> in a sentence\n")
    }

    @Test(arguments: ["", "b\n", "e\nb\n", "b\ne\nb\ne\n", "b\nb\ne\n"])
    func `without one place for the tables nothing is replaced`(text: String) {
        #expect(replacing(from: "b", to: "e", in: text, with: "new") == nil)
    }

    @Test func `a goal is reached when its worst value is`() {
        #expect(Goal("speed", .atLeast(1.3), [1.3, 1.4]).isReached == true)
        #expect(Goal("speed", .atLeast(1.3), [1.29, 1.4]).isReached == false)
        #expect(Goal("cost", .atMost(0.7), [0.7, 0.2]).isReached == true)
        #expect(Goal("cost", .atMost(0.7), [0.71, nil]).isReached == false)
        #expect(Goal("cost", .atMost(0.7), [nil, .nan]).isReached == nil)
    }

    @Test func `goals that were not measured are left out`() {
        let goals = [
            Goal("speed", .atLeast(1.15), [1.2, 0.9]), Goal("none", .atMost(1), [nil]),
            Goal("tail", .atMost(500), [1_084], digits: 0, unit: "µs"),
        ]
        #expect(
            Goal.table("Goals", goals)?.lines == [
                ["speed", "≥ 1.15", "1.20 / 0.90", "no"], ["tail", "≤ 500 µs", "1084", "no"],
            ])
        #expect(Goal.table("Goals", [goals[1]]) == nil)
    }
}
