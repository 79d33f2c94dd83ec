// LoadBulk: several transfers at once, and the window in which they are counted.
import Glibc

/// Transfers in one direction that run until `finish`.
struct BulkLoad {
    private let transfers: [Transfer]
    private let threads: [WorkThread]

    /// Connects `count` clients to `port` and returns when each of their transfers has begun to arrive.
    static func start(
        _ count: Int, _ way: Way, to port: UInt16, origin: Origin
    ) throws(BenchError) -> BulkLoad {
        var threads: [WorkThread] = []
        let transfers = (0..<count).map { _ in Transfer(way: way) }
        for transfer in transfers {
            origin.expect(transfer)
            threads.append(try WorkThread { transfer.runClient(to: port) })
        }
        let load = BulkLoad(transfers: transfers, threads: threads)
        try Deadline().wait("\(count) transfers \(way.rawValue)", "not all of them began") {
            () throws(BenchError) in
            try load.throwFailure()
            return transfers.allSatisfy { $0.received > 0 }
        }
        return load
    }

    /// Bytes arrived so far, by transfer.
    var received: [Int] { transfers.map(\.received) }

    /// Ends the transfers and checks that every byte sent has arrived.
    func finish() throws(BenchError) {
        for transfer in transfers { transfer.requestStop() }
        for thread in threads { thread.join() }
        try throwFailure()
    }

    private func throwFailure() throws(BenchError) {
        for transfer in transfers {
            if let error = transfer.error { throw error }
        }
    }
}

/// Readings between two moments: time, bytes of a bulk load, CPU time of the tunnel and of this process.
struct Window {
    private let load: BulkLoad?
    private let tunnel: TunnelPair?
    private let bytes: [Int]
    private let tunnelCPU: Int
    private let ownCPU: Int
    private let machineCPU: Double
    private let begun: Int

    /// The window opens here.
    init(_ load: BulkLoad?, _ tunnel: TunnelPair?) {
        self.load = load
        self.tunnel = tunnel
        bytes = load?.received ?? []
        tunnelCPU = tunnel?.cpuNanoseconds ?? 0
        ownCPU = cpuNanoseconds(of: getpid())
        machineCPU = Machine.busySeconds()
        begun = monotonicNanoseconds()
    }

    struct Reading {
        let seconds: Double
        /// Bytes that arrived in the window, by transfer.
        let bytes: [Int]
        let tunnelCPUSeconds: Double
        let ownCPUSeconds: Double
        /// CPU time of the whole machine.
        let machineCPUSeconds: Double

        /// The share of the machine that neither the tunnel nor the load used but somebody else.
        var foreignShare: Double {
            max(0, machineCPUSeconds - tunnelCPUSeconds - ownCPUSeconds) / (seconds * Double(Machine.cores))
        }
        var megabytesPerSecond: Double { Double(bytes.reduce(0, +)) / 1e6 / seconds }
        var gigabytes: Double { Double(bytes.reduce(0, +)) / 1e9 }
        /// The slowest transfer's share of the mean: 1 when all went equally fast.
        var fairness: Double {
            let mean = Double(bytes.reduce(0, +)) / Double(max(1, bytes.count))
            return mean > 0 ? Double(bytes.min() ?? 0) / mean : 0
        }
    }

    /// What has passed since the window opened.
    func close() -> Reading {
        let now = monotonicNanoseconds()
        let arrived = zip(load?.received ?? [], bytes).map { $0 - $1 }
        return Reading(
            seconds: Double(now - begun) / 1e9, bytes: arrived,
            tunnelCPUSeconds: Double((tunnel?.cpuNanoseconds ?? 0) - tunnelCPU) / 1e9,
            ownCPUSeconds: Double(cpuNanoseconds(of: getpid()) - ownCPU) / 1e9,
            machineCPUSeconds: Machine.busySeconds() - machineCPU)
    }
}
