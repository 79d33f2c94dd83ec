// Bench: the run itself. Every measure over every route, round by round, so that what the machine does
// meanwhile meets all alike.
import Glibc

struct Bench {
    let options: Options
    let temporary: TemporaryFolder
    private(set) var results: Results

    init(_ options: Options, _ temporary: TemporaryFolder) {
        self.options = options
        self.temporary = temporary
        results = Results(options)
    }

    mutating func run() throws(BenchError) {
        let descriptors = IdleMemory.most()
        let origin = try Origin()
        var routes = [Route(name: Route.directName, port: origin.port, tunnel: nil)]
        if options.direct {
            results.routes = routes.map(\.name)
            return try measure(routes, origin)
        }
        let folder = try ProgramFolder(options.bin)
        if options.only.contains(.memory) {
            // A pair of its own: what the other measures leave in an allocator would hide what a connection
            // takes.
            let pair = try startPair(folder, origin)
            results.memory = try IdleMemory.measure(
                pair, idle: min(options.idle, descriptors), progress: complain)
            pair.end()
        }
        guard !Measure.all(options).isEmpty else { return }
        let pair = try startPair(folder, origin)
        routes.append(Route(name: "listener", port: pair.listenerPort, tunnel: pair))
        routes.append(Route(name: "peer listener", port: pair.peerListenerPort, tunnel: pair))
        var hasty: TunnelPair?
        if options.comparesAudit {
            hasty = try startPair(folder, origin, ["-audit", "best-effort"])
            if let hasty {
                routes.append(Route(name: "best effort", port: hasty.listenerPort, tunnel: hasty))
            }
        }
        results.routes = routes.map(\.name)
        try measure(routes, origin)
        pair.end()
        hasty?.end()
    }

    private func startPair(
        _ folder: ProgramFolder, _ origin: Origin, _ serverFlags: [String] = []
    ) throws(BenchError) -> TunnelPair {
        let pair = try TunnelPair.start(
            from: folder, in: temporary, origin: origin, serverFlags: serverFlags, echoLog: options.verbose)
        complain("goproxy-server pid \(pair.server.pid), goproxy-node pid \(pair.node.pid)")
        return pair
    }

    private mutating func measure(_ routes: [Route], _ origin: Origin) throws(BenchError) {
        for round in 1...options.rounds {
            for measure in Measure.all(options) {
                for index in routes.indices {
                    // Each round begins with another route: none is always the one after an idle moment.
                    let route = routes[(index + round) % routes.count]
                    let figures: Figures
                    do {
                        figures = try quietest { () throws(BenchError) in
                            try measure.run(over: route, origin: origin, seconds: options.seconds)
                        }
                    } catch {
                        throw explained(error, measure, route)
                    }
                    results.add(measure, route, figures)
                    let place = "round \(round)/\(options.rounds)  \(measure.name)  \(route.name)"
                    complain("\(place): \(Self.brief(figures))")
                }
            }
        }
    }

    /// Repeats a measurement in which others used the machine, and keeps the one in which they did least: the
    /// choice does not look at the result.
    private func quietest(_ run: () throws(BenchError) -> Figures) throws(BenchError) -> Figures {
        var best = try run()
        for _ in 0..<options.retries where best[.foreignShare, default: 0] >= Machine.quietShare {
            let next = try run()
            if next[.foreignShare, default: 0] < best[.foreignShare, default: 0] { best = next }
        }
        return best
    }

    /// Puts the measure before an error, and what a program that died said last behind it.
    private func explained(_ error: BenchError, _ measure: Measure, _ route: Route) -> BenchError {
        var why = "\(error)"
        for program in route.tunnel?.programs ?? [] where program.hasExited {
            why += "\n\(program.failed("ended meanwhile"))"
        }
        return BenchError(subject: "\(measure.name) over \(route.name)", failed: why, why: "")
    }

    private static func brief(_ figures: Figures) -> String {
        let shown: [(Figure, String)] = [
            (.megabytesPerSecond, "MB/s"), (.perSecond, "per second"), (.p50Microseconds, "µs p50"),
            (.p99Microseconds, "µs p99"),
        ]
        return shown.compactMap { figure, unit in figures[figure].map { "\(Int($0)) \(unit)" } }
            .joined(separator: ", ")
    }
}
