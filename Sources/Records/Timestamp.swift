import Glibc
import SQLite

/// Microseconds since the epoch, UTC. In JSON: RFC 3339 with microseconds, `2026-08-22T09:14:03.123456Z`.
package struct Timestamp: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let microseconds: Int64

    package init(microseconds: Int64) {
        self.microseconds = microseconds
    }

    /// The years 0 to 9999: all that RFC 3339 can write. A clock that stands elsewhere is taken for the nearer end, and what is
    /// stored beyond them is shown as it.
    package static let first = Timestamp(microseconds: -62_167_219_200_000_000)
    package static let last = Timestamp(microseconds: 253_402_300_799_999_999)

    package static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let (seconds, isOut) = Int64(time.tv_sec).multipliedReportingOverflow(by: 1_000_000)
        let now = isOut ? time.tv_sec > 0 ? last.microseconds : first.microseconds : seconds
        return Timestamp(microseconds: now.adding(Int64(clamping: time.tv_nsec) / 1_000)).bounded
    }

    /// Between `first` and `last`.
    package var bounded: Timestamp { min(max(self, Self.first), Self.last) }

    /// Nil when it is not RFC 3339. Fractions beyond microseconds are cut; a zone other than Z is taken into account.
    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.count <= 40, bytes[4] == 45, bytes[7] == 45, bytes[13] == 58,
            bytes[16] == 58, bytes[10] == 84 || bytes[10] == 116 || bytes[10] == 32
        else { return nil }
        func number(_ range: Range<Int>) -> Int64? {
            guard range.upperBound <= bytes.count else { return nil }
            var value: Int64 = 0
            for byte in bytes[range] {
                guard (48...57).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - 48)
            }
            return value
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }
        var place = 19
        var fraction: Int64 = 0
        if bytes[place] == 46 {
            place += 1
            let start = place
            var unit: Int64 = 100_000
            while place < bytes.count, (48...57).contains(bytes[place]) {
                fraction += Int64(bytes[place] - 48) * unit
                unit /= 10
                place += 1
            }
            guard place > start else { return nil }
        }
        guard place < bytes.count else { return nil }
        var offsetMinutes: Int64 = 0
        switch bytes[place] {
        case 90, 122: guard place + 1 == bytes.count else { return nil }
        case 43, 45:
            guard place + 6 == bytes.count, bytes[place + 3] == 58, let hours = number(place + 1..<place + 3),
                let minutes = number(place + 4..<place + 6), hours < 24, minutes < 60
            else { return nil }
            offsetMinutes = (hours * 60 + minutes) * (bytes[place] == 43 ? 1 : -1)
        default: return nil
        }
        var parts = tm()
        parts.tm_year = Int32(year - 1_900)
        parts.tm_mon = Int32(month - 1)
        parts.tm_mday = Int32(day)
        let days = Int64(timegm(&parts)) / 86_400
        // The 31st of a shorter month would have become another day.
        guard parts.tm_mday == Int32(day) else { return nil }
        let seconds = ((days * 24 + hour) * 60 + minute - offsetMinutes) * 60 + second
        microseconds = seconds * 1_000_000 + fraction
    }

    package var description: String {
        let microseconds = bounded.microseconds
        let (whole, rest) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
        var seconds = time_t(rest < 0 ? whole - 1 : whole)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func padded(_ number: some BinaryInteger, _ width: Int = 2) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = "\(padded(parts.tm_year + 1_900, 4))-\(padded(parts.tm_mon + 1))-\(padded(parts.tm_mday))"
        let clock = "\(padded(parts.tm_hour)):\(padded(parts.tm_min)):\(padded(parts.tm_sec))"
        return "\(date)T\(clock).\(padded(rest < 0 ? rest + 1_000_000 : rest, 6))Z"
    }

    package static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.microseconds < right.microseconds
    }

    /// Microseconds from `other` to this one, as far as they can be counted: a damaged record may hold any number.
    package func distance(from other: Timestamp) -> Int64 {
        let (distance, isOut) = microseconds.subtractingReportingOverflow(other.microseconds)
        return isOut ? microseconds < other.microseconds ? .min : .max : distance
    }

    package func adding(seconds: Int64) -> Timestamp {
        let (product, overflowed) = seconds.multipliedReportingOverflow(by: 1_000_000)
        let (sum, carried) = microseconds.addingReportingOverflow(product)
        return Timestamp(microseconds: overflowed || carried ? (seconds < 0 ? .min : .max) : sum)
    }
}

extension Timestamp: Codable {
    package init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        guard let time = Timestamp(try value.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: value, debugDescription: "not a time of RFC 3339")
        }
        self = time
    }

    package func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        try value.encode(description)
    }
}

extension Timestamp: Bindable {
    package func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        microseconds.bind(to: statement, at: index)
    }
}
