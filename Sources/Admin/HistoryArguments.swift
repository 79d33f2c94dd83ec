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
    /// A connection's, or an entry's of the audit.
    package var cursor: Int64?
    /// Of a follower: `12.9.3`.
    package var place: FollowCursor?
    package var isOldestFirst = false
    package var follows = false
    package var isUTC = false
    package var isLocal = false
    package var by = TotalsKey.client
    package var sort = "bytes"
    package var reason: String?
    package var actor: String?
    package var action: String?
    package var mapping: Int?
}

extension Arguments.Since {
    /// `24h`, `7d`, `2w`: so long ago; `today`, `yesterday`, `2026-08-22`: where that day begins; `2026-08-22T18:00`: on the clock
    /// that `--local` or `--utc` means; else RFC 3339.
    static func parse(_ text: String) throws(FlagError) -> Arguments.Since {
        if let time = Timestamp(text) { return .time(time) }
        if text == "today" { return .daysAgo(0) }
        if text == "yesterday" { return .daysAgo(1) }
        let whole = text.replacing(" ", with: "T")
        for end in ["T00:00:00", ":00", ""] where [10, 16, 19].contains(text.utf8.count) {
            if (whole + end).utf8.count == 19, Timestamp("\(whole)\(end)Z") != nil {
                return .clock(whole + end)
            }
        }
        if text.last == "w", let weeks = Int64(text.dropLast()), (0...5_200).contains(weeks) {
            return .ago(.seconds(weeks * 7 * 86_400))
        }
        guard let duration = try? parseDuration(text, in: .zero ... .seconds(36_500 * 86_400)) else {
            throw FlagError(
                "neither a time such as 2026-08-22T09:14:03Z, 2026-08-22 or yesterday nor a duration such as 7d"
            )
        }
        return .ago(duration)
    }

    /// What a clock shows, here or in UTC: a time of RFC 3339 without its zone.
    static func moment(_ clock: String, isLocal: Bool) -> Timestamp {
        guard let utc = Timestamp("\(clock)Z") else {
            preconditionFailure("a time that was not parsed")
        }
        guard isLocal else { return utc }
        var parts = tm()
        var seconds = time_t(utc.microseconds / 1_000_000)
        gmtime_r(&seconds, &parts)
        parts.tm_isdst = -1
        return Timestamp(microseconds: Int64(mktime(&parts)) * 1_000_000)
    }

    /// Where a day begins, so many before that of `now`.
    static func day(before days: Int, now: Timestamp, isLocal: Bool) -> Timestamp {
        var parts = tm()
        var seconds = time_t(now.microseconds / 1_000_000)
        if isLocal { localtime_r(&seconds, &parts) } else { gmtime_r(&seconds, &parts) }
        (parts.tm_hour, parts.tm_min, parts.tm_sec, parts.tm_isdst) = (0, 0, 0, -1)
        parts.tm_mday -= Int32(days)
        return Timestamp(microseconds: Int64(isLocal ? mktime(&parts) : timegm(&parts)) * 1_000_000)
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
