import Records

extension Route {
    private static let filters: [Field] = [
        .optional("since", .time, "only what was opened then or later"),
        .optional("until", .time, "only what was opened before"),
        .optional("at", .time, "only what was open at that moment"),
        .optional("node", .text, "by name, also a former one, or id"),
        .optional("listener", .text, "a mapping's id, name, or node/name"),
        .optional("client", .text, "an address, a range such as 203.0.113.0/24, or unix"),
        .optional("target", .text, "host:port, or the host alone"),
        .optional(
            "result", .text, "how it ended: \(EndReason.allCases.map(\.rawValue).joined(separator: ", "))"),
        .optional("minBytes", Schemas.count, "at least so many, in both directions together"),
        .optional("open", .choice(["true", "false"]), "only what is open, or has ended"),
    ]

    static let history: [Route] = [
        Route(
            "GET", "/v1/history", "listHistory",
            "Connections and gaps, in pages of bounded work: ask on while there is a next, also after an empty page.",
            query: filters + [
                .optional(
                    "limit", .integer(1...Int64(Limits.page)), "connections of a page; 100 if left out"),
                .optional("cursor", .text, "next of the page before"),
                .optional(
                    "order", .choice(ConnectionOrder.allCases.map(\.rawValue)), "newest first if left out"),
                .optional(
                    "wait", .integer(0...50),
                    """
                    follow: without a cursor answers the end's as next; with it, what was opened or has ended since, as soon as \
                    there is something or so many seconds are over. A connection's id is a cursor too: then ends since its opening
                    are told again
                    """),
            ], answers: .one(Schemas.historyPage)
        ) { (service, call) throws(ControlError) in try service.history(call) },
        Route(
            "GET", "/v1/history/top", "topOfHistory",
            "Connections counted together, those with the most first, as far as the time goes: ask on while there is a next, and add up.",
            query: filters + [
                .optional("by", .choice(TotalsKey.allCases.map(\.rawValue)), "client if left out"),
                .optional("sort", .choice(["bytes", "connections"]), "bytes if left out"),
                .optional(
                    "limit", .integer(1...Int64(Limits.totalsPart)),
                    "entries; 10 if left out. More than \(Limits.page) ask for all names: it ends before it has more"
                ),
                .optional("cursor", Schemas.count, "next of the answer before"),
                .optional("timeout", .integer(1...50), "seconds to count at most; 25 if left out"),
            ], answers: .one(Schemas.historyTop)
        ) { (service, call) throws(ControlError) in try service.historyTop(call) },
        Route(
            "GET", "/v1/history/stats", "getHistoryStats", "The history in numbers.",
            answers: .one(Schemas.historyStats)
        ) { (service, _) throws(ControlError) in try service.historyStats() },
        // After those whose last word is fixed.
        Route(
            "GET", "/v1/history/{connection}", "getHistory", "One connection, by its id.",
            answers: .one(Schemas.historyConnection)
        ) { (service, call) throws(ControlError) in try service.historyOne(call) },
        Route(
            "GET", "/v1/connections", "listConnections", "What is open now, with its rates.",
            query: [
                .optional("node", .text, "only this node's"),
                .optional("listener", .text, "only this mapping's: its id, name, or node/name"),
            ], answers: .list(Schemas.connection)
        ) { (service, call) throws(ControlError) in try service.listConnections(call) },
        Route(
            "POST", "/v1/connections/{connection}/kill", "killConnection",
            "Ends a connection. Answers it as it was.",
            body: Schema(name: "Kill", fields: [.required("reason", .text, "for the audit")]),
            answers: .one(Schemas.connection)
        ) { (service, call) throws(ControlError) in try service.killConnection(call) },
    ]
}
