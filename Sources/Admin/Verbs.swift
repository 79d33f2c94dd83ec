import Flags
import Records

extension Verb {
    /// Every command, in the order in which help shows them.
    package static let all: [Verb] = {
        let verbs =
            nodeVerbs + mappingVerbs(.listener) + mappingVerbs(.peerListener) + historyVerbs + plainVerbs
            + keepingVerbs
        let order = [
            "node", "listener", "peer-listener", "history", "conn", "audit", "hold", "seal-key", "backup",
            "restore", "doctor",
            "status", "version", "completion",
        ]
        let ordered = order.flatMap { word in verbs.filter { ($0.noun ?? $0.name) == word } }
        precondition(ordered.count == verbs.count, "a command without its place in the order")
        return ordered
    }()

    /// In the order in which they come up; a command of one word may be a noun too.
    package static let nouns: [String] = all.reduce(into: []) { nouns, verb in
        if let noun = verb.noun, !nouns.contains(noun) { nouns.append(noun) }
    }
    package static var plainNames: [String] { all.filter { $0.noun == nil }.map(\.name) }

    private static let node = Target("NODE", .node)

    private static let nodeVerbs: [Verb] = [
        Verb(
            "node", "add", [Target("NAME", .text)], "Adds a node and shows its uuid, this once.",
            details: "A name is 1 to 63 of a-z 0-9 . _ -",
            example: "\(program) node add edge-07 --tag site=paris",
            flags: [
                .list("tag", value: "key=value", help: "what there is to say of it") {
                    (arguments, text) throws(FlagError) in try arguments.addTag(text)
                }
            ] + addressFlags, mayCreate: true, NodeCommands.add),
        Verb(
            "node", "list", [], "Lists nodes.", example: "\(program) node list --tag site=paris -o json",
            flags: [
                .string(
                    "tag", value: "key=value", help: "only nodes with this tag; a key alone: with any value"
                ) {
                    $0.tagFilter = $1
                },
                .custom(
                    "state", value: "state", help: "only nodes that are enabled, or disabled", parse: state,
                    set: { $0.state = $1 }),
            ], formats: Arguments.Output.allCases, NodeCommands.list),
        Verb(
            "node", "show", [node], "Shows a node and its mappings.", example: "\(program) node show edge-07",
            NodeCommands.show),
        Verb(
            "node", "rename", [node, Target("NAME", .text)], "Gives a node another name; its id stays.",
            example: "\(program) node rename edge-07 paris-1", NodeCommands.rename),
        Verb(
            "node", "tag", [node, Target("KEY=VALUE", .text, isOptional: true, repeats: true)],
            "Adds, changes and removes tags of a node.",
            example: "\(program) node tag edge-07 site=paris rack=3 --remove owner",
            flags: [
                .list("remove", value: "key", help: "a tag to remove", separatedBy: ",") {
                    $0.removedTags.append($1)
                }
            ], NodeCommands.tag),
        Verb(
            "node", "disable", [node], "Closes a node's link within a second and lets it log in no more.",
            example: "\(program) node disable edge-07", asks: true, NodeCommands.disable),
        Verb(
            "node", "enable", [node], "Lets a node log in again.", example: "\(program) node enable edge-07",
            NodeCommands.enable),
        Verb(
            "node", "rotate", [node], "Makes a new uuid for a node and shows it, this once.",
            details: """
                The old uuid is good until the overlap is over. Without an overlap it ends at once, and the node's link with it.
                """,
            example: "\(program) node rotate edge-07 --overlap 24h",
            flags: [
                .duration(
                    "overlap", help: "how long the old uuid is still good", default: "0s",
                    in: .zero ... .seconds(Limits.overlapSeconds)
                ) { $0.overlap = $1 }
            ] + addressFlags, asks: true, NodeCommands.rotate),
        Verb(
            "node", "remove", [node], "Removes a node, its mappings and its uuids, and closes its link.",
            example: "\(program) node remove edge-07", asks: true, NodeCommands.remove),
    ]

    /// For the command line of the node that is printed.
    private static let addressFlags: [Flag<Arguments>] = [
        .string(
            "host", value: "address", help: "this server as nodes reach it",
            default: "what -public of the server says, or this machine's name"
        ) {
            $0.host = $1
        },
        .int(
            "port", help: "the server's port for nodes", default: "what it listens on; 925 while it is down",
            in: 1...65_535
        ) { $0.port = $1 },
    ]

    private static func mappingVerbs(_ kind: MappingKind) -> [Verb] {
        let noun = kind.rawValue
        let words = kind.words
        let mapping = Target("MAPPING", kind == .listener ? .listener : .peerListener)
        let sides =
            kind == .listener ? "the server listens, the node dials" : "the node listens, the server dials"
        let (example, onlyKind): (String, [Flag<Arguments>]) =
            switch kind {
            case .listener:
                (
                    "\(program) listener add edge-07 --name rdp --listen 0.0.0.0:13389 --forward 127.0.0.1:3389 --wait",
                    [
                        .custom(
                            "kind", value: "kind", help: "listener or peer-listener; both if left out",
                            parse: Self.kind, set: { $0.kind = $1 })
                    ]
                )
            case .peerListener:
                ("\(program) peer-listener add edge-07 --listen 127.0.0.1:1080 --forward 10.0.0.5:80", [])
            }
        let commands = MappingCommands(kind: kind)
        return [
            Verb(
                noun, "add", [node], "Adds a \(words) to a node: \(sides).",
                details: """
                    An address is host:port, or unix:/path; tcp4: or tcp6: before it says which kind is meant.
                    Port 0 is any free one; with --wait the answer says which.
                    """, example: example, flags: placeFlags + waitFlags, commands.add),
            Verb(
                noun, "list", [],
                kind == .listener ? "Lists the mappings of both kinds." : "Lists peer listeners.",
                example: "\(program) \(noun) list --node edge-07",
                flags: [.string("node", value: "node", help: "only this node's") { $0.node = $1 }] + onlyKind,
                commands.list),
            Verb(
                noun, "show", [mapping], "Shows a \(words).", example: "\(program) \(noun) show 14",
                commands.show),
            Verb(
                noun, "set", [mapping], "Changes the name or an address of a \(words).",
                details: "A new address ends its sub-connections: with some open it asks.",
                example: "\(program) \(noun) set 14 --forward 127.0.0.1:3390 --wait",
                flags: placeFlags + waitFlags, asks: true, commands.set),
            Verb(
                noun, "disable", [mapping], "Stops a \(words) and keeps it; its sub-connections end.",
                details: "With some open it asks.", example: "\(program) \(noun) disable 14",
                flags: waitFlags, asks: true, commands.disable),
            Verb(
                noun, "enable", [mapping], "Starts a \(words) again.",
                example: "\(program) \(noun) enable 14 --wait",
                flags: waitFlags, commands.enable),
            Verb(
                noun, "remove", [mapping], "Removes a \(words); its sub-connections are closed.",
                example: "\(program) \(noun) remove edge-07/rdp", asks: true, commands.remove),
        ]
    }

    private static let placeFlags: [Flag<Arguments>] = [
        .string(
            "name", help: "1 to 63 of a-z 0-9 . _ -; for set: an empty one takes it away", allowsEmpty: true
        ) {
            $0.name = $1
        },
        .custom(
            "listen", value: "address", help: "where connections are accepted", parse: PlaceText.parse
        ) { (arguments, place) throws(FlagError) in try PlaceText.put(place, into: &arguments.listen) },
        .custom(
            "forward", value: "address", help: "what the other side dials for them", parse: PlaceText.parse
        ) { (arguments, place) throws(FlagError) in try PlaceText.put(place, into: &arguments.forward) },
        .custom(
            "json", value: "mapping", help: "both addresses as the flags of goproxy-server take them",
            parse: PlaceText.parseBoth
        ) { (arguments, places) throws(FlagError) in
            try PlaceText.put(places.0, into: &arguments.listen)
            try PlaceText.put(places.1, into: &arguments.forward)
        },
    ]

    private static let waitFlags: [Flag<Arguments>] = [
        .bool("wait", help: "return when the listening side has applied it, or failed") { $0.waits = $1 },
        .duration("timeout", help: "how long to wait", default: "30s", in: .seconds(1) ... .seconds(3_600)) {
            $0.timeout = $1
        },
    ]

    private static let plainVerbs: [Verb] = [
        Verb(
            nil, "status", [], "Shows the server in numbers.", example: "\(program) status",
            OtherCommands.status),
        Verb(
            nil, "audit", [], "Shows what operators, nodes and the server did, oldest first.",
            example: "\(program) audit --since 7d",
            flags: [
                .custom(
                    "since", value: "time",
                    help: "done then or later: 12h, 1w, yesterday, 2026-08-22, 2026-08-22T09:14 or with :03Z",
                    parse: since,
                    set: { $0.since = $1 }),
                .custom(
                    "until", value: "time", help: "done before", parse: since, set: { $0.history.until = $1 }),
                .string("node", value: "node", help: "by name, also one that it had, or id") { $0.node = $1 },
                .string("actor", value: "name", help: "only what this one did") { $0.history.actor = $1 },
                .string("action", value: "word", help: "only this, such as node-add or history-read") {
                    $0.history.action = $1
                },
                .int(
                    "limit", help: "at most so many entries",
                    default: "the newest 100; 10 with --follow; all with --since or --cursor",
                    in: 1...1_000_000
                ) { $0.limit = $1 },
                .int("mapping", help: "only what was done to this one", in: 1...Int(UInt32.max)) {
                    $0.history.mapping = $1
                },
                .custom(
                    "cursor", value: "id", help: "what came after this entry", parse: entry,
                    set: { $0.history.cursor = $1 }),
                .bool("follow", help: "then go on with what comes, over restarts of the server") {
                    $0.history.follows = $1
                },
            ] + zoneFlags, formats: Arguments.Output.allCases, AuditCommands.list),
        Verb(
            "audit", "show", [Target("ID", .text)],
            "Shows one entry of the audit, with what was before and after.",
            example: "\(program) audit show 211", flags: zoneFlags, AuditCommands.show),
        Verb(nil, "version", [], "Prints the version.", example: "\(program) version", OtherCommands.version),
        Verb(
            nil, "completion", [Target("SHELL", .choice(Completion.choices))],
            "Prints the completion for a shell.",
            details: """
                bash:  source <(\(program) completion bash)
                zsh:   \(program) completion zsh > "${fpath[1]}/_\(program)"
                fish:  \(program) completion fish > ~/.config/fish/completions/\(program).fish
                """, example: "source <(\(program) completion bash)", Completion.run),
    ]

    private static func state(_ text: String) throws(FlagError) -> NodeState {
        guard let state = NodeState(rawValue: text) else { throw FlagError("neither enabled nor disabled") }
        return state
    }

    private static func kind(_ text: String) throws(FlagError) -> MappingKind {
        guard let kind = MappingKind(rawValue: text) else {
            throw FlagError("neither listener nor peer-listener")
        }
        return kind
    }

    private static func entry(_ text: String) throws(FlagError) -> Int64 {
        guard text.utf8.allSatisfy({ (48...57).contains($0) }), let id = Int64(text), id >= 0 else {
            throw FlagError("not an entry's id")
        }
        return id
    }

    static func since(_ text: String) throws(FlagError) -> Arguments.Since { try .parse(text) }
}

extension Arguments {
    mutating func addTag(_ text: String) throws(FlagError) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(
            String.init)
        guard parts.count == 2, !parts[0].isEmpty else { throw FlagError("not key=value") }
        guard tags.updateValue(parts[1], forKey: parts[0]) == nil else {
            throw FlagError("this key is there twice")
        }
    }
}
