import SQLite

/// The steps of a pruning, each short.
extension Transaction {
    /// Behind the seal rows may be missing from now on. It says which openings stay, and is sealed with the note itself: a note
    /// that no seal holds excuses nothing.
    mutating func beginPruning(_ plan: PrunePlan, _ carried: [PrunePlan.Carried]) throws(RecordsError) {
        var note = PruneNote(phase: .begun, seal: plan.seal.id, after: plan.from.id)
        (note.carried, note.digest) = (Int64(carried.count), Pruner.digest(carried))
        try self.note(Note(at: now, kind: .pruned, detail: note.detail))
        try audit("history-prune-begin", detail: "up to seal \(note.seal): \(note.carried) openings stay")
        try run("UPDATE seals SET pruned_at = ? WHERE id = ?", now, plan.seal.id)
        try seal()
    }

    mutating func endPruning(_ note: PruneNote) throws(RecordsError) {
        try self.note(Note(at: now, kind: .pruned, count: note.opened, detail: note.detail))
        try audit("history-prune", detail: note.auditWords)
    }

    /// What went of a pruning that was stopped: the next one ends it, and tells of the rest.
    mutating func notePart(of plan: PrunePlan, opened: Int64, closed: Int64) throws(RecordsError) {
        try audit(
            "history-prune",
            detail: """
                not all up to seal \(plan.seal.id) yet: \(opened) openings and \(closed) closings deleted
                """)
    }

    /// From the newest on, until the time of a step or so many rows are used up. Answers how many rows went, and where to go on.
    func deleteOpenings(_ plan: PrunePlan, below: Int64, rows: Int) throws(RecordsError) -> (Int, Int64?) {
        try delete(from: min(below, plan.seal.opened &+ 1), rows: rows) { (place) throws(SQLiteError) in
            // The id where this part ends; carried ones are passed over, and count as work too.
            let end = try database.first(
                "SELECT min(id) FROM (SELECT id FROM opened WHERE id < ? ORDER BY id DESC LIMIT 64)", place
            ) { (row) throws(SQLiteError) in try row.integerOrNil(0) }
            guard let end, let end else { return nil }
            let count = try database.execute(
                """
                DELETE FROM opened WHERE id >= ? AND id < ?
                    AND EXISTS (SELECT 1 FROM closed AS c WHERE c.connection = opened.id AND c.id <= ?)
                """, end, place, plan.seal.closed)
            return (count, end)
        }
    }

    func deleteClosings(_ plan: PrunePlan, below: Int64, rows: Int) throws(RecordsError) -> (Int, Int64?) {
        try delete(from: min(below, plan.seal.closed &+ 1), rows: rows) { (place) throws(SQLiteError) in
            let end = try database.first(
                "SELECT min(id) FROM (SELECT id FROM closed WHERE id < ? ORDER BY id DESC LIMIT 64)", place
            ) { (row) throws(SQLiteError) in try row.integerOrNil(0) }
            guard let end, let end else { return nil }
            return (try database.execute("DELETE FROM closed WHERE id >= ? AND id < ?", end, place), end)
        }
    }

    /// Answers how many went.
    func thinSeals(_ note: PruneNote, rows: Int) throws(RecordsError) -> Int {
        try run(
            "DELETE FROM seals WHERE id IN (SELECT id FROM seals WHERE id < ? AND id <> ? ORDER BY id LIMIT ?)",
            note.seal, note.after, rows)
    }

    private func delete(
        from start: Int64, rows: Int, _ part: (Int64) throws(SQLiteError) -> (count: Int, end: Int64)?
    ) throws(RecordsError) -> (Int, Int64?) {
        let end = Monotonic.nanoseconds + UInt64(Pruner.stepMicroseconds) * 1_000
        return try records { () throws(SQLiteError) in
            var (count, place, parts) = (0, start, 0)
            repeat {
                guard let done = try part(place) else { return (count, nil) }
                count += done.count
                place = done.end
                parts += 1
            } while parts * 64 < rows && Monotonic.nanoseconds < end
            return (count, place)
        }
    }

    /// Moves at most so many free pages to the file's end and cuts them off. Answers how many are left.
    func shrink(pages: Int) throws(RecordsError) -> Int64 {
        let end = Monotonic.nanoseconds + UInt64(Pruner.stepMicroseconds) * 1_000
        return try records { () throws(SQLiteError) in
            // Without the setting nothing moves.
            guard try database.pragma("PRAGMA auto_vacuum") == 2 else { return 0 }
            var done = 0
            repeat {
                try database.execute("PRAGMA incremental_vacuum(8)")
                done += 8
            } while done < pages && Monotonic.nanoseconds < end
            return try database.pragma("PRAGMA freelist_count")
        }
    }
}
