// Window: readings between two moments: time, bytes of a bulk load, CPU time of the tunnel and of the load.
import Charts
import Glibc

struct Window {
    private let load: BulkLoad?
    private let tunnel: TunnelProcesses?
    private let origin: Origin
    private let arrived: (nanoseconds: Int, bytes: [Int])
    private let pids: [pid_t]
    private let tunnelCPU: Int
    private let ownCPU: Int
    private let machineCPU: Double
    private let begun: Int

    /// The window opens here.
    init(_ load: BulkLoad?, _ tunnel: TunnelProcesses?, _ origin: Origin) throws(BenchError) {
        self.load = load
        self.tunnel = tunnel
        self.origin = origin
        pids = tunnel?.pids ?? []
        tunnelCPU = Self.cpu(pids)
        ownCPU = Self.cpu([getpid(), origin.process.pid])
        machineCPU = Machine.busySeconds()
        begun = monotonicNanoseconds()
        arrived = try load?.arrived() ?? (nanoseconds: begun, bytes: [])
    }

    struct Reading {
        let seconds: Double
        /// Bytes that arrived in the window, by transfer, and in what time.
        let bytes: [Int]
        let bulkSeconds: Double
        let tunnelCPUSeconds: Double
        let ownCPUSeconds: Double
        /// CPU time of the whole machine.
        let machineCPUSeconds: Double

        /// The share of the machine that neither the tunnel nor the load used but somebody else.
        var foreignShare: Double {
            max(0, machineCPUSeconds - tunnelCPUSeconds - ownCPUSeconds) / (seconds * Double(Machine.cores))
        }
        var megabytesPerSecond: Double { Double(bytes.reduce(0, +)) / 1e6 / bulkSeconds }
        var gigabytes: Double { Double(bytes.reduce(0, +)) / 1e9 }
        /// The slowest transfer's share of the mean: 1 when all went equally fast.
        var fairness: Double { bytes.map(Double.init).leastByMean }
    }

    /// What has passed since the window opened.
    func close() throws(BenchError) -> Reading {
        let last = try load?.arrived() ?? (nanoseconds: monotonicNanoseconds(), bytes: [])
        let now = monotonicNanoseconds()
        return Reading(
            seconds: Double(now - begun) / 1e9, bytes: zip(last.bytes, arrived.bytes).map { $0 - $1 },
            bulkSeconds: Double(last.nanoseconds - arrived.nanoseconds) / 1e9,
            tunnelCPUSeconds: Double(Self.cpu(pids) - tunnelCPU) / 1e9,
            ownCPUSeconds: Double(Self.cpu([getpid(), origin.process.pid]) - ownCPU) / 1e9,
            machineCPUSeconds: Machine.busySeconds() - machineCPU)
    }

    private static func cpu(_ pids: [pid_t]) -> Int { pids.reduce(0) { $0 + cpuNanoseconds(of: $1) } }
}
