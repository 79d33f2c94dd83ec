import Flags

/// Completion for shells, made from the table of verbs. Names of nodes and mappings are asked from a running server by the
/// hidden choices of `completion`; a Tab never takes the lock of the records.
enum Completion {
    static let shells = ["bash", "zsh", "fish"]
    static let choices = shells + ["nodes", "listeners", "peer-listeners"]

    static func run(_ session: Session) throws(AdminError) {
        let text =
            switch session.target {
            case "bash": bash
            case "zsh": zsh
            case "fish": fish
            case "nodes": lines(try names(session, "nodes", []))
            case let kind: lines(try names(session, "mappings", [("kind", String(kind.dropLast()))]))
            }
        try session.console.write(text)
    }

    private static func lines(_ names: [String]) -> String {
        names.map { $0 + "\n" }.joined()
    }

    private struct Named: Decodable {
        let id: Identifier
        let name: String?

        /// A node's is text, a mapping's a number.
        struct Identifier: Decodable {
            let text: String

            init(from decoder: any Decoder) throws {
                let value = try decoder.singleValueContainer()
                text = try (try? value.decode(String.self)) ?? String(value.decode(UInt32.self))
            }
        }
    }

    private static func names(
        _ session: Session, _ list: String, _ query: [(String, String)]
    ) throws(AdminError) -> [String] {
        guard let json = session.askServer(list, query: query) else { return [] }
        return try session.decode(json, as: [Named].self).map { $0.name ?? $0.id.text }
    }

    // MARK: Scripts

    private static var words: [String] {
        Verb.nouns + Verb.plainNames.filter { !Verb.nouns.contains($0) } + ["help"]
    }

    private static func list(of kind: Verb.TargetKind?) -> String? {
        switch kind {
        case .node: "nodes"
        case .listener: "listeners"
        case .peerListener: "peer-listeners"
        case .choice, .text, nil: nil
        }
    }

    /// The words that may follow a command: its flags, its choices, and how to ask for its targets.
    private static func offers(_ verb: Verb) -> (words: [String], asks: String?) {
        var words = verb.flags.map { FlagStyle.gnu.shown($0.name) } + ["--help"]
        if case .choice = verb.targets.first?.kind { words += shells }
        return (
            words, list(of: verb.targets.first?.kind).map { "\(Verb.program) completion \($0) 2>/dev/null" }
        )
    }

    private static func cases(_ line: (Verb) -> String) -> String {
        Verb.all.filter { !Verb.nouns.contains($0.words) }
            .map { "        '\($0.words)') \(line($0)) ;;\n" }.joined()
    }

    private static func nounCases(_ line: (String) -> String) -> String {
        Verb.nouns.map { noun in
            var names = Verb.all.filter { $0.noun == noun }.map(\.name)
            // A noun that is a command of one word as well.
            for verb in Verb.all where verb.words == noun { names += offers(verb).words }
            return "        \(noun)) \(line(names.joined(separator: " "))) ;;\n"
        }.joined()
    }

    static var bash: String {
        let cases = cases { verb in
            let (words, asks) = offers(verb)
            return "words='\(words.joined(separator: " "))'"
                + (asks.map { "; words=\"$words $(\($0))\"" } ?? "")
        }
        return """
            # bash completion for \(Verb.program)
            _\(function)() {
                local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} word skip= command= words=
                local -a found=()
                for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
                    if [[ $skip ]]; then skip=; continue; fi
                    case $word in
                    -o|--data) skip=1 ;;
                    -*) ;;
                    *) found+=("$word") ;;
                    esac
                done
                case $previous in
                -o) words='table json jsonl csv' ;;
                --data) COMPREPLY=($(compgen -d -- "$current")); return ;;
                *)
                    case ${found[0]} in
                    '') words='\(words.joined(separator: " "))' ;;
                    \(Verb.nouns.joined(separator: "|"))) command="${found[0]}${found[1]:+ ${found[1]}}" ;;
                    *) command=${found[0]} ;;
                    esac
                    case $command in
            \(nounCases { "words='\($0)'" })\(cases)        esac ;;
                esac
                COMPREPLY=($(compgen -W "$words" -- "$current"))
            }
            complete -F _\(function) \(Verb.program)

            """
    }

    static var zsh: String {
        let cases = cases { verb in
            let (words, asks) = offers(verb)
            return "offers=(\(words.joined(separator: " ")))"
                + (asks.map { "; offers+=(${(f)\"$(\($0))\"})" } ?? "")
        }
        return """
            #compdef \(Verb.program)
            # zsh completion for \(Verb.program)
            _\(function)() {
                local word skip= command=
                local -a found offers
                for word in "${(@)words[2,CURRENT-1]}"; do
                    if [[ -n $skip ]]; then skip=; continue; fi
                    case $word in
                    -o|--data) skip=1 ;;
                    -*) ;;
                    *) found+=("$word") ;;
                    esac
                done
                case ${words[CURRENT-1]} in
                -o) offers=(table json jsonl csv) ;;
                --data) _files -/; return ;;
                *)
                    case ${found[1]} in
                    '') offers=(\(words.joined(separator: " "))) ;;
                    \(Verb.nouns.joined(separator: "|"))) command="${found[1]}${found[2]:+ ${found[2]}}" ;;
                    *) command=${found[1]} ;;
                    esac
                    case $command in
            \(nounCases { "offers=(\($0))" })\(cases)        esac ;;
                esac
                compadd -- $offers
            }
            if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _\(function) "$@"; else compdef _\(function) \(Verb.program); fi

            """
    }

    static var fish: String {
        var text = """
            # fish completion for \(Verb.program)
            complete -c \(Verb.program) -f
            complete -c \(Verb.program) -s o -x -a 'table json jsonl csv' -d 'form of the output'
            complete -c \(Verb.program) -l data -r -d 'data folder of the server'

            """
        let top = words.joined(separator: " ")
        text += "complete -c \(Verb.program) -n 'not __fish_seen_subcommand_from \(top)' -a '\(top)'\n"
        for noun in Verb.nouns {
            let names = Verb.all.filter { $0.noun == noun }.map(\.name).joined(separator: " ")
            let condition =
                "__fish_seen_subcommand_from \(noun); and not __fish_seen_subcommand_from \(names)"
            text += "complete -c \(Verb.program) -n '\(condition)' -a '\(names)'\n"
        }
        for verb in Verb.all {
            let seen = verb.words.split(separator: " ").map { "__fish_seen_subcommand_from \($0)" }
            let condition = seen.joined(separator: "; and ")
            for flag in verb.flags where !Verb.commonFlags.contains(where: { $0.name == flag.name }) {
                let value = flag.placeholder == nil ? "" : " -x"
                text += "complete -c \(Verb.program) -n '\(condition)' -l \(flag.name)\(value)\n"
            }
            if case .choice = verb.targets.first?.kind {
                text +=
                    "complete -c \(Verb.program) -n '\(condition)' -a '\(shells.joined(separator: " "))'\n"
            }
            if let asks = offers(verb).asks {
                text += "complete -c \(Verb.program) -n '\(condition)' -a '(\(asks))'\n"
            }
        }
        return text
    }

    private static var function: String { Verb.program.split(separator: "-").joined(separator: "_") }
}
