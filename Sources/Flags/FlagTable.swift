/// All flags of a program, in the order in which help shows them. Parsing and help are made from this one table;
/// so will completion and man pages be.
///
/// Accepted, as in Go: `-x v`, `--x v`, `-x=v`, `-x` and `-x=false` for bools; `--` ends the flags. Stricter than
/// Go: a repeated flag is an error unless it is a list, and so are an empty value and a value that is a flag's name
/// (`-uuid -host x`; `-uuid=-host` says that it is meant).
package struct FlagTable<Options>: Sendable {
    /// What the command line asks for. For `help` and `version` the options are left as they were.
    package enum Request: Sendable {
        case run, help, version
    }

    package typealias Positional = @Sendable (inout Options, String) throws(FlagError) -> Void

    package let program: String
    package let summary: String
    package let flags: [Flag<Options>]
    package let style: FlagStyle
    /// How help names the arguments beside flags; nil where there are none.
    package let positionalPlaceholder: String?
    private let setPositional: Positional?
    private let indexByName: [String: Int]

    /// - Parameter positional: takes each argument beside flags; without it such an argument is an error.
    package init(
        program: String, summary: String, flags: [Flag<Options>], style: FlagStyle = .go,
        positionalPlaceholder: String? = nil, positional: Positional? = nil
    ) {
        self.program = program
        self.summary = summary
        self.flags = flags
        self.style = style
        self.positionalPlaceholder = positionalPlaceholder ?? (positional == nil ? nil : "argument…")
        setPositional = positional
        var indexByName: [String: Int] = [:]
        for (index, flag) in flags.enumerated() {
            precondition(!Self.reserved.contains(flag.name), "-\(flag.name) belongs to the table itself")
            precondition(
                indexByName.updateValue(index, forKey: flag.name) == nil, "-\(flag.name) is there twice")
        }
        self.indexByName = indexByName
    }

    private static var reserved: [String] { ["help", "h", "version"] }

    /// Reads the arguments (without the program's name). On an error, and for help and version, `options` stays
    /// untouched. The error is one line without the program's name and never holds a secret's value.
    package func parse(_ arguments: [String], into options: inout Options) throws(FlagError) -> Request {
        var result = options
        var seen: Set<Int> = []
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            guard let word = FlagWord(argument) else {
                try takePositional(argument, into: &result)
                continue
            }
            if word.name.isEmpty && word.value == nil { break }
            if Self.reserved.contains(word.name) {
                guard word.value == nil else {
                    throw FlagError("\(style.shown(word.name)): unexpected value: it takes none")
                }
                return word.name == "version" ? .version : .help
            }
            guard let index = indexByName[word.name] else { throw unknown(word) }
            let flag = flags[index]
            guard seen.insert(index).inserted || flag.isList else {
                throw FlagError("\(style.shown(flag.name)): given twice: it takes one value")
            }
            if let value = word.value ?? flag.impliedValue {
                try flag.apply(value, to: &result, shown: style.shown(flag.name))
            } else {
                try flag.apply(
                    nextValue(for: flag, from: &rest), to: &result, shown: style.shown(flag.name))
            }
        }
        for argument in rest { try takePositional(argument, into: &result) }
        options = result
        return .run
    }

    private typealias Rest = ArraySlice<String>

    private func nextValue(for flag: Flag<Options>, from rest: inout Rest) throws(FlagError) -> String {
        let missing = "\(style.shown(flag.name)): missing value: expected \(flag.placeholder ?? "a value")"
        guard let value = rest.popFirst() else { throw FlagError(missing) }
        guard let word = FlagWord(value) else { return value }
        let isFlag = word.name.isEmpty || indexByName[word.name] != nil || Self.reserved.contains(word.name)
        if isFlag { throw FlagError("\(missing), found the flag \(FlagError.quoted(word.shown))") }
        return value
    }

    private func takePositional(_ argument: String, into options: inout Options) throws(FlagError) {
        guard let setPositional else {
            // Cut short: what stands where it should not may be a credential.
            let shown = FlagError.quoted(argument, limit: 8)
            throw FlagError(
                "unexpected argument \(shown): \(program) takes flags only")
        }
        do {
            try setPositional(&options, argument)
        } catch {
            throw FlagError("argument \(FlagError.quoted(argument)): \(error)")
        }
    }

    private func unknown(_ word: FlagWord) -> FlagError {
        let names = flags.map(\.name) + ["help", "version"]
        let shown = FlagError.printable(word.shown)
        guard let other = closestName(to: word.name, among: names) else {
            return FlagError("unknown flag: \(shown)")
        }
        return FlagError("unknown flag \(shown): did you mean \(style.shown(other))?")
    }

    /// The text of `-help`, in the form of Go's flag package.
    package var help: String {
        var text = "Usage: \(program) [flags]"
        if let positionalPlaceholder { text += " \(positionalPlaceholder)" }
        text += "\n\(summary)\n\nFlags:\n"
        for flag in flags { text += flag.help }
        text += "  -help\n    \tprint this text and exit\n"
        text += "  -version\n    \tprint the version and exit\n"
        return text
    }
}

/// How messages write a flag's name. Read are all forms in both styles.
package enum FlagStyle: Sendable {
    /// `-x`, `-name`
    case go
    /// `-x`, `--name`
    case gnu

    package func shown(_ name: String) -> String {
        self == .gnu && name.utf8.count > 1 ? "--\(name)" : "-\(name)"
    }
}

/// An argument that begins with a dash, taken apart by bytes: a combining mark after `=` must not hide it.
private struct FlagWord {
    let name: String
    let value: String?
    /// The word without its value, which may be a secret.
    let shown: String

    /// Nil for what is not a flag: no dash, or a dash alone (often "standard input"). `--` has an empty name.
    init?(_ argument: String) {
        let bytes = argument.utf8
        guard bytes.first == UInt8(ascii: "-"), bytes.count > 1 else { return nil }
        let end = bytes.firstIndex(of: UInt8(ascii: "=")) ?? bytes.endIndex
        let dashes = bytes.dropFirst().first == UInt8(ascii: "-") ? 2 : 1
        name = String(Substring(bytes[..<end].dropFirst(dashes)))
        shown = String(Substring(bytes[..<end]))
        value = end == bytes.endIndex ? nil : String(Substring(bytes[bytes.index(after: end)...]))
    }
}
