import Flags
import Records

/// What the commands that keep the history take.
package struct KeepingArguments: Equatable, Sendable {
    package var before: Arguments.Since?
    package var isDryRun = false
    package var reason: String?
    package var showsReleased = false
    package var revokesSince = false
    package var isWithoutKeys = false
    package var file: String?
    package var key: [String] = []
    package var anchor: [String] = []
    package var restored: Set<Int64> = []
}

extension Verb {
    /// What keeps the history: proof, retention, holds, backups.
    static let keepingVerbs: [Verb] = [
        Verb(
            "audit", "verify", [],
            "Checks that nothing of the history and the audit was changed or taken away.",
            details: """
                This program reads the database itself, and changes nothing: a server that may be at fault is not asked.
                Exit status 1 names the first record that is not what it was.

                What the chain alone shows is every change by somebody who did not write it anew. The verification key
                (seal-verify.key, made at the first start: keep it on another machine) shows a chain that was written
                anew; the lines history-head of the server's log, kept on another machine, show an end that was cut off.
                They also tell of what a restored backup has replaced: confirm each that you know of with --restored.

                On another machine: take a backup, copy the file there, and name it with --file. So that a stolen or
                changed program here cannot lie, that is the better way.
                """,
            example: "\(program) audit verify --file copy.db --key seal-verify.key --anchor server.log",
            flags: [
                .string(
                    "file", value: "file", help: "a backup or a copy, instead of the data folder's database"
                ) {
                    $0.keeping.file = $1
                },
                .list("key", value: "file", help: "verification key; the data folder's if it is still there")
                {
                    $0.keeping.key.append($1)
                },
                .list("anchor", value: "file", help: "a log of the server's, with its lines history-head") {
                    $0.keeping.anchor.append($1)
                },
                .list(
                    "restored", value: "seal",
                    help: "a backup replaced this seal and those after it, whatever anchors tell",
                    set: restoredSeal),
            ], VerifyCommand.run),
        Verb(
            "seal-key", "export", [Target("FILE", .text)],
            "Hands the verification key out, and overwrites it in the data folder.",
            details: """
                Who has this key can check all seals, and could forge them: it belongs on another machine. FILE gets its
                bytes, for its owner alone; - sends a line of hexadecimal through a pipe, which \(program) audit verify
                --key takes as well. It is read here with the rights of who runs this, not from the server; the audit says
                that it went, and where to. It is overwritten when the copy is on disk, or has left.
                """,
            example: "\(program) seal-key export /media/stick/seal-verify.key", asks: true, SealKeyExport.run),
        Verb(
            "history", "prune", [], "Deletes the history of connections that ended before a time.",
            details: """
                Whole sealed stretches go, so what is left can still be verified; a connection that was open then stays.
                Nothing since the earliest hold goes. Starts, stops, gaps and the audit stay.
                """,
            example: "\(program) history prune --before 365d --dry-run",
            flags: [
                .custom(
                    "before", value: "time", help: "a time as 2026-08-22T09:14:03Z, or how long ago: 365d",
                    parse: since, set: { $0.keeping.before = $1 }),
                .bool("dry-run", help: "only say what would go") { $0.keeping.isDryRun = $1 },
            ], asks: true, KeepingCommands.prune),
        Verb(
            "hold", "add", [], "Keeps everything since a time from being pruned.",
            example:
                "\(program) hold add --since 2026-08-01T00:00:00Z --reason case-4711",
            flags: [
                .custom(
                    "since", value: "time", help: "a time as 2026-08-22T09:14:03Z, or how long ago: 30d",
                    parse: since, set: { $0.since = $1 }),
                .string("reason", value: "text", help: "why, for the audit") { $0.keeping.reason = $1 },
            ], KeepingCommands.addHold),
        Verb(
            "hold", "list", [], "Lists holds.", example: "\(program) hold list --released",
            flags: [
                .bool("released", help: "those that were released too") { $0.keeping.showsReleased = $1 }
            ], KeepingCommands.listHolds),
        Verb(
            "hold", "release", [Target("HOLD", .text)], "Ends a hold: what it kept may be pruned.",
            example: "\(program) hold release 3", asks: true, KeepingCommands.releaseHold),
        Verb(
            nil, "backup", [Target("FILE", .text)],
            "Copies the database into one file, beside a running server or not.",
            details: """
                The copy is whole and checked before it has its name. This program reads the database and writes the file
                as the user who runs it; the server notes it in the audit, and opens no file for it.
                Keys are not in it: the command names them.
                """,
            example: "\(program) backup /backup/goproxy-2026-08-22.db", flags: [forced],
            KeepingCommands.backup),
        Verb(
            nil, "restore", [Target("FILE", .text)],
            "Puts a backup in the place of the database; the server must be stopped.",
            details: """
                The backup is checked first. The database that is there stays beside, under another name. The history says
                that nothing is known of the time since the backup. What had ended since is good again, and the command says
                what; --revoke-since ends it again. The server's keys must be in the folder: they are not in the backup.
                """,
            example: "\(program) restore /backup/goproxy-2026-08-22.db --revoke-since",
            flags: [
                .bool("revoke-since", help: "end again what had ended since the backup") {
                    $0.keeping.revokesSince = $1
                },
                .bool("without-keys", help: "the keys are lost: end the uuids that only they open") {
                    $0.keeping.isWithoutKeys = $1
                },
            ], asks: true, mayCreate: true,
            RestoreCommand.run),
        Verb(
            nil, "doctor", [], "Looks at this installation, and says what to do about what is wrong.",
            details: "Exit status 1 when a line says FAIL.", example: "\(program) doctor", Doctor.run),
    ]

    private static func restoredSeal(_ arguments: inout Arguments, _ text: String) throws(FlagError) {
        guard let seal = Int64(text), seal > 0 else { throw FlagError("not the number of a seal") }
        arguments.keeping.restored.insert(seal)
    }

    private static let forced: Flag<Arguments> = .bool("force", help: "replace the file if it is there") {
        $0.isForced = $1
    }
}
