// IdleMemory: what an idle connection costs a tunnel's processes, on a tunnel that has done nothing else.
import Charts
import Glibc

/// Resident memory of all processes at one moment.
struct MemoryReading: Codable {
    let route: String
    /// "before", the number of idle connections, or "after closing".
    let moment: String
    let connections: Int
    let bytes: Int
}

struct IdleMemory {
    let route: String
    let tunnel: TunnelProcesses
    /// Connections go to these in turn.
    let ports: [UInt16]
    let origin: Origin

    /// Holds as many as each of `levels`, one after the other; each has carried an echo and rests.
    func measure(_ levels: [Int], progress: (String) -> Void) throws(BenchError) -> [MemoryReading] {
        var load = try IdleLoad(to: ports)
        try load.open(upTo: 16)
        load.close()
        try origin.awaitNone()
        var readings = [settled("before", 0)]
        for level in Set(levels).sorted() {
            progress("memory: \(level) idle connections  \(route)")
            try load.open(upTo: level)
            readings.append(settled("\(shown(Double(level))) idle", level))
        }
        load.close()
        try origin.awaitNone()
        // What is given back is given back when all has been quiet for a moment.
        pass(seconds: 2)
        readings.append(settled("after closing", 0))
        return readings
    }

    /// Raises the limit to what the system lets this process have, and returns it.
    static func mostDescriptors() -> Int {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Int(clamping: limit.rlim_cur)
    }

    /// How many connections one process of the load and one of the tunnel can hold; some descriptors are for everything
    /// else.
    static func mostConnections() -> Int { max(1, mostDescriptors() - 200) }

    /// Reads when the memory has not changed for 300 ms, or after 3 s as it is then.
    private func settled(_ moment: String, _ connections: Int) -> MemoryReading {
        let deadline = Deadline(seconds: 3)
        let pids = tunnel.pids
        func now() -> Int { pids.reduce(0) { $0 + residentBytes(of: $1) } }
        var bytes = now()
        var since = monotonicNanoseconds()
        while !deadline.isPast && monotonicNanoseconds() - since < 300_000_000 {
            usleep(50_000)
            let next = now()
            if next != bytes { (bytes, since) = (next, monotonicNanoseconds()) }
        }
        return MemoryReading(route: route, moment: moment, connections: connections, bytes: bytes)
    }
}
