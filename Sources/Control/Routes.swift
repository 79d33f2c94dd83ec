import Records

extension Route {
    /// All of the control service.
    package static let all: [Route] = nodes + mappings + history + others + keeping

    private static let overlap = Field.Kind.integer(0...Limits.overlapSeconds)
    private static let kind: Field = .optional("kind", Schemas.kind, "only mappings of this kind")

    private static let nodes: [Route] = [
        Route(
            "GET", "/v1/nodes", "listNodes", "All nodes by name.",
            query: [
                .optional("tag", .text, "key=value, or a key alone: only nodes with this tag"),
                .optional(
                    "state", .choice(NodeState.allCases.map(\.rawValue)), "only nodes in this state"),
            ], answers: .list(Schemas.node)
        ) { (service, call) throws(ControlError) in try service.listNodes(call) },
        Route(
            "POST", "/v1/nodes", "addNode", "Adds a node; the answer holds its uuid, this once.",
            body: Schema(
                name: "NewNode",
                fields: [
                    .required("name", .text, "1 to 63 of a-z 0-9 . _ -"),
                    .optional("tags", .textMap, "what there is to say of it"),
                ]), status: 201, answers: .one(Schemas.nodeWithUUID)
        ) { (service, call) throws(ControlError) in try service.addNode(call) },
        Route(
            "GET", "/v1/nodes/{node}", "getNode", "One node, by name, id or an unambiguous beginning.",
            answers: .one(Schemas.node)
        ) { (service, call) throws(ControlError) in try service.getNode(call) },
        Route(
            "PATCH", "/v1/nodes/{node}", "changeNode", "Renames a node, adds or changes tags, removes tags.",
            body: Schema(
                name: "NodeChange",
                fields: [
                    .optional("name", .text, "the new name"),
                    .optional("tags", .textMap, "tags to add or to change"),
                    .optional("removeTags", .textList, "keys of tags to remove"),
                ]), answers: .one(Schemas.node)
        ) { (service, call) throws(ControlError) in try service.changeNode(call) },
        Route(
            "DELETE", "/v1/nodes/{node}", "removeNode",
            "Removes a node with its mappings and credentials, and closes its link within a second.",
            answers: .one(Schemas.changedNode)
        ) { (service, call) throws(ControlError) in try service.removeNode(call) },
        Route(
            "POST", "/v1/nodes/{node}/disable", "disableNode",
            "Lets a node log in no more, and closes its link within a second.",
            answers: .one(Schemas.changedNode)
        ) { (service, call) throws(ControlError) in try service.setNode(call, .disabled) },
        Route(
            "POST", "/v1/nodes/{node}/enable", "enableNode", "Lets a node log in again.",
            answers: .one(Schemas.changedNode)
        ) { (service, call) throws(ControlError) in try service.setNode(call, .enabled) },
        Route(
            "POST", "/v1/nodes/{node}/rotate", "rotateNode",
            "Makes a new uuid, shown this once. The old one ends after the overlap; without one at once, with the link.",
            body: Schema(
                name: "Rotation",
                fields: [
                    .optional("overlapSeconds", overlap, "how long the old uuid is still good; 0 if left out")
                ]
            ), answers: .one(Schemas.nodeWithUUID)
        ) { (service, call) throws(ControlError) in try service.rotateNode(call) },
    ]

    private static let mappings: [Route] = [
        Route(
            "GET", "/v1/mappings", "listMappings", "All mappings by node and id.",
            query: [.optional("node", .text, "only this node's"), kind], answers: .list(Schemas.mapping)
        ) { (service, call) throws(ControlError) in try service.listMappings(call) },
        Route(
            "POST", "/v1/mappings", "addMapping", "Adds a mapping to a node and pushes it.",
            body: Schema(
                name: "NewMapping",
                fields: [
                    .required("node", .text, "name, id or an unambiguous beginning"),
                    .required("kind", Schemas.kind, "which side listens: the server, or the node"),
                    .optional("name", .text, "1 to 63 of a-z 0-9 . _ -"),
                    .required("listen", .object(Schemas.newPlace), "where connections are accepted"),
                    .required("forward", .object(Schemas.newPlace), "what the other side dials for them"),
                ]), status: 201, answers: .one(Schemas.mapping)
        ) { (service, call) throws(ControlError) in try service.addMapping(call) },
        Route(
            "GET", "/v1/mappings/{mapping}", "getMapping", "One mapping, by id, name or node/name.",
            query: [kind], answers: .one(Schemas.mapping)
        ) { (service, call) throws(ControlError) in try service.getMapping(call) },
        Route(
            "PATCH", "/v1/mappings/{mapping}", "changeMapping", "Changes a mapping and pushes it.",
            query: [kind],
            body: Schema(
                name: "MappingChange",
                fields: [
                    .optional("name", .text, "the new name"),
                    .optional("listen", .object(Schemas.newPlace), "the new listening address"),
                    .optional("forward", .object(Schemas.newPlace), "the new forward address"),
                ]), answers: .one(Schemas.mapping)
        ) { (service, call) throws(ControlError) in try service.changeMapping(call) },
        Route(
            "DELETE", "/v1/mappings/{mapping}", "removeMapping",
            "Removes a mapping; its sub-connections are closed. Answers it as it was.", query: [kind],
            answers: .one(Schemas.mapping)
        ) { (service, call) throws(ControlError) in try service.removeMapping(call) },
        Route(
            "POST", "/v1/mappings/{mapping}/disable", "disableMapping", "Stops a mapping and keeps it.",
            query: [kind], answers: .one(Schemas.mapping)
        ) { (service, call) throws(ControlError) in try service.setMapping(call, isEnabled: false) },
        Route(
            "POST", "/v1/mappings/{mapping}/enable", "enableMapping", "Starts a mapping again.",
            query: [kind],
            answers: .one(Schemas.mapping)
        ) { (service, call) throws(ControlError) in try service.setMapping(call, isEnabled: true) },
        Route(
            "GET", "/v1/mappings/{mapping}/wait", "waitForMapping",
            "Answers when the listening side has applied or failed the revision, or the time is over.",
            query: [
                .optional("revision", Schemas.count, "desiredRevision of the change; the newest if left out"),
                .optional("timeout", .integer(0...60), "seconds; 30 if left out"), kind,
            ], answers: .one(Schemas.waitedMapping)
        ) { (service, call) throws(ControlError) in try service.waitForMapping(call) },
    ]

    private static let others: [Route] = [
        Route("GET", "/v1/status", "getStatus", "The server in numbers.", answers: .one(Schemas.status)) {
            (service, call) throws(ControlError) in try service.status()
        },
        Route(
            "GET", "/v1/audit", "listAudit",
            "What operators, nodes and the server did, oldest first; the newest page if neither since nor cursor is given.",
            query: [
                .optional("since", .time, "only what was done then or later"),
                .optional("until", .time, "only what was done before"),
                .optional("node", .text, "by name, also a former one, or id"),
                .optional("actor", .text, "only what this one did, as himself or by sudo: the whole name"),
                .optional("action", .text, "only this: the whole word, such as node-add"),
                .optional("mapping", Schemas.mappingID, "only what was done to this one"),
                .optional("limit", .integer(1...Int64(Limits.page)), "entries of a page; 100 if left out"),
                .optional("cursor", Schemas.count, "id of the last entry of the page before"),
                .optional(
                    "wait", .integer(0...50),
                    "follow: what comes after cursor, as soon as there is something or so many seconds are over"
                ),
            ], answers: .list(Schemas.auditEntry)
        ) { (service, call) throws(ControlError) in try service.audit(call) },
        Route(
            "GET", "/v1/audit/{entry}", "getAuditEntry", "One entry of the audit, by its id.",
            answers: .one(Schemas.auditEntry)
        ) { (service, call) throws(ControlError) in try service.auditOne(call) },
        Route("GET", "/v1/openapi.json", "getDescription", "This document.", answers: .document) {
            (service, _) throws(ControlError) in Reply(OpenAPI.document(version: service.serverVersion))
        },
    ]
}
