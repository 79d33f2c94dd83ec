// Measure: what is measured, over which route, and the figures that come out.
import Glibc

/// A way from the client to the origin.
struct Route {
    let name: String
    let port: UInt16
    /// The processes whose CPU time and memory count; none for the direct connection.
    let tunnel: TunnelProcesses?

    static let direct = "direct"
    static let listener = "listener"
    static let peerListener = "peer listener"
}

/// One kind of measurement.
enum Measure: Hashable {
    case bulk(connections: Int, Way)
    case echo
    /// The echo beside one unlimited transfer. Downward only: over the listener the data then flows from the
    /// node to the server, and over the peer listener from the server to the node.
    case echoBesideBulk
    case short(atOnce: Int)
    /// One transfer beside another whose receiver stops reading, against the same one alone.
    case stall(Way)

    var name: String {
        switch self {
        case .bulk(let connections, let way): "bulk \(connections) \(way.rawValue)"
        case .echo: "echo alone"
        case .echoBesideBulk: "echo beside bulk"
        case .short(let atOnce): "short \(atOnce)"
        case .stall(let way): "stalled \(way.rawValue)"
        }
    }

    static func all(_ options: Options) -> [Measure] {
        var measures: [Measure] = []
        if options.only.contains(.throughput) {
            measures += options.connections.flatMap { count in
                Way.allCases.map { .bulk(connections: count, $0) }
            }
        }
        if options.only.contains(.echo) { measures += [.echo, .echoBesideBulk] }
        if options.only.contains(.short) { measures += options.short.map { .short(atOnce: $0) } }
        if options.only.contains(.stall) { measures += Way.allCases.map { .stall($0) } }
        return measures
    }

    /// Nobody stands between the ends of a direct connection, so a receiver that stops there hurts nobody.
    func applies(to route: Route) -> Bool {
        if case .stall = self { route.tunnel != nil } else { true }
    }
}

/// The figures of a measurement; the raw values name them in the JSON file.
enum Figure: String, CaseIterable {
    case megabytesPerSecond, cpuSecondsPerGigabyte, loadCPUSecondsPerGigabyte, slowestByMean
    case p50Microseconds, p99Microseconds, p999Microseconds
    case perSecond, cpuMicrosecondsEach
    /// The other transfer's speed beside a stalled one, by its speed alone; what the stalled one's tunnel took in before
    /// it stopped its sender; and how much memory it took for it.
    case keptShare, absorbedMegabytes, grownMegabytes
    /// Share of the machine's CPU time that others took: 0 on a quiet machine.
    case foreignShare
}

typealias Figures = [Figure: Double]

extension Measure {
    /// Time for windows to grow and caches to warm before a bulk transfer is counted.
    static let warmSeconds = 0.3

    func run(over route: Route, origin: Origin, seconds: Double) throws(BenchError) -> Figures {
        switch self {
        case .bulk(let connections, let way):
            let load = try BulkLoad.start(.init(connections, way, to: [route.port]), origin: origin)
            pass(seconds: Self.warmSeconds)
            let window = try Window(load, route.tunnel, origin)
            pass(seconds: seconds)
            let reading = try window.close()
            try load.finish()
            return Self.bulkFigures(reading, route)
        case .echo:
            let connection = try EchoConnection(to: route.port)
            _ = try connection.measure(seconds: seconds / 8)
            let window = try Window(nil, route.tunnel, origin)
            let trips = try connection.measure(seconds: seconds)
            return Self.tripFigures(trips, try window.close(), route)
        case .echoBesideBulk:
            let connection = try EchoConnection(to: route.port)
            let load = try BulkLoad.start(.init(1, .down, to: [route.port]), origin: origin)
            _ = try connection.measure(seconds: Self.warmSeconds)
            let window = try Window(load, route.tunnel, origin)
            let trips = try connection.measure(seconds: seconds)
            let reading = try window.close()
            try load.finish()
            return Self.tripFigures(trips, nil, route)
                .merging(Self.bulkFigures(reading, route)) { echo, _ in echo }
        case .short(let atOnce):
            _ = try ShortLoad.measure(to: route.port, atOnce: atOnce, seconds: seconds / 8)
            let window = try Window(nil, route.tunnel, origin)
            let trips = try ShortLoad.measure(to: route.port, atOnce: atOnce, seconds: seconds)
            return Self.tripFigures(trips, try window.close(), route)
        case .stall(let way):
            return try StalledConsumer(way: way, route: route, origin: origin).measure(seconds: seconds)
        }
    }

    private static func bulkFigures(_ reading: Window.Reading, _ route: Route) -> Figures {
        var figures: Figures = [
            .megabytesPerSecond: reading.megabytesPerSecond, .slowestByMean: reading.fairness,
            .foreignShare: reading.foreignShare,
        ]
        // A transfer that stood still has no cost per byte.
        guard reading.gigabytes > 0 else { return figures }
        figures[.loadCPUSecondsPerGigabyte] = reading.ownCPUSeconds / reading.gigabytes
        if route.tunnel != nil {
            figures[.cpuSecondsPerGigabyte] = reading.tunnelCPUSeconds / reading.gigabytes
        }
        return figures
    }

    private static func tripFigures(
        _ trips: RoundTrips, _ reading: Window.Reading?, _ route: Route
    ) -> Figures {
        let times = trips.microseconds([500, 990, 999])
        var figures: Figures = [
            .p50Microseconds: times[0], .p99Microseconds: times[1], .p999Microseconds: times[2],
        ]
        if let reading {
            figures[.perSecond] = Double(trips.count) / reading.seconds
            figures[.foreignShare] = reading.foreignShare
            if route.tunnel != nil {
                figures[.cpuMicrosecondsEach] = reading.tunnelCPUSeconds * 1e6 / Double(max(1, trips.count))
            }
        }
        return figures
    }
}
