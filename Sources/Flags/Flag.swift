/// One flag of a program: its name, its help, and how its value reaches the options.
///
/// `value` is the word that help shows for the value. A default given here is only shown: the options' own initial
/// value is what holds. A setter that cannot take a value throws `FlagError("why")`; the table says which flag and
/// which value.
package struct Flag<Options>: Sendable {
    package typealias Setter<Value> = @Sendable (inout Options, Value) throws(FlagError) -> Void

    package let name: String
    /// Nil for a bool, which needs no value.
    package let placeholder: String?
    package let text: String
    /// As help shows it, with its quotes if it is text.
    package let defaultText: String?
    package let isList: Bool
    /// The value is kept out of error messages.
    package let isSecret: Bool
    private let allowsEmpty: Bool
    private let set: Setter<String>

    private init(
        _ name: String, _ placeholder: String?, _ text: String, _ defaultText: String?, isList: Bool = false,
        isSecret: Bool = false, allowsEmpty: Bool = false, set: @escaping Setter<String>
    ) {
        precondition(!name.isEmpty && name.utf8.allSatisfy(Self.mayBeInName), "not a flag's name: \(name)")
        self.name = name
        self.placeholder = placeholder
        self.text = text
        self.defaultText = defaultText
        self.isList = isList
        self.isSecret = isSecret
        self.allowsEmpty = allowsEmpty
        self.set = set
    }

    private static func mayBeInName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default:
            false
        }
    }

    /// Text as it stands. An empty one is an error unless allowed.
    package static func string(
        _ name: String, value placeholder: String = "string", help: String, default text: String? = nil,
        isSecret: Bool = false, allowsEmpty: Bool = false, set: @escaping Setter<String>
    ) -> Flag {
        Flag(
            name, placeholder, help, text.map { "\"\($0)\"" }, isSecret: isSecret, allowsEmpty: allowsEmpty,
            set: set)
    }

    /// A whole number within a range.
    package static func int(
        _ name: String, value placeholder: String = "int", help: String, default text: String? = nil,
        in range: ClosedRange<Int> = Int.min...Int.max, set: @escaping Setter<Int>
    ) -> Flag {
        Flag(name, placeholder, help, text) { (options, value) throws(FlagError) in
            try set(&options, parseInt(value, in: range))
        }
    }

    /// `-x`, `-x=true` or `-x=false`; never `-x true`, where `true` would be an argument.
    package static func bool(_ name: String, help: String, set: @escaping Setter<Bool>) -> Flag {
        Flag(name, nil, help, nil) { (options, value) throws(FlagError) in
            switch value {
            case "true", "TRUE", "True", "t", "T", "1": try set(&options, true)
            case "false", "FALSE", "False", "f", "F", "0": try set(&options, false)
            default: throw FlagError("neither true nor false")
            }
        }
    }

    /// A span of time as Go writes it, and days: `500ms`, `1m30s`, `1.5h`, `365d`. Never negative.
    package static func duration(
        _ name: String, value placeholder: String = "duration", help: String, default text: String? = nil,
        in range: ClosedRange<Duration> = .zero ... .nanoseconds(Int64.max), set: @escaping Setter<Duration>
    ) -> Flag {
        Flag(name, placeholder, help, text) { (options, value) throws(FlagError) in
            try set(&options, parseDuration(value, in: range))
        }
    }

    /// A flag that may be repeated; the setter gets one element at a time.
    /// - Parameter separator: takes one value apart into several elements, none of which may be empty.
    package static func list(
        _ name: String, value placeholder: String = "string", help: String,
        separatedBy separator: Character? = nil,
        set: @escaping Setter<String>
    ) -> Flag {
        Flag(name, placeholder, help, nil, isList: true) { (options, value) throws(FlagError) in
            guard let separator else { return try set(&options, value) }
            for element in value.split(separator: separator, omittingEmptySubsequences: false) {
                guard !element.isEmpty else { throw FlagError("an element is empty") }
                try set(&options, String(element))
            }
        }
    }

    /// Text that the setter turns into something else, or refuses.
    package static func custom<Value>(
        _ name: String, value placeholder: String, help: String, default text: String? = nil,
        isSecret: Bool = false, parse: @escaping @Sendable (String) throws(FlagError) -> Value,
        set: @escaping Setter<Value>
    ) -> Flag {
        let shown = text.map { "\"\($0)\"" }
        return Flag(name, placeholder, help, shown, isSecret: isSecret) {
            (options, value) throws(FlagError) in
            try set(&options, parse(value))
        }
    }

    /// What the flag means when it stands alone.
    var impliedValue: String? { placeholder == nil ? "true" : nil }

    func apply(_ value: String, to options: inout Options, shown name: String) throws(FlagError) {
        guard !value.isEmpty || allowsEmpty else {
            throw FlagError("\(name): empty value: expected \(placeholder ?? "true or false")")
        }
        do {
            // C functions would see only what is before it.
            guard !value.utf8.contains(0) else { throw FlagError("holds a NUL character") }
            try set(&options, value)
        } catch {
            let shown = isSecret ? "" : " \(FlagError.quoted(value))"
            throw FlagError("\(name): invalid value\(shown): \(error)")
        }
    }

    /// The flag's lines in help.
    var help: String {
        var lines = "  -\(name)"
        if let placeholder { lines += " \(placeholder)" }
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            lines += "\n    \t\(line)"
        }
        if isList { lines += " (may be repeated)" }
        if let defaultText { lines += " (default \(defaultText))" }
        return lines + "\n"
    }
}
