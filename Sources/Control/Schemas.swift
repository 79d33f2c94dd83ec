import Records

/// The objects that requests and answers are made of, as the OpenAPI document describes them. Tests hold every answer against
/// them.
package enum Schemas {
    static let count = Field.Kind.integer(0...Int64.max)
    static let mappingID = Field.Kind.integer(1...Int64(UInt32.max))
    static let kind = Field.Kind.choice(MappingKind.allCases.map(\.rawValue))

    package static let node = Schema(name: "Node", fields: nodeFields)

    package static let nodeWithUUID = Schema(
        name: "NodeWithUUID",
        fields: nodeFields + [
            .required("uuid", .text, "what the node is started with; shown this once"),
            .optional("subConnectionsEnded", count, "how many sub-connections this request ended"),
        ])

    package static let changedNode = Schema(
        name: "ChangedNode",
        fields: nodeFields + [
            .required("subConnectionsEnded", count, "how many sub-connections this request ended")
        ])

    private static let nodeFields: [Field] = [
        .required("id", .text, "a UUID, from the first credential"),
        .required("name", .text, "1 to 63 of a-z 0-9 . _ -"),
        .required("tags", .textMap, "what the operator says of it"),
        .required("state", .choice(NodeState.allCases.map(\.rawValue)), "whether it may log in"),
        .required("online", .flag, "whether it has a main link now"),
        .required("lastSeen", .nullable(.time), "when its last byte came"),
        .required("address", .nullable(.text), "where its link came from"),
        .required("version", .nullable(.text), "of its program, as it says"),
        .required("os", .nullable(.text), "as it says"),
        .required("mappings", count, "how many it has"),
        .required("origin", .choice(Origin.allCases.map(\.rawValue)), "who declared it"),
        .required("createdAt", .time, "when it was added"),
        .required("revision", count, "raised with each change of what it is to run"),
        .required("subConnections", .nullable(count), "open now; null without a link"),
        .required("onlineSince", .nullable(.time), "when its link was up"),
        .required(
            "lastSeenWithin", .nullable(count),
            "how many seconds after lastSeen it may have been heard last; null: it was not"),
        .required(
            "credential", .nullable(.text),
            "which uuid its last link stands on, or stood on; as in the history"),
        .required("credentials", .list(.object(credential)), "its uuids that are good, newest first"),
        .required(
            "machines", .list(.object(machine)),
            "several that use its uuid and take its link from each other, in the last ten minutes; else empty"
        ),
    ]

    package static let credential = Schema(
        name: "Credential",
        fields: [
            .required("id", .text, "as `credential` of connections in the history"),
            .required("from", .time, "when it was made"),
            .required("to", .nullable(.time), "when it ends; null: until it is ended"),
            .required("lastUsed", .nullable(.time), "when a link last stood on it; null: none ever did"),
            .required("inUse", .flag, "the link stands on it now"),
            .required("weak", .flag, "it can be guessed: -allow-weak-uuid let it in"),
            .required("origin", .choice(Origin.allCases.map(\.rawValue)), "who declared it"),
        ])

    package static let machine = Schema(
        name: "Machine",
        fields: [
            .required(
                "instance", .nullable(.text), "drawn when its program was started; null: it does not say"),
            .required("address", .text, "where its last link came from"),
            .required("hostName", .text, "as it says"),
            .required("at", .time, "when it last took the link"),
        ])

    package static let place = Schema(
        name: "Address",
        fields: [
            .required("domain", .choice(AddressDomain.allCases.map(\.rawValue)), "kind of address"),
            .required("addr", .text, "host:port, or a path for unix"),
        ])

    /// In requests any domain is taken as text: the records say in a sentence what is wrong with one.
    static let newPlace = Schema(
        name: "NewAddress",
        fields: [
            .optional("domain", .text, "tcp, tcp4, tcp6 or unix; tcp if it is left out"),
            .required("addr", .text, "host:port, or a path for unix"),
        ])

    package static let mapping = Schema(name: "Mapping", fields: mappingFields)

    package static let waitedMapping = Schema(
        name: "WaitedMapping",
        fields: mappingFields + [
            .required("timedOut", .flag, "the listening side has not answered this revision in time")
        ])

    private static let mappingFields: [Field] = [
        .required("id", mappingID, "never used again"),
        .required("node", .text, "its node's name"),
        .required("nodeID", .text, "its node's id"),
        .required("kind", kind, "which side listens: the server, or the node"),
        .required("name", .nullable(.text), "unique among the node's mappings of the kind"),
        .required("listen", .object(place), "where connections are accepted"),
        .required("forward", .object(place), "what the other side dials for them"),
        .required("enabled", .flag, "as the operator wants it"),
        .required("origin", .choice(Origin.allCases.map(\.rawValue)), "who declared it"),
        .required("state", .choice(MappingState.allCases.map(\.rawValue)), "what became of it"),
        .required("boundAddress", .nullable(.text), "where it listens, when it does"),
        .required("detail", .nullable(.text), "the words of the failure"),
        .required("desiredRevision", count, "the node's revision that last changed it"),
        .required("appliedRevision", .nullable(count), "the node's revision that was last answered"),
        .required("createdAt", .time, "when it was added"),
    ]

    package static let status = Schema(
        name: "Status",
        fields: [
            .required("running", .flag, "false when the server is down and the records answer"),
            .required("version", .text, "of the program that answers"),
            .required("pid", .nullable(count), "of the server"),
            .required("startedAt", .nullable(.time), "of the server"),
            .required(
                "nodeAddress", .nullable(.text),
                "host:port that nodes dial, as -public says; without that as bound, the port alone where that is every address; of the last server, when none runs"
            ),
            .required("nodes", count, "all"),
            .required("disabledNodes", count, "that may not log in"),
            .required("online", count, "that have a link"),
            .required("subConnections", count, "open now"),
            .required("mappings", .object(mappingCounts), "by state"),
            .required("databaseBytes", count, "of the database, without its log of writes"),
            .required("historyMaximumBytes", .nullable(count), "what -history-max allows; null without it"),
            .required(
                "historyKeptBytes", .nullable(count),
                "of that, what no pruning frees: the audit, notes, sessions, seals; null until it was measured"
            ),
            .required("failingSince", .nullable(.time), "since when nothing can be recorded"),
            .required("failure", .nullable(.text), "what stands in the way"),
            .required("logBytes", count, "of the database's log of writes"),
            .required("logHolder", .nullable(.text), "who keeps the log from beginning anew by reading"),
            .required(
                "unreachable", .list(.object(targetTrouble)),
                "targets that their mapping's last client did not reach"),
        ])

    package static let targetTrouble = Schema(
        name: "TargetTrouble",
        fields: [
            .required("mapping", mappingID, "whose target it is"),
            .required("reason", .text, "of the last client"), .required("since", .time, "the first"),
            .required("count", count, "how many clients did not reach it"),
        ])

    package static let mappingCounts = Schema(
        name: "MappingCounts",
        fields: ["active", "pending", "failed", "disabled"].map { .required($0, count, "how many") })

    package static let auditEntry = Schema(
        name: "AuditEntry",
        fields: [
            .required("id", count, "in the order of events; the cursor of the next page"),
            .required("at", .time, "when"),
            .required("actor", .text, "who: a user of the server's system, a node, the server, its flags"),
            .required("uid", .nullable(count), "of the user"),
            .required("action", .text, "what"),
            .required("nodeID", .nullable(.text), "of which node"),
            .required("node", .nullable(.text), "its name at that time"),
            .required("mapping", .nullable(mappingID), "of which mapping"),
            .required("before", .nullable(.anyObject), "the record before"),
            .required("after", .nullable(.anyObject), "the record after"),
            .required("detail", .nullable(.text), "in words"),
            .required(
                "chain", .nullable(.text), "of the row, in hexadecimal; it follows from all rows before it"),
        ])

    package static let error = Schema(
        name: "Error", fields: [.required("error", .object(errorContent), "why the request was refused")])

    static let errorContent = Schema(
        name: "ErrorContent",
        fields: [
            .required("code", .text, "for programs"),
            .required("message", .text, "for people"),
            .required("hint", .nullable(.text), "the next thing to try"),
        ])
}
