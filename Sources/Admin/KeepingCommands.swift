import Control
import Glibc
import JSON
import Records

/// Pruning, holds, backups.
enum KeepingCommands {
    /// Pruning answers after 15 seconds at the latest, but for the count of a dry run.
    private static let patience = Duration.seconds(600)

    static func prune(_ session: Session) throws(AdminError) {
        let arguments = session.arguments
        guard let before = arguments.keeping.before?.time(now: session.console.now()) else {
            throw .usage("history prune: missing --before", hint: "\(Verb.program) help history prune")
        }
        if !arguments.keeping.isDryRun {
            try session.confirm(
                "The history of connections that ended before \(TimeText.absolute(before)) will be deleted for good."
            )
        }
        var report: PruneReport?
        repeat {
            let json = try session.ask(
                "POST", "history", "prune",
                body: ["before": .string(before.description), "dryRun": .bool(arguments.keeping.isDryRun)],
                timeout: patience)
            let next: PruneReport = try session.decode(json)
            report = report?.followed(by: next) ?? next
            // A server that stops does nothing more: what it has done is told.
        } while report.map { $0.more && $0.steps > 0 } ?? false
        guard let report else { return }
        try session.print(jsonText(report)) { () throws(AdminError) in words(report) }
    }

    private static func words(_ report: PruneReport) -> String {
        var lines: [String] = []
        if let seal = report.seal, let until = report.until {
            let verb = report.dryRun ? "Would delete" : "Deleted"
            lines.append(
                "\(verb) \(report.opened) openings and \(report.closed) closings, up to seal \(seal) of "
                    + "\(TimeText.absolute(until)).")
            if report.carried > 0 {
                lines.append("\(report.carried) openings stay: their connections had not ended.")
            }
            if !report.dryRun {
                lines.append("\(report.freedBytes) bytes given back to the file system.")
            }
        } else if report.opened + report.closed > 0 {
            lines.append(
                "Deleted \(report.opened) openings and \(report.closed) closings; what is left there stays.")
        } else {
            lines.append("Nothing goes: no sealed stretch is older than \(TimeText.absolute(report.before)).")
        }
        if report.more { lines.append("Not all is done: the server stops. The same command goes on.") }
        if let hold = report.heldBy { lines.append("Hold \(hold) keeps what is newer than its time.") }
        return lines.joined(separator: "\n") + "\n"
    }

    // MARK: Holds

    static func addHold(_ session: Session) throws(AdminError) {
        guard let since = session.arguments.since?.time(now: session.console.now()),
            let reason = session.arguments.keeping.reason
        else { throw .usage("hold add: needs --since and --reason", hint: "\(Verb.program) help hold add") }
        let json = try session.ask(
            "POST", "holds", body: ["since": .string(since.description), "reason": .string(reason)])
        try session.print(json) { () throws(AdminError) in
            let hold: Hold = try session.decode(json)
            return "Hold \(hold.id): nothing since \(TimeText.absolute(hold.since)) is pruned.\n"
        }
    }

    static func listHolds(_ session: Session) throws(AdminError) {
        let released = session.arguments.keeping.showsReleased
        let json = try session.ask("GET", "holds", query: released ? [("released", "true")] : [])
        try session.print(json) { () throws(AdminError) in
            let holds: [Hold] = try session.decode(json)
            var table = session.makeTable(
                ["ID", "SINCE", "MADE", "BY", "RELEASED", "REASON"], rightAligned: ["ID"])
            for hold in holds {
                table.append([
                    "\(String(hold.id))", "\(TimeText.absolute(hold.since))",
                    "\(TimeText.both(hold.at, now: session.console.now()))", TextTable.Cell(hold.actor),
                    TextTable.Cell(hold.releasedAt.map { TimeText.absolute($0) }),
                    TextTable.Cell(hold.reason),
                ])
            }
            return table.text
        }
    }

    static func releaseHold(_ session: Session) throws(AdminError) {
        try session.confirm("What hold \(session.target) keeps may be pruned from now on.")
        let json = try session.ask("POST", "holds", session.target, "release")
        try session.print(json) { () throws(AdminError) in
            let hold: Hold = try session.decode(json)
            return "Released hold \(hold.id).\n"
        }
    }

    // MARK: Backups

    /// The copy gets its name when the audit has it: one that nobody wrote down is not made.
    static func backup(_ session: Session) throws(AdminError) {
        var json: [UInt8] = []
        var refusal: AdminError?
        do throws(RecordsError) {
            let path = absolute(session.target)
            _ = try Backup.make(of: session.directory, at: path, replaces: session.arguments.isForced) {
                (backup) throws(RecordsError) in
                do throws(AdminError) {
                    json = try session.ask(
                        "POST", "backups", body: ["file": .string(path), "bytes": .integer(backup.bytes)])
                } catch {
                    refusal = error
                    throw RecordsError(.io, error.message)
                }
            }
        } catch {
            throw refusal ?? AdminError(error)
        }
        try session.print(json) { () throws(AdminError) in
            let backup: BackupAnswer = try session.decode(json)
            var text = "Backed up \(backup.bytes) bytes to \(safe(backup.file)), checked.\nNot in it:\n"
            for (name, why) in Backup.keysLeftOut { text += "  \(name): \(why)\n" }
            return text
        }
    }

    /// The audit is read elsewhere, so the path is a whole one.
    static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let folder = getcwd(nil, 0) else { return path }
        defer { free(folder) }
        return "\(String(cString: folder))/\(path)"
    }
}
