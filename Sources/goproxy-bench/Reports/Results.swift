// Results: all raw figures of a run, their medians, and the JSON file.
import Charts
import FoundationEssentials
import Glibc

struct Results {
    struct Cell: Hashable {
        let measure: Measure
        let route: String
    }

    let options: Options
    let machine = Machine()
    /// By cell, one entry a round.
    private(set) var rounds: [Cell: [Figures]] = [:]
    var memory: [MemoryReading] = []
    var growth: [GrowthStep] = []
    var routes: [String] = []

    init(_ options: Options) {
        self.options = options
    }

    var isEmpty: Bool { rounds.isEmpty && memory.isEmpty && growth.isEmpty }

    mutating func add(_ measure: Measure, _ route: Route, _ figures: Figures) {
        rounds[Cell(measure: measure, route: route.name), default: []].append(figures)
    }

    func median(_ figure: Figure, _ measure: Measure, _ route: String) -> Double? {
        (rounds[Cell(measure: measure, route: route)] ?? []).compactMap { $0[figure] }.median
    }

    /// For what only the first round shows: the others find the memory that it took.
    func largest(_ figure: Figure, _ measure: Measure, _ route: String) -> Double? {
        (rounds[Cell(measure: measure, route: route)] ?? []).compactMap { $0[figure] }.max()
    }

    /// The worst measurement's share of the machine that went to others.
    var foreignShare: Double {
        rounds.values.joined().compactMap { $0[.foreignShare] }.max() ?? 0
    }

    /// The median of the rounds' own ratios: what drifts on the machine from round to round cancels.
    func ratio(
        _ figure: Figure, _ measure: Measure, _ route: String, to base: Measure, _ baseRoute: String
    ) -> Double? {
        ratio(figure, measure, route, to: base, [baseRoute]) { $0.first }
    }

    /// The same to the best of several routes, where `best` says which value of them that is.
    func ratio(
        _ figure: Figure, _ measure: Measure, _ route: String, to base: Measure? = nil,
        _ baseRoutes: [String], best: ([Double]) -> Double?
    ) -> Double? {
        let mine = rounds[Cell(measure: measure, route: route)] ?? []
        let others = baseRoutes.map { rounds[Cell(measure: base ?? measure, route: $0)] ?? [] }
        return mine.indices.compactMap { round in
            let values = others.compactMap { $0.indices.contains(round) ? $0[round][figure] : nil }
            guard let value = mine[round][figure], let divisor = best(values), divisor > 0 else { return nil }
            return value / divisor
        }.median
    }
}

extension Results {
    private struct File: Encodable {
        struct Entry: Encodable {
            let measure: String
            let route: String
            let rounds: [[String: Double]]
        }

        let started: Date
        let machine: Machine
        let seconds: Double
        let entries: [Entry]
        let memory: [MemoryReading]
        let growth: [GrowthStep]
    }

    func write(to path: String, started: Date) throws(BenchError) {
        let entries = Measure.all(options).flatMap { measure in
            routes.compactMap { route -> File.Entry? in
                guard let rounds = rounds[Cell(measure: measure, route: route)] else { return nil }
                let named = rounds.map { figures in
                    Dictionary(uniqueKeysWithValues: figures.map { ($0.key.rawValue, $0.value) })
                }
                return File.Entry(measure: measure.name, route: route, rounds: named)
            }
        }
        let file = File(
            started: started, machine: machine, seconds: options.seconds, entries: entries, memory: memory,
            growth: growth)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        encoder.dateEncodingStrategy = .iso8601
        do {
            try (encoder.encode(file) + Data("\n".utf8)).write(to: URL(filePath: path))
        } catch {
            throw BenchError(subject: path, failed: "cannot write", why: "\(error)")
        }
    }
}
