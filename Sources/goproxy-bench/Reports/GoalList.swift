// GoalList: what the listener has to reach, beside the other tunnels of the same run where there are some.
import Charts

extension Results {
    private static let shells = SecureShell.Kind.allCases.map(\.rawValue)
    private static let mine = Route.listener

    /// Those without figures are left out of the table.
    var goals: [Goal] { throughputGoals + costGoals + latencyGoals + shortGoals + spaceGoals }

    private func both(_ value: (Way) -> Double?) -> [Double?] { Way.allCases.map(value) }

    private var throughputGoals: [Goal] {
        func best(_ connections: Int, of routes: [String]) -> [Double?] {
            both { way in
                ratio(.megabytesPerSecond, .bulk(connections: connections, way), Self.mine, routes) {
                    $0.max()
                }
            }
        }
        var goals = [
            Goal(
                "MB/s, 1 connection, down / up, of the best of the others", .atLeast(1.15),
                best(1, of: Self.shells + [Haproxy.name]))
        ]
        for connections in [8, 64] {
            goals += [
                Goal(
                    "MB/s, \(connections) connections, down / up, of the better ssh", .atLeast(1.3),
                    best(connections, of: Self.shells)),
                Goal(
                    "MB/s, \(connections) connections, down / up, of haproxy ×2", .atLeast(1),
                    best(connections, of: [Haproxy.name])),
            ]
        }
        return goals
    }

    private var costGoals: [Goal] {
        [1, 8, 64].flatMap { connections in
            [(SecureShell.Kind.remote.rawValue, 0.7), (Haproxy.name, 0.95)].map { route, most in
                Goal(
                    "CPU s/GB, \(connections) conn., down / up, of \(route)", .atMost(most),
                    both { way in
                        let measure = Measure.bulk(connections: connections, way)
                        return ratio(.cpuSecondsPerGigabyte, measure, Self.mine, to: measure, route)
                    })
            }
        }
    }

    private var latencyGoals: [Goal] {
        let local = SecureShell.Kind.local.rawValue
        func alone(_ figure: Figure) -> Double? { ratio(figure, .echo, Self.mine, to: .echo, local) }
        func beside(_ figure: Figure) -> Double? { median(figure, .echoBesideBulk, Self.mine) }
        return [
            Goal("echo alone, p50, of ssh -L", .atMost(0.8), [alone(.p50Microseconds)]),
            Goal("echo alone, p99, of ssh -L", .atMost(0.85), [alone(.p99Microseconds)]),
            Goal(
                "echo beside bulk, p50, of alone", .atMost(1.5),
                [ratio(.p50Microseconds, .echoBesideBulk, Self.mine, to: .echo, Self.mine)]),
            Goal("echo beside bulk, p99", .atMost(500), [beside(.p99Microseconds)], digits: 0, unit: "µs"),
            Goal(
                "echo beside bulk, p99.9", .atMost(2_000), [beside(.p999Microseconds)], digits: 0, unit: "µs"),
            Goal(
                "bulk beside that echo, of bulk alone", .atLeast(0.85),
                [
                    ratio(
                        .megabytesPerSecond, .echoBesideBulk, Self.mine,
                        to: .bulk(connections: 1, .down), Self.mine)
                ]),
        ]
    }

    private var shortGoals: [Goal] {
        let local = SecureShell.Kind.local.rawValue
        let ratios = [1, 32].map { atOnce in
            Goal(
                "short connections, \(atOnce) at once, of ssh -L", .atLeast(1.7),
                [
                    ratio(
                        .perSecond, .short(atOnce: atOnce), Self.mine, to: .short(atOnce: atOnce), local)
                ])
        }
        let tail = median(.p99Microseconds, .short(atOnce: 32), Self.mine).map { $0 / 1_000 }
        return ratios + [Goal("short connections, 32 at once, p99", .atMost(5), [tail], unit: "ms")]
    }

    private var spaceGoals: [Goal] {
        let ours = memory.filter { $0.route == "goproxy" }
        let after = ours.last.map { $0.moment == "after closing" ? Double($0.bytes) : nil } ?? nil
        let before = ours.first.map { Double($0.bytes) }
        let growth = after.flatMap { after in before.map { after / $0 } }
        let many = ours.last { $0.connections > 0 }
        let idle = self.growth.last { $0.kind == .nodes && $0.count == 1_000 }
        let fairness = both { median(.slowestByMean, .bulk(connections: 64, $0), Self.mine) }
        let kept = both { median(.keptShare, .stall($0), Self.mine) }
        let grown = both { largest(.grownMegabytes, .stall($0), Self.mine) }
        return [
            Goal(
                "KiB per idle connection, \(shown(many.map { Double($0.connections) })) of them",
                .atMost(3), [many.flatMap(kibibytesEach)]),
            Goal("memory after closing, of before", .atMost(1.1), [growth]),
            Goal("fairness of 64, down / up, slowest/mean", .atLeast(0.9), fairness),
            Goal("transfer beside a stalled one, down / up, of alone", .atLeast(0.95), kept),
            // Its window is 256 KiB, and only grows while it takes something. What else it took in is in the kernel.
            Goal("memory grown for a stalled one, down / up", .atMost(1), grown, digits: 1, unit: "MB"),
            Goal("idle CPU, 1,000 nodes, % of a core", .atMost(FleetRest.goalPercent), [idle?.idlePercent]),
        ]
    }
}
