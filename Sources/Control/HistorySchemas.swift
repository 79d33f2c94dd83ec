import Records

extension Schemas {
    private static let nullableCount = Field.Kind.nullable(count)

    package static let historyConnection = Schema(
        name: "HistoryConnection",
        fields: [
            .required("id", count, "in the order of opening; never used again"),
            .required("openedAt", .time, "when"),
            .required("closedAt", .nullable(.time), "when; null while it is open"),
            .required("durationSeconds", .nullable(.number), "by the monotonic clock"),
            .required("node", .text, "the node's name at that time"),
            .required("nodeID", .text, "the node's id"),
            .required("listener", .nullable(.text), "the mapping's name at that time"),
            .required("mapping", mappingID, "the mapping's id"),
            .required("kind", kind, "which side listened"),
            .required("listen", .text, "where it listened"),
            .required("client", .text, "where the connection came from; unix for a Unix socket"),
            .required("target", .text, "what the other side dialled for it"),
            .required("bytesUp", nullableCount, "from the client to the target; so far, while it is open"),
            .required("bytesDown", nullableCount, "from the target to the client; so far, while it is open"),
            .required("nodeBytesUp", nullableCount, "as the node counted; null when it did not say"),
            .required("nodeBytesDown", nullableCount, "as the node counted"),
            .required("reason", .nullable(.text), "how it ended; null while it is open"),
            .required("side", .nullable(.text), "who ended it"),
            .required("recovered", .flag, "the end was written after a crash"),
            .required("flags", .textList, "recovered, counts-differ, not-held"),
            .required("credential", .text, "public half of what the node had logged in with, in hexadecimal"),
            .required(
                "chain", .text, "of the opening's row, in hexadecimal; it follows from all rows before it"),
            .required("closedChain", .nullable(.text), "of the end's row; null while it is open"),
        ])

    static let gapContent = Schema(
        name: "HistoryGapContent",
        fields: [
            .required("from", .time, "the last that is known before it"),
            .required("to", .time, "the first after it; earlier than from when the clock was set back"),
            .required(
                "cause", .text,
                "server-stop, server-crash, clock-step, audit-failure, restored, many-gaps; up to now while it lasts"
            ),
        ])

    package static let historyGap = Schema(
        name: "HistoryGap", fields: [.required("gap", .object(gapContent), "nothing is known of this time")])

    package static let historyEntry = Schema(
        name: "HistoryEntry", alternatives: [historyConnection, historyGap])

    package static let historyPage = Schema(
        name: "HistoryPage",
        fields: [
            .required("entries", .list(.object(historyEntry)), "connections and gaps"),
            .required(
                "next", .nullable(.text),
                "cursor of the next page, null at the end. A page with few entries or none may still have a next"
            ),
        ])

    static let historyTopEntry = Schema(
        name: "HistoryTopEntry",
        fields: [
            .required("name", .text, "an address, a node, node/listener, or a target"),
            .required("connections", count, "how many"), .required("bytesUp", count, "to the targets"),
            .required("bytesDown", count, "to the clients"),
        ])

    package static let historyTop = Schema(
        name: "HistoryTop",
        fields: [
            .required("by", .choice(TotalsKey.allCases.map(\.rawValue)), "what is counted together"),
            .required("entries", .list(.object(historyTopEntry)), "those with the most, first"),
            .required("names", count, "how many there are in all"),
            .required("connections", count, "of all"), .required("bytesUp", count, "of all"),
            .required("bytesDown", count, "of all"),
            .required("complete", .flag, "false when the time was over before all was counted"),
            .required("from", .nullable(.time), "how far back it was counted"),
            .required("next", .nullable(.text), "cursor to count on with; null when all was counted"),
        ])

    static let historyHead = Schema(
        name: "HistoryHead",
        fields: [
            .required("table", .text, "whose chain"), .required("id", count, "of its last row"),
            .required("hash", .text, "after that row, in hexadecimal"),
        ])

    static let historyRefusals = Schema(
        name: "HistoryRefusals",
        fields: [.required("cause", .text, "why"), .required("count", count, "how many")])

    static let historyRows = Schema(
        name: "HistoryRows", fields: [.required("table", .text, "which"), .required("count", count, "rows")])

    package static let historyStats = Schema(
        name: "HistoryStats",
        fields: [
            .required("connections", count, "in the history"), .required("open", count, "now"),
            .required("bytesUp", count, "through those that have ended"),
            .required("bytesDown", count, "through those that have ended"),
            .required(
                "refusals", .list(.object(historyRefusals)), "connections that were not taken, by cause"),
            .required("gaps", count, "times of which nothing is known"),
            .required("oldest", .nullable(.time), "opening"),
            .required("newest", .nullable(.time), "opening"),
            .required("rows", .list(.object(historyRows)), "of each table"),
            .required("databaseBytes", count, "of the database, without its log of writes"),
            .required("heads", .list(.object(historyHead)), "where the chains stand"),
        ])

    package static let connection = Schema(
        name: "Connection",
        fields: [
            .required("id", count, "as in the history"), .required("nodeID", .text, "the node's id"),
            .required("node", .text, "its name"), .required("mapping", mappingID, "the mapping's id"),
            .required("listener", .nullable(.text), "its name"),
            .required("kind", kind, "which side listens"),
            .required("client", .text, "where it came from"), .required("target", .text, "where it goes"),
            .required("openedAt", .time, "when"), .required("bytesUp", count, "from the client so far"),
            .required("bytesDown", count, "to the client so far"),
            .required("bytesPerSecondUp", count, "in the last second"),
            .required("bytesPerSecondDown", count, "in the last second"),
        ])
}
