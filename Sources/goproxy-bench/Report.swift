// Report: the readable table.

/// Lines of cells, padded to columns: the first `leading` are aligned left, the others right.
private struct Table {
    let title: String
    let leading: Int
    var lines: [[String]]

    var text: String {
        let widths = lines[0].indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        let body = lines.map { line in
            let cells = line.indices.map { column in
                let gap = String(repeating: " ", count: widths[column] - line[column].count)
                return column < leading ? line[column] + gap : gap + line[column]
            }
            let text = cells.joined(separator: "  ")
            return "  "
                + String(text[..<(text.lastIndex { $0 != " " }.map(text.index(after:)) ?? text.startIndex)])
        }
        return ([title] + body).joined(separator: "\n") + "\n"
    }
}

extension Results {
    /// All tables that have figures.
    var report: String {
        let head = """
            goproxy-bench: \(options.rounds) rounds of \(options.seconds) s, medians
            \(machine.cores) cores (\(machine.processor)) shared by tunnel and load, Linux \(machine.kernel), \
            TCP \(machine.congestionControl)
            MB = 10^6 bytes; down: from the origin to the client. CPU of server and node together.

            """
        let foreign = Int((foreignShare * 100).rounded())
        let warning =
            "Others took up to \(foreign) % of the CPU time in a measurement: do not trust these figures.\n"
        let tables = [throughput, echo, short, memoryTable].compactMap { $0?.text }
        return ([head] + (foreignShare < Machine.quietShare ? [] : [warning]) + tables).joined(
            separator: "\n")
    }

    private var throughput: Table? {
        let measures = Measure.all(options).filter { if case .bulk = $0 { true } else { false } }
        let head = [
            "connections", "way", "route", "MB/s", "of direct", "CPU s/GB", "load CPU s/GB", "slowest/mean",
        ]
        return table("Throughput", leading: 3, head, measures) { measure, route in
            guard case .bulk(let connections, let way) = measure else { return nil }
            return [
                "\(connections)", way.rawValue, route,
                show(median(.megabytesPerSecond, measure, route), 0),
                show(ratioToDirect(.megabytesPerSecond, measure, route), 2),
                show(median(.cpuSecondsPerGigabyte, measure, route), 2),
                show(median(.loadCPUSecondsPerGigabyte, measure, route), 2),
                show(median(.slowestByMean, measure, route), 2),
            ]
        }
    }

    private var echo: Table? {
        let measures = Measure.all(options).filter { $0 == .echo || $0 == .echoBesideBulk }
        let head = ["", "route", "p50 µs", "p99 µs", "p99.9 µs", "CPU µs each", "bulk MB/s", "of bulk alone"]
        let alone = Measure.bulk(connections: 1, .down)
        return table("64-byte echo", leading: 2, head, measures) { measure, route in
            [
                measure == .echo ? "alone" : "beside a bulk transfer", route,
                show(median(.p50Microseconds, measure, route), 0),
                show(median(.p99Microseconds, measure, route), 0),
                show(median(.p999Microseconds, measure, route), 0),
                show(median(.cpuMicrosecondsEach, measure, route), 1),
                show(median(.megabytesPerSecond, measure, route), 0),
                show(ratio(.megabytesPerSecond, measure, route, to: alone, route), 2),
            ]
        }
    }

    private var short: Table? {
        let measures = Measure.all(options).filter { if case .short = $0 { true } else { false } }
        let head = ["at once", "route", "per second", "of direct", "p50 µs", "p99 µs", "CPU µs each"]
        return table("Short connections (connect, 64-byte echo, close)", leading: 2, head, measures) {
            measure, route in
            guard case .short(let atOnce) = measure else { return nil }
            return [
                "\(atOnce)", route,
                show(median(.perSecond, measure, route), 0),
                show(ratioToDirect(.perSecond, measure, route), 2),
                show(median(.p50Microseconds, measure, route), 0),
                show(median(.p99Microseconds, measure, route), 0),
                show(median(.cpuMicrosecondsEach, measure, route), 1),
            ]
        }
    }

    private var memoryTable: Table? {
        guard let before = memory.first else { return nil }
        let lines = memory.map { reading in
            let each = Double(reading.bytes - before.bytes) / 1_024 / Double(max(1, reading.connections))
            return [
                reading.moment, "\(reading.serverBytes / 1_024)", "\(reading.nodeBytes / 1_024)",
                reading.connections > 0 ? show(each, 2) : "",
            ]
        }
        let head = ["connections", "server KiB", "node KiB", "both, KiB each"]
        return Table(title: "Resident memory", leading: 1, lines: [head] + lines)
    }

    private func table(
        _ title: String, leading: Int, _ head: [String], _ measures: [Measure],
        _ line: (Measure, String) -> [String]?
    ) -> Table? {
        let lines = measures.flatMap { measure in
            routes.compactMap { route in
                rounds[Cell(measure: measure, route: route)] == nil ? nil : line(measure, route)
            }
        }
        return lines.isEmpty ? nil : Table(title: title, leading: leading, lines: [head] + lines)
    }

    private func ratioToDirect(_ figure: Figure, _ measure: Measure, _ route: String) -> Double? {
        route == Route.directName ? nil : ratio(figure, measure, route, to: measure, Route.directName)
    }

    private func show(_ value: Double?, _ digits: Int) -> String {
        guard let value, value.isFinite else { return "" }
        guard digits > 0 else { return "\(Int(value.rounded()))" }
        let scale = digits == 1 ? 10 : 100
        let whole = Int((value.magnitude * Double(scale)).rounded())
        let fraction = String(scale + whole % scale).dropFirst()
        return "\(value < 0 && whole > 0 ? "-" : "")\(whole / scale).\(fraction)"
    }
}
