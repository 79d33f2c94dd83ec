// StalledConsumer: one receiver stops reading in the middle of a transfer. What the tunnel has taken in for it must stay
// small, and the transfer beside it must not notice.
import Glibc

struct StalledConsumer {
    let way: Way
    let route: Route
    let origin: Origin

    /// It takes this much before it stops.
    private static let stallsAfter = 65_536
    /// Less than this in a tenth of a second is no flow any more.
    private static let standstill = 65_536

    func measure(seconds: Double) throws(BenchError) -> Figures {
        let other = try BulkLoad.start(.init(1, way, to: [route.port]), origin: origin)
        pass(seconds: Measure.warmSeconds)
        let alone = try reading(other, seconds)
        let before = route.tunnel?.residentBytes ?? 0
        let stalled = try BulkLoad.start(
            .init(1, way, to: [route.port], stallsAfter: Self.stallsAfter), origin: origin, beside: other)
        let absorbed = try settled(stalled)
        let beside = try reading(other, seconds)
        let after = route.tunnel?.residentBytes ?? 0
        try stalled.resume()
        try stalled.finish()
        try other.finish()
        return [
            .keptShare: beside.megabytesPerSecond / alone.megabytesPerSecond,
            .megabytesPerSecond: beside.megabytesPerSecond,
            .absorbedMegabytes: Double(absorbed) / 1e6,
            .grownMegabytes: Double(after - before) / 1e6,
            .foreignShare: max(alone.foreignShare, beside.foreignShare),
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
