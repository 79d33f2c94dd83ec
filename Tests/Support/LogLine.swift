/// One line of a program's log: `level event key=value key="value with spaces" …`.
package struct LogLine: Sendable, CustomStringConvertible {
    package let raw: String
    package let level: String
    package let event: String
    package let fields: [String: String]

    package subscript(_ key: String) -> String { fields[key] ?? "" }
    package var description: String { raw }

    /// `nil` for a line that is not of this form, a usage error for one.
    package init?(_ raw: String) {
        var rest = Substring(raw)
        guard let level = Self.word(&rest), ["debug", "info", "warn", "error"].contains(level),
            let event = Self.word(&rest), !event.contains("=")
        else { return nil }
        var fields: [String: String] = [:]
        while !rest.isEmpty {
            guard let equals = rest.firstIndex(of: "="), !rest[..<equals].contains(" ") else { return nil }
            let key = String(rest[..<equals])
            rest = rest[rest.index(after: equals)...]
            guard let value = rest.first == "\"" ? Self.quoted(&rest) : Self.word(&rest) ?? "" else {
                return nil
            }
            fields[key] = value
        }
        (self.raw, self.level, self.event, self.fields) = (raw, level, event, fields)
    }

    func matches(_ event: String, _ wanted: [String: String]) -> Bool {
        self.event == event && wanted.allSatisfy { fields[$0.key] == $0.value }
    }

    private static func word(_ rest: inout Substring) -> String? {
        guard !rest.isEmpty else { return nil }
        let end = rest.firstIndex(of: " ") ?? rest.endIndex
        defer { rest = rest[end...].drop { $0 == " " } }
        return String(rest[..<end])
    }

    /// A quoted value; escapes other than \" and \\ stay as they are written.
    private static func quoted(_ rest: inout Substring) -> String? {
        var value = ""
        var index = rest.index(after: rest.startIndex)
        while index < rest.endIndex {
            let character = rest[index]
            index = rest.index(after: index)
            if character == "\"" {
                rest = rest[index...].drop { $0 == " " }
                return value
            }
            if character == "\\", index < rest.endIndex {
                let escaped = rest[index]
                index = rest.index(after: index)
                if escaped != "\"" && escaped != "\\" { value.append("\\") }
                value.append(escaped)
            } else {
                value.append(character)
            }
        }
        return nil
    }
}
