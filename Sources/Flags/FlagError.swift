/// Why a command line was refused: one line, *subject: what failed: why*, whatever the arguments hold.
package struct FlagError: Error, Equatable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }

    /// The text in quotes, on one line, cut short.
    package static func quoted(_ text: String, limit: Int = 60) -> String {
        let shown = printable(text, limit: limit)
        let mark = shown.utf8.contains(UInt8(ascii: "\"")) ? "'" : "\""
        return mark + shown + mark
    }

    /// The text with everything escaped that does not print or turns the direction of writing; cut short.
    package static func printable(_ text: String, limit: Int = 60) -> String {
        var shown = ""
        for (index, scalar) in text.unicodeScalars.enumerated() {
            if index == limit { return shown + "…" }
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned, .surrogate:
                shown += scalar.escaped(asASCII: true)
            default:
                shown.unicodeScalars.append(scalar)
            }
        }
        return shown
    }
}
