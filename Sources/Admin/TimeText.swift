import Records

/// Times for people: `2026-08-22 09:14:03Z (3m ago)`.
enum TimeText {
    static func absolute(_ time: Timestamp) -> String {
        let text = time.description
        return "\(text.prefix(10)) \(text.dropFirst(11).prefix(8))Z"
    }

    static func both(_ time: Timestamp, now: Timestamp) -> String {
        "\(absolute(time)) (\(relative(time, now: now)))"
    }

    /// One unit and the largest; clocks of two machines differ, so the future is "now" for a minute.
    static func relative(_ time: Timestamp, now: Timestamp) -> String {
        let seconds = now.distance(from: time) / 1_000_000
        if seconds < -60 { return "in \(span(-seconds))" }
        return seconds < 1 ? "now" : "\(span(seconds)) ago"
    }

    private static func span(_ seconds: Int64) -> String {
        switch seconds {
        case ..<60: "\(seconds)s"
        case ..<3_600: "\(seconds / 60)m"
        case ..<172_800: "\(seconds / 3_600)h"
        default: "\(seconds / 86_400)d"
        }
    }
}
