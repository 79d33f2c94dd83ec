import Glibc

/// One line in the making: `level event time=… key=value …`. Whatever the values hold, it stays one line of plain
/// `key=value` words, and a quoted value is a JSON string.
package struct LogLine {
    /// A pipe takes up to PIPE_BUF (4,096) bytes in one piece, so lines of several processes never mix; the newline
    /// takes one.
    package static let limitBytes = 4_095
    /// Seven values of full length fit into a line with its other fields.
    package static let valueLimitBytes = 512
    /// ` fields-left-out=` and three digits.
    private static let noteBytes = 20

    private var line: String
    private var leftOut = 0

    package init(_ level: LogLevel, _ event: StaticString, timeMilliseconds: Int64?) {
        line = "\(level.name) \(event)"
        if let timeMilliseconds { line += " time=\(Self.timestamp(timeMilliseconds))" }
    }

    package var text: String { leftOut == 0 ? line : "\(line) fields-left-out=\(min(leftOut, 999))" }

    /// Adds a field; one that would make the line too long is left out whole, and so are those after it.
    package mutating func append(_ key: StaticString, _ value: String) {
        let field = " \(key)=\(Self.escaped(value))"
        if leftOut > 0 || line.utf8.count + field.utf8.count > Self.limitBytes - Self.noteBytes {
            leftOut += 1
        } else {
            line += field
        }
    }

    /// The value as it is printed: bare when it is a plain word, else quoted. A value cut short ends in `…`.
    package static func escaped(_ value: String) -> String {
        var text = ""
        var isPlain = !value.isEmpty
        for scalar in value.unicodeScalars {
            let piece = escaped(scalar)
            let isChanged = piece.utf8.count != String(scalar).utf8.count
            if isChanged || scalar == " " || scalar == "=" { isPlain = false }
            // Five bytes: the quotes and the mark of a cut.
            guard text.utf8.count + piece.utf8.count <= valueLimitBytes - 5 else {
                text += "…"
                break
            }
            text += piece
        }
        return isPlain ? text : "\"\(text)\""
    }

    private static func escaped(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "\"": return "\\\""
        case "\\": return "\\\\"
        case "\n": return "\\n"
        case "\r": return "\\r"
        case "\t": return "\\t"
        case " "..."~": return String(scalar)
        default: break
        }
        switch scalar.properties.generalCategory {
        // What shows nothing, moves the cursor, or turns the direction of what follows.
        case .control, .format, .lineSeparator, .paragraphSeparator, .spaceSeparator, .privateUse,
            .unassigned, .surrogate:
            return String(scalar).utf16.map { "\\u" + padded(Int32($0), 4, radix: 16) }.joined()
        default:
            return String(scalar)
        }
    }

    /// RFC 3339 in UTC with milliseconds.
    package static func timestamp(_ milliseconds: Int64) -> String {
        let (whole, rest) = milliseconds.quotientAndRemainder(dividingBy: 1_000)
        var seconds = time_t(rest < 0 ? whole - 1 : whole)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let date = "\(padded(parts.tm_year + 1_900, 4))-\(padded(parts.tm_mon + 1))-\(padded(parts.tm_mday))"
        let clock = "\(padded(parts.tm_hour)):\(padded(parts.tm_min)):\(padded(parts.tm_sec))"
        return "\(date)T\(clock).\(padded(Int32(rest < 0 ? rest + 1_000 : rest), 3))Z"
    }

    private static func padded(_ number: Int32, _ width: Int = 2, radix: Int = 10) -> String {
        let digits = String(number, radix: radix)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
