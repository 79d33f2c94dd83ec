// StalledConsumer: one receiver stops reading in the middle of a transfer. What the tunnel has taken in for it must stay
// small, and the transfer beside it must not notice.
import Charts
import Glibc

/// The other transfer's speed is read again and again, without a stalled one and beside one in turn, and each reading beside one is
/// compared with the two around it: a machine that gets slower or faster meanwhile is no difference between them. The median of
/// these ratios counts.
struct StalledConsumer {
    let way: Way
    let route: Route
    let origin: Origin

    /// It takes this much before it stops.
    private static let stallsAfter = 65_536
    /// Less than this in a tenth of a second is no flow any more.
    private static let standstill = 65_536
    private static let stalls = 6
    /// Readings in the length of one measurement.
    private static let readings = 4.0

    func measure(seconds: Double) throws(BenchError) -> Figures {
        let slice = seconds / Self.readings
        let other = try BulkLoad.start(.init(1, way, to: [route.port]), origin: origin)
        pass(seconds: Measure.warmSeconds)
        let resident = route.tunnel?.residentBytes ?? 0
        var alone = [try reading(other, slice)]
        var beside: [Window.Reading] = []
        var absorbed = 0
        var grown = 0
        for stall in 0..<Self.stalls {
            let stalled = try BulkLoad.start(
                .init(1, way, to: [route.port], stallsAfter: Self.stallsAfter), origin: origin, beside: other,
                earlier: stall)
            let took = try settled(stalled)
            beside.append(try reading(other, slice))
            // Later ones find the memory of the first.
            if stall == 0 { (absorbed, grown) = (took, (route.tunnel?.residentBytes ?? 0) - resident) }
            try stalled.resume()
            try stalled.finish()
            pass(seconds: slice / 4)
            alone.append(try reading(other, slice))
        }
        try other.finish()
        let kept = beside.indices.map {
            2 * beside[$0].megabytesPerSecond
                / (alone[$0].megabytesPerSecond + alone[$0 + 1].megabytesPerSecond)
        }
        return [
            .keptShare: kept.median ?? 0,
            .megabytesPerSecond: beside.map(\.megabytesPerSecond).median ?? 0,
            .absorbedMegabytes: Double(absorbed) / 1e6,
            .grownMegabytes: Double(grown) / 1e6,
            .foreignShare: (alone + beside).map(\.foreignShare).median ?? 0,
        ]
    }

    private func reading(_ load: BulkLoad, _ seconds: Double) throws(BenchError) -> Window.Reading {
        let window = try Window(load, route.tunnel, origin)
        pass(seconds: seconds)
        return try window.close()
    }

    /// What is under way once nothing more goes in.
    private func settled(_ load: BulkLoad) throws(BenchError) -> Int {
        let deadline = Deadline(seconds: 4)
        var last = try load.underWay()
        while !deadline.isPast {
            pass(seconds: 0.1)
            let next = try load.underWay()
            if next - last < Self.standstill { return next }
            last = next
        }
        return last
    }
}
