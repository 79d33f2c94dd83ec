// Drawing: the run as one picture.
import Charts

extension Results {
    var picture: Picture {
        // Ours first: the strongest colours are theirs.
        let order = routes.filter { $0 != Route.direct } + routes.filter { $0 == Route.direct }
        // A direct connection is faster than all by so much that nobody could compare the others beside it.
        func bars(
            _ name: String, _ figure: Figure, _ measure: Measure, withDirect: Bool = false
        ) -> Bars.Group {
            Bars.Group(
                name, order.map { $0 == Route.direct && !withDirect ? nil : median(figure, measure, $0) })
        }
        let bulk = Measure.all(options).compactMap { measure -> (String, Measure)? in
            guard case .bulk(let connections, let way) = measure else { return nil }
            return ("\(connections) \(way.rawValue)", measure)
        }
        let echo: [(String, Figure, Measure)] = [
            ("alone p50", .p50Microseconds, .echo), ("p99", .p99Microseconds, .echo),
            ("with bulk p50", .p50Microseconds, .echoBesideBulk),
            ("p99", .p99Microseconds, .echoBesideBulk), ("p99.9", .p999Microseconds, .echoBesideBulk),
        ]
        let short = Measure.all(options).compactMap { measure -> Bars.Group? in
            guard case .short(let atOnce) = measure else { return nil }
            return bars("\(atOnce) at once", .perSecond, measure)
        }
        let panels: [Panel] = [
            .bars(Bars("Throughput, MB/s: connections", bulk.map { bars($0, .megabytesPerSecond, $1) })),
            .bars(Bars("CPU seconds per GB: connections", bulk.map { bars($0, .cpuSecondsPerGigabyte, $1) })),
            .bars(
                Bars(
                    "64-byte echo, µs (logarithmic)", isLogarithmic: true,
                    echo.map { bars($0, $1, $2, withDirect: true) })),
            .bars(Bars("Short connections per second", short)),
        ]
        return Picture(
            title: "goproxy: server and node on one machine, all traffic over one encrypted link",
            series: order, panels: panels + growthPanels,
            foot: "\(machineText); medians of \(options.rounds) rounds")
    }

    private var growthPanels: [Panel] {
        [GrowthStep.Kind.connections, .nodes].flatMap { kind -> [Panel] in
            let steps = growth.filter { $0.kind == kind }
            let isOfNodes = kind == .nodes
            func lines(_ title: String, _ value: (GrowthStep) -> Double) -> Panel {
                .lines(Lines(title, counts: steps.map(\.count), [steps.map(value)]))
            }
            return [
                lines("MB/s in all, at 1, 10, 100 … \(kind.rawValue)", \.megabytesPerSecond),
                lines(
                    "CPU s/GB at so many \(kind.rawValue)\(isOfNodes ? ", server" : "")",
                    \.cpuSecondsPerGigabyte),
                lines(
                    "Resident MB, all \(kind.rawValue) transferring\(isOfNodes ? ", server" : "")",
                    \.loadedMegabytes),
                lines("KiB for each idle \(isOfNodes ? "node" : "connection")", \.kibibytesEach),
            ]
        }
    }

    /// Where growth stops being linear, in words.
    var notes: [String] {
        [GrowthStep.Kind.connections, .nodes].flatMap { kind -> [String] in
            let steps = growth.filter { $0.kind == kind }
            guard steps.count > 1 else { return [] }
            let one = kind == .connections ? "connection" : "node"
            func note(_ what: String, _ cost: (GrowthStep) -> Double) -> String {
                let growth = Growth(steps.map { .init(count: $0.count, cost: cost($0)) })
                guard let (step, cheapest) = growth.departure else {
                    return
                        "\(what) grows linearly up to \(shown(Double(steps.last?.count ?? 0))) \(kind.rawValue)."
                }
                return """
                    \(what) stops growing linearly at \(shown(Double(step.count))) \(kind.rawValue): \
                    \(brief(step.cost)), at \(shown(Double(cheapest.count))) \(brief(cheapest.cost)).
                    """
            }
            return [
                note("CPU with bytes (s/GB)", \.cpuSecondsPerGigabyte),
                note("Memory with each \(one) (KiB)", \.kibibytesEach),
            ]
        }
    }
}
