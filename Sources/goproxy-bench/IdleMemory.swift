// IdleMemory: what an idle connection costs both programs, on a pair that has done nothing else.
import Glibc

/// Resident memory of both programs at one moment.
struct MemoryReading: Codable {
    /// "before", the number of idle connections, or "after closing".
    let moment: String
    let connections: Int
    let serverBytes: Int
    let nodeBytes: Int

    var bytes: Int { serverBytes + nodeBytes }
}

struct IdleMemory {
    /// Holds 1,000 and then `idle` connections, half of them over each listener; each has carried an echo and
    /// rests.
    static func measure(
        _ pair: TunnelPair, idle: Int, progress: (String) -> Void
    ) throws(BenchError) -> [MemoryReading] {
        var connections: [EchoConnection] = []
        try open(&connections, upTo: 16, pair)
        connections = []
        var readings = [settled(pair, "before", 0)]
        for level in Set([min(1_000, idle), idle]).sorted() {
            progress("memory: \(level) idle connections")
            try open(&connections, upTo: level, pair)
            readings.append(settled(pair, "\(level) idle", level))
        }
        connections = []
        readings.append(settled(pair, "after closing", 0))
        return readings
    }

    /// Two descriptors a connection are held here; some are for everything else.
    static func most() -> Int {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Int(clamping: (limit.rlim_cur - min(limit.rlim_cur, 100)) / 2)
    }

    private static func open(
        _ connections: inout [EchoConnection], upTo count: Int, _ pair: TunnelPair
    ) throws(BenchError) {
        while connections.count < count {
            let isEven = connections.count % 2 == 0
            let connection = try EchoConnection(to: isEven ? pair.listenerPort : pair.peerListenerPort)
            try connection.exchange(connections.count)
            connections.append(connection)
        }
    }

    /// Reads when the memory of both has not changed for 300 ms, or after 3 s as it is then.
    private static func settled(_ pair: TunnelPair, _ moment: String, _ connections: Int) -> MemoryReading {
        func now() -> MemoryReading {
            MemoryReading(
                moment: moment, connections: connections, serverBytes: residentBytes(of: pair.server.pid),
                nodeBytes: residentBytes(of: pair.node.pid))
        }
        let deadline = Deadline(seconds: 3)
        var reading = now()
        var since = monotonicNanoseconds()
        while !deadline.isPast && monotonicNanoseconds() - since < 300_000_000 {
            usleep(50_000)
            let next = now()
            if next.bytes != reading.bytes {
                reading = next
                since = monotonicNanoseconds()
            }
        }
        return reading
    }
}
