import Records

/// The database as a reader of the server opens it.
extension Doctor {
    mutating func database() {
        guard hasDatabase else {
            return warn("database", "there is none yet", "start goproxy-server, or add the first node")
        }
        let facts: DatabaseFacts
        do throws(RecordsError) {
            facts = try DatabaseFacts(path: "\(directory)/\(Store.fileName)")
        } catch {
            return fail(
                "database", error.message, error.hint ?? "goproxy-admin restore FILE, with the server stopped"
            )
        }
        guard facts.schemaFaults.isEmpty else {
            return fail(
                "schema", "not what this program made: \(facts.schemaFaults.joined(separator: ", "))",
                "goproxy-admin audit verify; stop the server, and goproxy-admin restore FILE; keep this one")
        }
        guard facts.faults.isEmpty else {
            return fail(
                "database",
                "the file is damaged: \(facts.faults.count) faults, the first: \(facts.faults[0])",
                "stop the server, and goproxy-admin restore FILE; keep the damaged one")
        }
        settings(facts)
        space(facts)
        journal(facts)
        chain(facts)
        backups(facts)
    }

    private mutating func settings(_ facts: DatabaseFacts) {
        let detail =
            "schema \(facts.schema), journal \(facts.journalMode), synchronous \(facts.synchronous == 2 ? "full" : "\(facts.synchronous)"), file sound"
        if facts.journalMode != "wal" {
            warn("database", detail, "it becomes wal with the server's next start")
        } else if facts.synchronous != 2 {
            fail("database", detail, "a commit may be lost at a power cut: use this program's own SQLite")
        } else if facts.schema < facts.knownSchema {
            warn(
                "database", "\(detail); the newest is \(facts.knownSchema)",
                "the server migrates it when it starts")
        } else {
            ok("database", detail)
        }
        if let newest = facts.newest, newest > now.adding(seconds: 60) {
            fail(
                "clock", "records are newer than now: \(TimeText.both(newest, now: now))",
                "the clock was set back: synchronise it")
        }
    }

    private mutating func space(_ facts: DatabaseFacts) {
        let detail = "\(bytesText(facts.bytes)), \(bytesText(facts.freeBytes)) of it free"
        if facts.autoVacuum == 2 {
            ok("size", detail)
        } else {
            warn(
                "size", "\(detail); free pages are not given back (auto_vacuum \(facts.autoVacuum))",
                "stop the server, goproxy-admin backup FILE, goproxy-admin restore FILE")
        }
    }

    /// What is on disk and not in the database yet: for a moment only, while a server runs.
    private mutating func journal(_ facts: DatabaseFacts) {
        if facts.strangeOpenings > 0 {
            warn(
                "journal", "openings.journal holds \(facts.strangeOpenings) openings of another database",
                "the server's next start keeps the file aside: put it beside the database that it belongs to")
        }
        guard facts.waitingOpenings > 0, holder == nil else { return }
        warn(
            "journal",
            "openings.journal holds \(facts.waitingOpenings) openings that the database does not have yet",
            "the server's next start takes them; keep the file with the database until then")
    }

    private mutating func chain(_ facts: DatabaseFacts) {
        if let seal = facts.unfinishedPruning {
            warn(
                "history", "a pruning up to seal \(seal) was begun and has not ended",
                "it ends with the next one")
        }
        guard let seal = facts.lastSeal else {
            return warn(
                "chain", "nothing is sealed yet", "the server seals within a minute of the first record")
        }
        let detail =
            "seal \(seal.id) of \(TimeText.both(seal.at, now: now)), \(facts.unsealedRows) records since"
        let isLate = now.distance(from: seal.at) > 300_000_000
        if status != nil, facts.unsealedRows > 0, isLate {
            fail("chain", detail, "the server has not sealed for minutes: look at its log")
        } else {
            ok("chain", "\(detail); goproxy-admin audit verify checks it")
        }
    }

    private mutating func backups(_ facts: DatabaseFacts) {
        if facts.holds > 0 { ok("holds", "\(facts.holds): goproxy-admin hold list") }
        guard let last = facts.lastBackup else {
            return warn("backup", "none was ever made", "goproxy-admin backup FILE")
        }
        let text = "the last one \(TimeText.both(last, now: now))"
        guard now.distance(from: last) > 7 * 86_400 * 1_000_000 else { return ok("backup", text) }
        warn("backup", text, "goproxy-admin backup FILE")
    }
}
