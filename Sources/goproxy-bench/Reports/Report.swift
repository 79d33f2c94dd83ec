// Report: the tables, as text and as Markdown.
import Charts

extension Results {
    /// All tables that have figures.
    var report: String {
        let goals = Goal.table("Beside the goals", goals).map { [$0.text] } ?? []
        return ([introduction.joined(separator: "\n") + "\n"] + goals + tables.map(\.text) + notes)
            .joined(separator: "\n")
    }

    var markdown: String {
        let goals = Goal.table("Beside the goals", goals).map(\.markdown) ?? ""
        let all = tables.map(\.markdown).joined(separator: "\n")
        let notes = notes.map { "- \($0)" }.joined(separator: "\n")
        return """

            \(introduction.joined(separator: " "))

            \(goals)
            \(notes)

            <details><summary>All figures</summary>

            \(all)
            </details>

            """
    }

    var machineText: String {
        """
        \(machine.cores) cores (\(machine.processor)) shared by tunnel and load, Linux \(machine.kernel), \
        TCP \(machine.congestionControl)
        """
    }

    private var introduction: [String] {
        var lines = [
            "goproxy-bench: \(options.rounds) rounds of \(shown(options.seconds, 2)) s, medians.",
            "\(machineText).",
            "MB = 10^6 bytes; down: from the origin to the client. CPU and memory: all processes of a tunnel.",
        ]
        if foreignShare >= Machine.quietShare {
            let foreign = shown(foreignShare * 100)
            lines.append(
                "Others took up to \(foreign) % of the CPU time in a measurement: do not trust these figures."
            )
        }
        return lines
    }

    private var tables: [Table] {
        [
            throughput, echo, short, stalls, memoryTable,
            growthTable(.connections), growthTable(.nodes),
        ].compactMap { $0 }
    }

    private var throughput: Table? {
        let head = [
            "connections", "way", "route", "MB/s", "of direct", "CPU s/GB", "load CPU s/GB", "slowest/mean",
        ]
        return table("Throughput", leading: 3, head) { measure, route in
            guard case .bulk(let connections, let way) = measure else { return nil }
            return [
                "\(connections)", way.rawValue, route,
                shown(median(.megabytesPerSecond, measure, route)),
                shown(ratioToDirect(.megabytesPerSecond, measure, route), 2),
                shown(median(.cpuSecondsPerGigabyte, measure, route), 2),
                shown(median(.loadCPUSecondsPerGigabyte, measure, route), 2),
                shown(median(.slowestByMean, measure, route), 2),
            ]
        }
    }

    private var echo: Table? {
        let head = ["", "route", "p50 µs", "p99 µs", "p99.9 µs", "CPU µs each", "bulk MB/s", "of bulk alone"]
        let alone = Measure.bulk(connections: 1, .down)
        return table("64-byte echo", leading: 2, head) { measure, route in
            guard measure == .echo || measure == .echoBesideBulk else { return nil }
            return [
                measure == .echo ? "alone" : "beside a bulk transfer", route,
                shown(median(.p50Microseconds, measure, route)),
                shown(median(.p99Microseconds, measure, route)),
                shown(median(.p999Microseconds, measure, route)),
                shown(median(.cpuMicrosecondsEach, measure, route), 1),
                shown(median(.megabytesPerSecond, measure, route)),
                shown(ratio(.megabytesPerSecond, measure, route, to: alone, route), 2),
            ]
        }
    }

    private var short: Table? {
        let head = ["at once", "route", "per second", "of direct", "p50 µs", "p99 µs", "CPU µs each"]
        return table("Short connections (connect, 64-byte echo, close)", leading: 2, head) { measure, route in
            guard case .short(let atOnce) = measure else { return nil }
            return [
                "\(atOnce)", route,
                shown(median(.perSecond, measure, route)),
                shown(ratioToDirect(.perSecond, measure, route), 2),
                shown(median(.p50Microseconds, measure, route)),
                shown(median(.p99Microseconds, measure, route)),
                shown(median(.cpuMicrosecondsEach, measure, route), 1),
            ]
        }
    }

    private var stalls: Table? {
        let head = ["way", "route", "other's MB/s", "of it alone", "taken in, MB", "memory grown, MB"]
        return table("A transfer beside one whose receiver stops", leading: 2, head) { measure, route in
            guard case .stall(let way) = measure else { return nil }
            return [
                way.rawValue, route,
                shown(median(.megabytesPerSecond, measure, route)),
                shown(median(.keptShare, measure, route), 2),
                shown(median(.absorbedMegabytes, measure, route), 1),
                shown(largest(.grownMegabytes, measure, route), 1),
            ]
        }
    }

    private var memoryTable: Table? {
        let lines = memory.map { reading in
            [
                reading.route, reading.moment, shown(Double(reading.bytes) / 1_024),
                shown(kibibytesEach(reading), 2),
            ]
        }
        guard !lines.isEmpty else { return nil }
        let head = ["tunnel", "connections", "KiB", "KiB each"]
        return Table("Resident memory", leading: 2, head: head, lines: lines)
    }

    /// What each connection takes above what the tunnel took before.
    func kibibytesEach(_ reading: MemoryReading) -> Double? {
        guard reading.connections > 0, let before = memory.first(where: { $0.route == reading.route }) else {
            return nil
        }
        return Double(reading.bytes - before.bytes) / 1_024 / Double(reading.connections)
    }

    private func growthTable(_ kind: GrowthStep.Kind) -> Table? {
        let steps = growth.filter { $0.kind == kind }
        guard !steps.isEmpty else { return nil }
        let one = kind == .connections ? "connection" : "node"
        let head = [
            kind.rawValue, "MB/s", "CPU s/GB", "slowest/mean", "KiB per idle \(one)", "MB in all, loaded",
            "idle CPU, % of a core",
        ]
        let lines = steps.map { step in
            [
                shown(Double(step.count)), shown(step.megabytesPerSecond),
                shown(step.cpuSecondsPerGigabyte, 2), shown(step.slowestByMean, 2),
                shown(step.kibibytesEach, 1), shown(step.loadedMegabytes), shown(step.idlePercent, 2),
            ]
        }
        let title =
            kind == .connections
            ? "Growth: connections over one link, half of them over each listener, downward"
            : "Growth: nodes, one transfer each, downward (CPU and memory of the server alone)"
        return Table(title, leading: 0, head: head, lines: lines)
    }

    private func table(
        _ title: String, leading: Int, _ head: [String], _ line: (Measure, String) -> [String]?
    ) -> Table? {
        let lines = Measure.all(options).flatMap { measure in
            routes.compactMap { route in
                rounds[Cell(measure: measure, route: route)] == nil ? nil : line(measure, route)
            }
        }
        return lines.isEmpty ? nil : Table(title, leading: leading, head: head, lines: lines)
    }

    private func ratioToDirect(_ figure: Figure, _ measure: Measure, _ route: String) -> Double? {
        route == Route.direct ? nil : ratio(figure, measure, route, to: measure, Route.direct)
    }
}
