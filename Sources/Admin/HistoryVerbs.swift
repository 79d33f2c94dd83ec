import Flags
import Records

extension Verb {
    /// Who connected to what, and what is open.
    static let historyVerbs: [Verb] = [
        Verb(
            nil, "history", [], "Shows who connected to what, when, from where and how much.",
            details: """
                The newest connections that the flags mean, the newest last; a line for each time of which nothing is known.
                --cursor goes on where a list ended: with the id of its first connection for what is older, and with
                --oldest, of its last for what is newer.
                --follow goes on over restarts of the server. With --cursor it begins after a connection, or at the cursor of a
                line of -o jsonl: that one leaves nothing out and repeats no more than was read at once, with a connection ends
                since its opening come again.
                --oldest begins at the other end, and writes what it finds as it comes: for exports of any size, as
                \(program) history --oldest --since 2026-08-01 -o csv > august.csv
                """,
            example: "\(program) history --since 24h --node edge-07 --client 203.0.113.0/24",
            flags: filterFlags + [
                .int(
                    "limit", help: "at most so many connections",
                    default: "100; 10 with --follow; all with --oldest",
                    in: 1...1_000_000
                ) { $0.limit = $1 },
                .custom(
                    "cursor", value: "id",
                    help: "go on after this connection; with --follow, also the cursor of a line",
                    parse: cursor,
                    set: { ($0.history.cursor, $0.history.place) = $1 }),
                .bool("oldest", help: "from the oldest on") { $0.history.isOldestFirst = $1 },
                .bool("follow", help: "then go on with what is opened and ends, until it is stopped") {
                    $0.history.follows = $1
                },
            ] + zoneFlags, formats: Arguments.Output.allCases, HistoryCommands.list),
        Verb(
            "history", "show", [Target("ID", .text)], "Shows one connection.",
            example: "\(program) history show 4711",
            flags: zoneFlags, HistoryCommands.show),
        Verb(
            "history", "top", [], "Counts connections and bytes by client, node, listener or target.",
            details: """
                It counts from the newest back, ten million connections in half a minute, and says on a terminal how far it
                is. Ctrl-C shows what was counted so far, and says so with exit status 130; --since asks for less.
                """,
            example: "\(program) history top --by client --since 24h",
            flags: [
                .custom(
                    "by", value: "what", help: "client, node, listener or target", default: "client",
                    parse: totalsKey,
                    set: { $0.history.by = $1 }),
                .custom(
                    "sort", value: "what", help: "bytes or connections: the most first", default: "bytes",
                    parse: sort,
                    set: { $0.history.sort = $1 }),
                .int("limit", help: "lines", default: "10", in: 1...Limits.page) { $0.limit = $1 },
            ] + filterFlags + zoneFlags, formats: Arguments.Output.allCases, HistoryTop.run),
        Verb(
            "history", "stats", [], "Shows the history in numbers.", example: "\(program) history stats",
            HistoryCommands.stats),
        Verb(
            "conn", "list", [], "Lists what is open now, with its rates.",
            example: "\(program) conn list --node edge-07",
            flags: [
                .string("node", value: "node", help: "only this node's") { $0.node = $1 },
                .string("listener", value: "mapping", help: "only this mapping's: its id, name, or node/name")
                {
                    $0.history.listener = $1
                },
            ], formats: Arguments.Output.allCases, ConnectionCommands.list),
        Verb(
            "conn", "kill", [Target("ID", .text)], "Ends an open connection at once.",
            example: "\(program) conn kill 4711 --reason case-12",
            flags: [.string("reason", value: "text", help: "why: for the audit") { $0.history.reason = $1 }],
            asks: true, ConnectionCommands.kill),
    ]

    private static let filterFlags: [Flag<Arguments>] = [
        .custom(
            "since", value: "time",
            help: "opened then or later: 24h, 1w, yesterday, 2026-08-22, 2026-08-22T09:14 or with :03Z",
            parse: since, set: { $0.since = $1 }),
        .custom(
            "until", value: "time", help: "opened before", parse: since, set: { $0.history.until = $1 }),
        .custom(
            "at", value: "time", help: "open at that moment", parse: since, set: { $0.history.at = $1 }),
        .string("node", value: "node", help: "by name, also one that it had, or id") { $0.node = $1 },
        .string("listener", value: "mapping", help: "a mapping's id, name, or node/name") {
            $0.history.listener = $1
        },
        .custom(
            "client", value: "range", help: "an address, a range such as 203.0.113.0/24, or unix",
            parse: range,
            set: { $0.history.client = $1 }),
        .string("target", value: "address", help: "host:port, or the host alone") { $0.history.target = $1 },
        .list(
            "result", value: "end",
            help: "how it ended: \(EndReason.allCases.map(\.rawValue).joined(separator: ", "))",
            separatedBy: ","
        ) { (arguments, text) throws(FlagError) in
            guard let reason = EndReason(rawValue: text) else {
                throw FlagError("none of \(EndReason.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            arguments.history.results.append(reason)
        },
        .custom(
            "min-bytes", value: "bytes", help: "at least so much, in both directions together: 1MB",
            parse: BytesText.parse, set: { $0.history.minBytes = $1 }),
        .bool("open", help: "only what is open") { $0.history.isOpen = $1 },
    ]

    static let zoneFlags: [Flag<Arguments>] = [
        .bool("utc", help: "times of tables in UTC, which they are if nothing is said") {
            $0.history.isUTC = $1
        },
        .bool("local", help: "times of tables, and times without a zone, as on the clock of this machine") {
            $0.history.isLocal = $1
        },
    ]

    private static func range(_ text: String) throws(FlagError) -> String {
        guard ClientRange(text) != nil else {
            throw FlagError("neither an address nor a range such as 203.0.113.0/24")
        }
        return text
    }

    private static func connection(_ text: String) throws(FlagError) -> Int64 {
        guard text.utf8.allSatisfy({ (48...57).contains($0) }), let id = Int64(text), id > 0 else {
            throw FlagError("not a connection's id")
        }
        return id
    }

    private static func cursor(_ text: String) throws(FlagError) -> (Int64?, FollowCursor?) {
        if let place = FollowCursor(text) { return (nil, place) }
        return (try connection(text), nil)
    }

    private static func totalsKey(_ text: String) throws(FlagError) -> TotalsKey {
        guard let key = TotalsKey(rawValue: text) else {
            throw FlagError("none of \(TotalsKey.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return key
    }

    private static func sort(_ text: String) throws(FlagError) -> String {
        guard ["bytes", "connections"].contains(text) else {
            throw FlagError("neither bytes nor connections")
        }
        return text
    }
}
