import Flags

/// What a command line asks for.
package enum Request: Sendable {
    case run(Verb, Arguments)
    /// The text to print.
    case help(String)
    case version
}

/// `goproxy-admin [flags] noun verb [flags] targets [flags]`
package enum CommandParser {
    package static func parse(_ words: [String]) throws(AdminError) -> Request {
        var rest = words[...]
        var leading: [String] = []
        guard let first = try nextWord(&rest, &leading) else {
            return try wordless(leading, CommandHelp.overview)
        }
        if first == "help" { return .help(try help(about: Array(rest))) }
        let verbs = Verb.all.filter { $0.noun == first }
        if let verb = Verb.all.first(where: { $0.noun == nil && $0.name == first }) {
            // A command of one word may be a noun too: `audit` lists, `audit verify` is a verb of it.
            var (ahead, before) = (rest, leading)
            if !verbs.isEmpty, let second = try? nextWord(&ahead, &before),
                let longer = verbs.first(where: { $0.name == second })
            {
                return try parse(longer, before + ahead)
            }
            return try parse(verb, leading + rest)
        }
        guard !verbs.isEmpty else { throw unknown(first, among: Verb.nouns + Verb.plainNames + ["help"]) }
        guard let second = try nextWord(&rest, &leading) else {
            return try wordless(leading, CommandHelp.noun(first))
        }
        guard let verb = verbs.first(where: { $0.name == second }) else {
            throw unknown(second, of: first, among: verbs.map(\.name))
        }
        return try parse(verb, leading + rest)
    }

    /// Whether errors are to be JSON, also of a command line that cannot be parsed.
    package static func wantsJSON(_ words: [String]) -> Bool {
        for (index, word) in words.enumerated() {
            if word == "--" { return false }
            let value: Substring? =
                switch word {
                case "-o", "--o": index + 1 < words.count ? words[index + 1][...] : nil
                case _ where word.hasPrefix("-o="): word.dropFirst(3)
                case _ where word.hasPrefix("--o="): word.dropFirst(4)
                default: nil
                }
            if value == "json" || value == "jsonl" { return true }
        }
        return false
    }

    private static func parse(_ verb: Verb, _ words: [String]) throws(AdminError) -> Request {
        var arguments = Arguments()
        do throws(FlagError) {
            switch try verb.table.parse(words, into: &arguments) {
            case .help: return .help(CommandHelp.verb(verb))
            case .version: return .version
            case .run: break
            }
        } catch {
            throw .usage("\(verb.words): \(error)", hint: "\(Verb.program) help \(verb.words)")
        }
        guard verb.formats.contains(arguments.output) else {
            let known = verb.formats.map(\.rawValue).joined(separator: ", ")
            throw .usage(
                "\(verb.words): -o: \(arguments.output.rawValue) is not for this command, here \(known)")
        }
        let needed = verb.targets.filter { !$0.isOptional }
        guard arguments.targets.count >= needed.count else {
            let missing = needed[arguments.targets.count].placeholder
            throw .usage("\(verb.words): missing \(missing)", hint: verb.usage)
        }
        for (target, text) in zip(verb.targets, arguments.targets) {
            guard !text.isEmpty else {
                throw .usage("\(verb.words): \(target.name) is empty", hint: verb.usage)
            }
            guard case .choice(let choices) = target.kind, !choices.contains(text) else { continue }
            throw .usage(
                "\(verb.words): \(FlagError.quoted(text)) is none of \(choices.joined(separator: ", "))")
        }
        return .run(verb, arguments)
    }

    /// Takes flags of every command, which may stand before the words, and then the next word.
    private static func nextWord(
        _ rest: inout ArraySlice<String>, _ leading: inout [String]
    ) throws(AdminError) -> String? {
        while let word = rest.first, word.hasPrefix("-"), word.utf8.count > 1 {
            rest.removeFirst()
            leading.append(word)
            let name = word.drop { $0 == "-" }.prefix { $0 != "=" }
            if ["help", "h", "version"].contains(name) { return nil }
            guard Verb.commonFlags.contains(where: { $0.name == name }) else {
                throw .usage(
                    "unknown flag \(FlagError.printable(String(word.prefix { $0 != "=" }))) before the command",
                    hint: "\(Verb.program) help")
            }
            if !word.contains("="), let value = rest.popFirst() { leading.append(value) }
        }
        return rest.popFirst()
    }

    /// A command line that ends before its command is complete.
    private static func wordless(_ leading: [String], _ help: String) throws(AdminError) -> Request {
        switch leading.last.map({ $0.drop { $0 == "-" } }) {
        case "help", "h": return .help(help)
        case "version": return .version
        default: throw .usage("no command", hint: "\(Verb.program) help")
        }
    }

    private static func help(about words: [String]) throws(AdminError) -> String {
        let words = words.filter { !$0.hasPrefix("-") }
        guard let first = words.first else { return CommandHelp.overview }
        let verbs = Verb.all.filter { $0.noun == first }
        let plain = Verb.all.first { $0.noun == nil && $0.name == first }
        guard plain != nil || !verbs.isEmpty else {
            throw unknown(first, among: Verb.nouns + Verb.plainNames)
        }
        guard words.count > 1, !verbs.isEmpty else {
            return [plain.map(CommandHelp.verb), verbs.isEmpty ? nil : CommandHelp.noun(first)]
                .compactMap { $0 }.joined(separator: "\n")
        }
        guard let verb = verbs.first(where: { $0.name == words[1] }) else {
            throw unknown(words[1], of: first, among: verbs.map(\.name))
        }
        return CommandHelp.verb(verb)
    }

    private static func unknown(_ word: String, of noun: String? = nil, among names: [String]) -> AdminError {
        let place = noun.map { "\($0): " } ?? ""
        if let closest = closestName(to: word, among: names) {
            return .usage(
                "\(place)unknown command \(FlagError.quoted(word)): did you mean \(closest)?",
                hint: "\(Verb.program) \(noun.map { "\($0) " } ?? "")\(closest)")
        }
        return .usage(
            "\(place)unknown command \(FlagError.quoted(word)): there is \(names.joined(separator: ", "))",
            hint: "\(Verb.program) help\(noun.map { " \($0)" } ?? "")")
    }
}
