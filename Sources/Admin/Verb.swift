import Flags

/// One command: its words, what it takes, what it does. The static table `Verb.all` serves parsing, help and completion, and
/// is what man pages are made from.
package struct Verb: Sendable {
    /// What the targets of a command are; completion offers those that there are.
    package enum TargetKind: Sendable {
        case node, listener, peerListener
        case choice([String])
        case text
    }

    package struct Target: Sendable {
        package let name: String
        package let kind: TargetKind
        package let isOptional: Bool
        package let repeats: Bool

        package init(_ name: String, _ kind: TargetKind, isOptional: Bool = false, repeats: Bool = false) {
            self.name = name
            self.kind = kind
            self.isOptional = isOptional
            self.repeats = repeats
        }

        package var placeholder: String {
            let name = repeats ? name + "…" : name
            return isOptional ? "[\(name)]" : name
        }
    }

    package typealias Body = @Sendable (Session) throws(AdminError) -> Void

    /// Nil for a command of one word.
    package let noun: String?
    package let name: String
    package let targets: [Target]
    package let summary: String
    /// More than the summary says; may be empty.
    package let details: String
    package let example: String
    package let ownFlags: [Flag<Arguments>]
    /// Names what it will do and asks before it does; `--force` skips that.
    package let asks: Bool
    /// What `-o` may say.
    package let formats: [Arguments.Output]
    /// May be the first to use a data directory.
    let mayCreate: Bool
    let run: Body

    init(
        _ noun: String?, _ name: String, _ targets: [Target] = [], _ summary: String, details: String = "",
        example: String, flags: [Flag<Arguments>] = [], asks: Bool = false, mayCreate: Bool = false,
        formats: [Arguments.Output] = [.table, .json, .jsonl], _ run: @escaping Body
    ) {
        self.noun = noun
        self.name = name
        self.targets = targets
        self.summary = summary
        self.details = details
        self.example = example
        self.ownFlags = flags
        self.asks = asks
        self.formats = formats
        self.mayCreate = mayCreate
        self.run = run
    }

    package var words: String { noun.map { "\($0) \(name)" } ?? name }

    /// `goproxy-admin node rename NODE NAME`
    package var usage: String {
        ([Verb.program, words] + targets.map(\.placeholder)).joined(separator: " ")
    }

    package var flags: [Flag<Arguments>] {
        ownFlags + (asks ? [Verb.force] : []) + Verb.commonFlags
    }

    package var table: FlagTable<Arguments> {
        FlagTable(
            program: "\(Verb.program) \(words)", summary: summary, flags: flags, style: .gnu,
            positionalPlaceholder: targets.map(\.placeholder).joined(separator: " ")
        ) { [targets, words] (arguments, text) throws(FlagError) in
            guard targets.last?.repeats == true || arguments.targets.count < targets.count else {
                let most = targets.isEmpty ? "no arguments" : "\(targets.count) at most"
                throw FlagError("\(words) takes \(most)")
            }
            arguments.targets.append(text)
        }
    }

    package static let program = "goproxy-admin"

    /// Of every command.
    package static let commonFlags: [Flag<Arguments>] = [
        .string(
            "data", value: "folder", help: "data folder of the server; or GOPROXY_DATA",
            default: "$STATE_DIRECTORY, /var/lib/goproxy for root, else ~/.local/state/goproxy"
        ) { $0.data = $1 },
        .custom(
            "o", value: "form",
            help: "table, json or jsonl; csv for lists of nodes, connections and the audit", default: "table",
            parse: output,
            set: { $0.output = $1 }),
    ]

    private static let force: Flag<Arguments> = .bool("force", help: "do it without asking") {
        $0.isForced = $1
    }

    private static func output(_ text: String) throws(FlagError) -> Arguments.Output {
        guard let output = Arguments.Output(rawValue: text) else {
            throw FlagError("none of \(Arguments.Output.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return output
    }
}
