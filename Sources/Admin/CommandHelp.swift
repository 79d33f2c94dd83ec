import Flags

/// The texts of help, from the table of verbs.
package enum CommandHelp {
    package static var overview: String {
        var text = """
            Usage: \(Verb.program) [--data folder] [-o form] command
            Manages the nodes and mappings of a goproxy-server, running or not.

            Commands:

            """
        text += list(Verb.all)
        text += """

            A NODE or MAPPING is a name, an id, or an unambiguous beginning of one; a mapping also NODE/NAME.
            \(Verb.program) help COMMAND says more. Exit status: 0 done, 1 failed, 2 wrong usage.

            """
        return text
    }

    package static func noun(_ noun: String) -> String {
        "Usage: \(Verb.program) \(noun) command\n\nCommands:\n" + list(Verb.all.filter { $0.noun == noun })
    }

    package static func verb(_ verb: Verb) -> String {
        var text = "Usage: \(verb.usage) [flags]\n\(verb.summary)\n"
        if !verb.details.isEmpty { text += "\n\(verb.details)\n" }
        text += "\nExample:\n  \(verb.example)\n\nFlags:\n"
        for flag in verb.flags { text += line(flag) }
        return text
    }

    private static func list(_ verbs: [Verb]) -> String {
        let lines = verbs.map {
            (([$0.words] + $0.targets.map(\.placeholder)).joined(separator: " "), $0.summary)
        }
        let width = lines.map(\.0.count).max() ?? 0
        return lines.map { usage, summary in
            "  " + usage + String(repeating: " ", count: width - usage.count) + "  \(summary)\n"
        }.joined()
    }

    private static func line(_ flag: Flag<Arguments>) -> String {
        var text = "  " + FlagStyle.gnu.shown(flag.name)
        if let placeholder = flag.placeholder { text += " \(placeholder)" }
        text += "\n        " + flag.text.split(separator: "\n").joined(separator: "\n        ")
        if flag.isList { text += " (may be repeated)" }
        if let defaultText = flag.defaultText { text += " (default \(defaultText))" }
        return text + "\n"
    }
}
