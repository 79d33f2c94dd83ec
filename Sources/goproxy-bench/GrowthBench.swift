// GrowthBench: throughput, CPU and memory at 1, 10, 100 … connections through one link, and at 1, 10, 100 … nodes.
import Glibc

/// The figures at one count.
struct GrowthStep: Codable {
    enum Kind: String, Codable { case connections, nodes }

    let kind: Kind
    let count: Int
    let megabytesPerSecond: Double
    /// Of server and node together for connections, of the server alone for nodes.
    let cpuSecondsPerGigabyte: Double
    /// The slowest transfer by the mean; over few bytes each it says little.
    let slowestByMean: Double
    /// Resident memory that each connection or node takes while it rests, in KiB.
    let kibibytesEach: Double
    /// Resident memory while all transfer.
    let loadedMegabytes: Double
    /// CPU time while all rest, in per cent of a core.
    let idlePercent: Double
}

struct ConnectionGrowth {
    static let counts = [1, 10, 100, 1_000, 10_000]

    let origin: Origin
    let seconds: Double

    /// All downward, over the listener and the peer listener of `pair` in turn.
    func measure(
        _ pair: TunnelPair, most: Int, progress: (String) -> Void
    ) throws(BenchError) -> [GrowthStep] {
        let ports = [pair.listenerPort, pair.peerListenerPort]
        var steps: [GrowthStep] = []
        for count in Self.counts where count <= most {
            progress("growth: \(count) connections")
            let rest = try atRest(pair.tunnel, count, ports)
            let load = try BulkLoad.start(.init(count, .down, to: ports), origin: origin)
            // The first bytes of many connections are their headers' and windows'; longer for more of them.
            let longer = count >= 1_000 ? 3.0 : 1.0
            pass(seconds: Measure.warmSeconds * longer)
            let window = try Window(load, pair.tunnel, origin)
            pass(seconds: seconds * longer)
            let reading = try window.close()
            let loaded = pair.tunnel.residentBytes
            try load.finish()
            steps.append(
                GrowthStep(
                    kind: .connections, count: count, megabytesPerSecond: reading.megabytesPerSecond,
                    cpuSecondsPerGigabyte: reading.tunnelCPUSeconds / max(reading.gigabytes, 1e-9),
                    slowestByMean: reading.fairness,
                    kibibytesEach: rest.kibibytesEach,
                    loadedMegabytes: Double(loaded) / 1e6, idlePercent: rest.percent))
        }
        return steps
    }

    /// Memory of each and CPU time of all while so many rest.
    private func atRest(
        _ tunnel: TunnelProcesses, _ count: Int, _ ports: [UInt16]
    ) throws(BenchError) -> (kibibytesEach: Double, percent: Double) {
        try origin.awaitNone()
        pass(seconds: 0.3)
        let before = tunnel.residentBytes
        var load = try IdleLoad(to: ports)
        try load.open(upTo: count)
        pass(seconds: 0.5)
        let window = try Window(nil, tunnel, origin)
        pass(seconds: 1)
        let reading = try window.close()
        let bytes = tunnel.residentBytes - before
        load.close()
        try origin.awaitNone()
        return (
            Double(bytes) / 1_024 / Double(count), reading.tunnelCPUSeconds / reading.seconds * 100
        )
    }
}

/// A server with many nodes; the nodes are this process, on one loop.
struct NodeGrowth {
    static let counts = [1, 10, 100, 1_000]

    let origin: Origin
    let folder: ProgramFolder
    let temporary: TemporaryFolder
    let options: Options

    func measure(_ progress: (String) -> Void) throws(BenchError) -> [GrowthStep] {
        var steps: [GrowthStep] = []
        // A connection, a link and a listener each.
        for count in Self.counts where count * 3 < IdleMemory.mostConnections() {
            progress("growth: \(count) nodes")
            steps.append(try measure(count))
        }
        return steps
    }

    private func measure(_ count: Int) throws(BenchError) -> GrowthStep {
        let data = "\(temporary.path)/nodes-\(count)"
        let records = FleetRecords(
            nodes: count, mappingsEach: 1, kind: .listener, listen: { _ in "127.0.0.1:0" },
            forward: "127.0.0.1:\(origin.port)")
        let credentials = try records.make(in: data)
        let server = try FleetServer.start(from: folder, data: data, echoLog: options.verbose)
        defer { server.program.end() }
        let tunnel = TunnelProcesses(programs: [server.program])
        let before = tunnel.residentBytes
        let fleet = try NodeFleet(credentials, port: server.port)
        defer { fleet.end() }
        try Deadline(seconds: 60).wait("fleet", "not all nodes connected") { fleet.connected == count }
        var ports: [UInt16] = []
        try Deadline(seconds: 60).wait("fleet", "not all listeners became active") {
            () throws(BenchError) in
            ports = try server.boundPorts()
            return ports.count == count
        }
        pass(seconds: 0.5)
        let each = Double(tunnel.residentBytes - before) / 1_024 / Double(count)
        // The goal is for a thousand.
        let rest = FleetRest(of: server.program, seconds: count >= 1_000 ? FleetRest.seconds : 2)
        let load = try BulkLoad.start(.init(count, .down, to: ports), origin: origin)
        pass(seconds: Measure.warmSeconds)
        let window = try Window(load, tunnel, origin)
        pass(seconds: options.seconds)
        let reading = try window.close()
        let loaded = tunnel.residentBytes
        try load.finish()
        return GrowthStep(
            kind: .nodes, count: count, megabytesPerSecond: reading.megabytesPerSecond,
            cpuSecondsPerGigabyte: reading.tunnelCPUSeconds / max(reading.gigabytes, 1e-9),
            slowestByMean: reading.fairness, kibibytesEach: each, loadedMegabytes: Double(loaded) / 1e6,
            idlePercent: rest.percent)
    }
}
