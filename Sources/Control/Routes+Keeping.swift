import Records

extension Route {
    /// What keeps the history. Verifying it and copying it are the admin's own work, on the file: see goproxy-admin.
    static let keeping: [Route] = [
        Route(
            "POST", "/v1/history/prune", "pruneHistory",
            "Deletes the history of connections that ended before a time, in small steps; answers after 15 seconds at the latest.",
            body: Schema(
                name: "Pruning",
                fields: [
                    .required("before", .time, "whole sealed stretches older than this go"),
                    .optional("dryRun", .flag, "only say what would go"),
                ]), answers: .one(KeepingSchemas.pruned)
        ) { (service, call) throws(ControlError) in try service.prune(call) },
        Route(
            "GET", "/v1/holds", "listHolds", "What may not be pruned, in the order in which it was said.",
            query: [.optional("released", .choice(["true", "false"]), "with those that were released")],
            answers: .list(KeepingSchemas.hold)
        ) { (service, call) throws(ControlError) in try service.listHolds(call) },
        Route(
            "POST", "/v1/holds", "addHold", "Keeps everything since a time from being pruned.",
            body: Schema(
                name: "NewHold",
                fields: [
                    .required("since", .time, "nothing that was open then or later is pruned"),
                    .required("reason", .text, "why; kept in the audit"),
                ]), status: 201, answers: .one(KeepingSchemas.hold)
        ) { (service, call) throws(ControlError) in try service.addHold(call) },
        Route(
            "POST", "/v1/holds/{hold}/release", "releaseHold", "Ends a hold, by its id.",
            answers: .one(KeepingSchemas.hold)
        ) { (service, call) throws(ControlError) in try service.releaseHold(call) },
        Route(
            "POST", "/v1/backups", "noteBackup",
            "Writes into the audit that somebody has made a copy of the database; the copy is the caller's work.",
            body: Schema(
                name: "NewBackup",
                fields: [
                    .required("file", .text, "where it is"),
                    .required("bytes", Schemas.count, "how large it is"),
                ]), status: 201, answers: .one(KeepingSchemas.backup)
        ) { (service, call) throws(ControlError) in try service.noteBackup(call) },
        Route(
            "POST", "/v1/seal-key/exports", "noteKeyExport",
            "Writes into the audit that the verification key is handed out; the key is read by its owner alone, not here.",
            body: Schema(
                name: "NewKeyExport", fields: [.required("file", .text, "where it goes; - for a pipe")]),
            status: 201, answers: .one(KeepingSchemas.keyExport)
        ) { (service, call) throws(ControlError) in try service.noteKeyExport(call) },
    ]
}

package enum KeepingSchemas {
    package static let pruned = Schema(
        name: "Pruned",
        fields: [
            .required("before", .time, "as it was asked for"),
            .required("dryRun", .flag, "nothing was done"),
            .required("more", .flag, "not all is done yet: ask again, with the same time"),
            .required("heldBy", .nullable(Schemas.count), "the hold that keeps what would go otherwise"),
            .required("seal", .nullable(Schemas.count), "behind which all goes; null when nothing goes"),
            .required("until", .nullable(.time), "when that seal was made"),
            .required("opened", Schemas.count, "openings that went"),
            .required("closed", Schemas.count, "closings that went"),
            .required(
                "carried", Schemas.count, "openings that stay, because their connections had not ended"),
            .required("freedBytes", Schemas.count, "given back to the file system"),
            .required("steps", Schemas.count, "transactions that it took"),
            .required("longestStepMicroseconds", Schemas.count, "of them; a write waited no longer for one"),
        ])

    package static let hold = Schema(
        name: "Hold",
        fields: [
            .required("id", Schemas.count, "never used again"),
            .required("at", .time, "when it was made"),
            .required("since", .time, "nothing that was open then or later is pruned"),
            .required("reason", .text, "why"),
            .required("actor", .text, "by whom"),
            .required("releasedAt", .nullable(.time), "null while it holds"),
        ])

    package static let keyExport = Schema(
        name: "KeyExport", fields: [.required("file", .text, "where it goes")])

    package static let backup = Schema(
        name: "Backup",
        fields: [
            .required("file", .text, "where it is"),
            .required("bytes", Schemas.count, "how large it is"),
            .required("keysLeftOut", .textList, "files of the data folder that it does not replace"),
        ])
}
