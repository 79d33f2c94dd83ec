import Flags
import Glibc
import Records

/// What the commands of the history and of open connections take.
package struct HistoryArguments: Equatable, Sendable {
    package var until: Arguments.Since?
    package var at: Arguments.Since?
    package var listener: String?
    /// As typed; it reads as a range.
    package var client: String?
    package var target: String?
    package var results: [EndReason] = []
    package var minBytes: Int64?
    package var isOpen = false
    package var cursor: Int64?
    package var isOldestFirst = false
    package var follows = false
    package var isUTC = false
    package var isLocal = false
    package var by = TotalsKey.client
    package var sort = "bytes"
    package var reason: String?
    package var actor: String?
    package var action: String?
}

extension Arguments.Since {
    /// `24h`, `7d`: so long ago; `2026-08-22`: where that day begins; else RFC 3339.
    static func parse(_ text: String) throws(FlagError) -> Arguments.Since {
        if let time = Timestamp(text) { return .time(time) }
        if text.utf8.count == 10, Timestamp("\(text)T00:00:00Z") != nil { return .day(text) }
        guard let duration = try? parseDuration(text, in: .zero ... .seconds(36_500 * 86_400)) else {
            throw FlagError(
                "neither a time such as 2026-08-22T09:14:03Z or 2026-08-22 nor a duration such as 7d")
        }
        return .ago(duration)
    }

    /// The beginning of a day, here or in UTC. `day` is a date of RFC 3339.
    static func beginning(of day: String, isLocal: Bool) -> Timestamp {
        guard let utc = Timestamp("\(day)T00:00:00Z") else {
            preconditionFailure("a date that was not parsed")
        }
        guard isLocal else { return utc }
        var parts = tm()
        var seconds = time_t(utc.microseconds / 1_000_000)
        gmtime_r(&seconds, &parts)
        parts.tm_isdst = -1
        return Timestamp(microseconds: Int64(mktime(&parts)) * 1_000_000)
    }
}

/// Numbers of bytes as an operator types them: `1MB`, `1.5GiB`, `800`.
enum BytesText {
    private static let units: [(String, Int64)] = [
        ("KIB", 1 << 10), ("MIB", 1 << 20), ("GIB", 1 << 30), ("TIB", 1 << 40), ("KB", 1_000),
        ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000), ("K", 1_000), ("M", 1_000_000),
        ("G", 1_000_000_000), ("T", 1_000_000_000_000), ("B", 1), ("", 1),
    ]

    static func parse(_ text: String) throws(FlagError) -> Int64 {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let unit = text.dropFirst(digits.count).uppercased()
        let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
        guard let factor = units.first(where: { $0.0 == unit })?.1, parts.count <= 2,
            let whole = Int64(parts[0]),
            parts.count == 1 || !parts[1].isEmpty && parts[1].count <= 9, parts.count == 1 || factor > 1
        else { throw FlagError("not a number of bytes such as 800, 64KB or 1.5GiB") }
        let (product, isTooMuch) = whole.multipliedReportingOverflow(by: factor)
        var fraction: Int64 = 0
        if parts.count == 2, let tenths = Double("0." + parts[1]) {
            fraction = Int64(tenths * Double(factor))
        }
        let (sum, isStillTooMuch) = product.addingReportingOverflow(fraction)
        guard !isTooMuch, !isStillTooMuch else { throw FlagError("more bytes than there are") }
        return sum
    }
}
