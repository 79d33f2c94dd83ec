import Reactor

/// Who may stand at the gate. As OpenSSH's MaxStartups and PerSourcePenalties: some are turned away at random before there
/// are too many, no source has more than its share, and one that keeps failing waits.
package struct SourceLimits {
    /// From this many on, some are turned away; at the second number, all.
    package static let crowded = 256
    package static let full = 512
    private static let firstDropShare = 0.3
    package static let maximumSources = 4_096
    /// Each failure costs a second; up to here a source is still heard.
    private static let penaltyLimit: UInt64 = 15_000_000_000
    private static let penaltyEach: UInt64 = 1_000_000_000
    private static let penaltyMost: UInt64 = 60_000_000_000

    /// IPv4: the address. IPv6: its /64, which is what one customer has.
    private struct Source: Hashable {
        let family: SocketAddress.Family
        let network: UInt64
    }

    private struct Record {
        var waiting = 0
        /// When the penalties will have been served.
        var penaltyUntil: UInt64 = 0
    }

    private let maximumPerSource: Int
    private var sources: [Source: Record] = [:]
    package var knownSources: Int { sources.count }
    private var waiting = 0

    package init(maximumPerSource: Int) {
        self.maximumPerSource = maximumPerSource
    }

    /// Nil, or why this one is not let in. One that is let in is to be reported with `left`.
    package mutating func enter(_ address: SocketAddress, now: UInt64) -> String? {
        if waiting >= Self.full { return "too many connections are being authenticated" }
        if waiting >= Self.crowded {
            let share = Double(waiting - Self.crowded) / Double(Self.full - Self.crowded)
            if Double.random(in: 0..<1) < Self.firstDropShare + (1 - Self.firstDropShare) * share {
                return "too many connections are being authenticated"
            }
        }
        let source = Source(family: address.family, network: address.high)
        var record = sources[source] ?? Record()
        if record.penaltyUntil > now, record.penaltyUntil - now > Self.penaltyLimit {
            return "too many failures"
        }
        if record.waiting >= maximumPerSource { return "too many connections from one source" }
        if sources[source] == nil, sources.count >= Self.maximumSources { forgetHarmless(now) }
        record.waiting += 1
        waiting += 1
        sources[source] = record
        return nil
    }

    package mutating func left(_ address: SocketAddress, failed: Bool, now: UInt64) {
        waiting -= 1
        let source = Source(family: address.family, network: address.high)
        guard var record = sources[source] else { return }
        record.waiting -= 1
        if failed {
            record.penaltyUntil = min(
                max(record.penaltyUntil, now) + Self.penaltyEach, now + Self.penaltyMost)
        }
        sources[source] = record.waiting == 0 && record.penaltyUntil <= now ? nil : record
    }

    /// Room for a new source. When all have penalties, those that have served most of theirs go first.
    private mutating func forgetHarmless(_ now: UInt64) {
        sources = sources.filter { $0.value.waiting > 0 || $0.value.penaltyUntil > now }
        guard sources.count >= Self.maximumSources else { return }
        let idle = sources.filter { $0.value.waiting == 0 }.sorted {
            $0.value.penaltyUntil < $1.value.penaltyUntil
        }
        for (source, _) in idle.prefix(Self.maximumSources / 4) { sources[source] = nil }
    }
}
