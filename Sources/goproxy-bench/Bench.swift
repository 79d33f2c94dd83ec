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
        for rival in options.against { _ = try rival.programs() }
        let folder = options.direct ? nil : try ProgramFolder(options.bin)
        _ = IdleMemory.mostDescriptors()
        let origin = try Origin()
        let direct = Route(name: Route.direct, port: origin.port, tunnel: nil)
        guard let folder else {
            results.routes = [direct.name]
            return try measure([direct], origin)
        }
        if options.only.contains(.memory) { try memory(folder, origin) }
        if !Measure.all(options).isEmpty {
            let routes = try [direct] + tunnels(folder, origin)
            results.routes = routes.map(\.name)
            try measure(routes, origin)
            for route in routes { route.tunnel?.end() }
        }
        if options.growth || options.only.contains(.growth) { try growth(folder, origin) }
    }

    /// All tunnels of the run. Ours has two routes, whose processes are the same.
    private func tunnels(_ folder: ProgramFolder, _ origin: Origin) throws(BenchError) -> [Route] {
        let pair = try startPair(folder, origin)
        var routes = [
            Route(name: Route.listener, port: pair.listenerPort, tunnel: pair.tunnel),
            Route(name: Route.peerListener, port: pair.peerListenerPort, tunnel: pair.tunnel),
        ]
        if options.comparesAudit {
            let hasty = try startPair(folder, origin, ["-audit", "best-effort"])
            routes.append(Route(name: "best effort", port: hasty.listenerPort, tunnel: hasty.tunnel))
        }
        for rival in options.against {
            switch rival {
            case .ssh:
                for kind in SecureShell.Kind.allCases { routes.append(try startShell(kind, origin)) }
            case .haproxy:
                routes.append(
                    try Haproxy.start(in: temporary, origin: origin, echoLog: options.verbose))
            }
        }
        return routes
    }

    private func startPair(
        _ folder: ProgramFolder, _ origin: Origin, _ serverFlags: [String] = []
    ) throws(BenchError) -> TunnelPair {
        let pair = try TunnelPair.start(
            from: folder, in: temporary, origin: origin, serverFlags: serverFlags, echoLog: options.verbose)
        complain("goproxy-server pid \(pair.server.pid), goproxy-node pid \(pair.node.pid)")
        return pair
    }

    private func startShell(_ kind: SecureShell.Kind, _ origin: Origin) throws(BenchError) -> Route {
        try SecureShell.start(kind, in: temporary, origin: origin, echoLog: options.verbose)
    }

    /// On tunnels of their own: what other measures leave in an allocator would hide what a connection takes.
    private mutating func memory(_ folder: ProgramFolder, _ origin: Origin) throws(BenchError) {
        let most = min(options.idle, IdleMemory.mostConnections())
        let pair = try startPair(folder, origin)
        let ours = IdleMemory(
            route: "goproxy", tunnel: pair.tunnel, ports: [pair.listenerPort, pair.peerListenerPort],
            origin: origin)
        results.memory = try ours.measure([min(1_000, most), most], progress: complain)
        pair.end()
        for rival in options.against {
            // As many as others hold without trouble: what each takes does not change with more.
            let level = min(1_000, most)
            let route =
                rival == .ssh
                ? try startShell(.local, origin)
                : try Haproxy.start(in: temporary, origin: origin, echoLog: options.verbose)
            guard let tunnel = route.tunnel else { continue }
            results.memory += try IdleMemory(
                route: route.name, tunnel: tunnel, ports: [route.port], origin: origin
            )

            .measure([level], progress: complain)
            tunnel.end()
        }
    }

    private mutating func growth(_ folder: ProgramFolder, _ origin: Origin) throws(BenchError) {
        let pair = try startPair(folder, origin)
        let connections = ConnectionGrowth(origin: origin, seconds: options.seconds)
        results.growth = try connections.measure(
            pair, most: IdleMemory.mostConnections(), progress: complain)
        pair.end()
        let nodes = NodeGrowth(origin: origin, folder: folder, temporary: temporary, options: options)
        results.growth += try nodes.measure(complain)
    }

    private mutating func measure(_ routes: [Route], _ origin: Origin) throws(BenchError) {
        for round in 1...options.rounds {
            for measure in Measure.all(options) {
                for index in routes.indices {
                    // Each round begins with another route: none is always the one after an idle moment.
                    let route = routes[(index + round) % routes.count]
                    guard measure.applies(to: route) else { continue }
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
