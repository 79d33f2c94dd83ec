import SQLite

/// A legal hold: nothing from `since` on is pruned before it is released. Encodes with every key.
package struct Hold: Codable, Equatable, Sendable, Identifiable {
    package let id: Int64
    package let at: Timestamp
    package let since: Timestamp
    package let reason: String
    package let actor: String
    /// Nil while it holds.
    package let releasedAt: Timestamp?

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(id, forKey: .id)
        try values.encode(at, forKey: .at)
        try values.encode(since, forKey: .since)
        try values.encode(reason, forKey: .reason)
        try values.encode(actor, forKey: .actor)
        try values.encode(releasedAt, forKey: .releasedAt)
    }
}

extension Hold {
    init(_ row: borrowing Row) throws(SQLiteError) {
        id = try row.integer(0)
        at = try row.time(1)
        since = try row.time(2)
        reason = try row.text(3)
        actor = try row.text(4)
        releasedAt = try row.timeOrNil(5)
    }
}

extension Reader {
    /// In the order in which they were made; released ones too, if asked for.
    package func holds(released: Bool = false) throws(RecordsError) -> [Hold] {
        try records { () throws(SQLiteError) in
            try database.query(
                "SELECT * FROM holds WHERE released_at IS NULL OR ? ORDER BY id", released, row: Hold.init)
        }
    }

    /// The highest id that a hold ever had; 0 for none.
    func newestHold() throws(RecordsError) -> Int64 {
        try records { () throws(SQLiteError) in
            try database.pragma("SELECT coalesce(max(id), 0) FROM holds")
        }
    }

    package func hold(id: Int64) throws(RecordsError) -> Hold? {
        try records { () throws(SQLiteError) in
            try database.first("SELECT * FROM holds WHERE id = ?", id, row: Hold.init)
        }
    }
}

extension Transaction {
    /// What is pruned already does not come back: the answer's `since` may lie before what there is.
    @discardableResult
    package mutating func addHold(since: Timestamp, reason: String) throws(RecordsError) -> Hold {
        let isPlain = reason.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 }
        guard !reason.isEmpty, reason.utf8.count <= Limits.detailBytes, isPlain else {
            throw RecordsError(
                .invalid, "reason: 1 to \(Limits.detailBytes) bytes of text in one line",
                hint: "say who asked for it, and where the request is kept")
        }
        try run(
            "INSERT INTO holds (at, since, reason, actor) VALUES (?, ?, ?, ?)", now, since, reason, actor.name
        )
        guard let hold = try reader.hold(id: database.lastInsertedID) else {
            throw RecordsError(.corrupt, "the new hold is not there")
        }
        try audit("hold-add", detail: Self.words(hold))
        return hold
    }

    @discardableResult
    package mutating func releaseHold(id: Int64) throws(RecordsError) -> Hold {
        guard let hold = try reader.hold(id: id) else {
            throw RecordsError(.notFound, "no hold \(id)", hint: "goproxy-admin hold list")
        }
        if let released = hold.releasedAt {
            throw RecordsError(.conflict, "hold \(id) was released at \(released)")
        }
        try run("UPDATE holds SET released_at = ? WHERE id = ?", now, id)
        try audit("hold-release", detail: Self.words(hold))
        guard let released = try reader.hold(id: id) else {
            throw RecordsError(.corrupt, "the hold is not there")
        }
        return released
    }

    static func words(_ hold: Hold) -> String {
        "hold \(hold.id): nothing since \(hold.since) is pruned: \(hold.reason)"
    }
}
