import Foundation
import SQLite
import Support

extension HistoryRow {
    /// Nil for a client of a Unix socket.
    var address: UInt32? { client.count == 4 ? client.reduce(0 as UInt32) { $0 << 8 | UInt32($1) } : nil }
}

/// How the record differs from what the client knows; nil if it does not.
private func difference(_ call: Call, _ row: HistoryRow?, isHeard: Bool) -> String? {
    if let fault = call.fault { return fault }
    guard let row else {
        return call.received > 0 || isHeard ? "a byte passed and there is no record" : nil
    }
    guard row.kind == call.kind.rawValue else { return "another kind" }
    guard let end = row.end else { return "it has no end" }
    // What came back had been counted on its way up before it left the server. Of the way down, the last write to the client
    // may be done and not counted: the kernel lets the client run first.
    let uncounted = call.kind == .listener ? call.latest : 0
    guard (call.received...call.sent).contains(Int(end.up)) else { return "the count up" }
    guard (call.received - uncounted...call.sent).contains(Int(end.down)) else {
        return "the count down"
    }
    if end.reason == "server-crash", !end.isRecovered { return "a crash that was not recovered from" }
    guard call.end == .orderly else { return nil }
    let isWhole = end.up == end.down || end.isRecovered
    return isWhole && ["client-eof", "server-crash"].contains(end.reason) ? nil : "it ended in order"
}

extension ManagedFleet {
    /// Of these connections and all others, once the server has ended in order: each has one record with an end, and it
    /// says what its client knows.
    func requireRecords(of calls: [Call], heard: Set<UInt32>) throws {
        let rows = try history()
        if let open = rows.first(where: { $0.end == nil }) { throw Failure("it has no end: \(open)") }
        let byAddress = Dictionary(grouping: rows, by: { $0.address ?? 0 })
        for call in calls {
            let rows = byAddress[call.address] ?? []
            guard rows.count < 2 else { throw Failure("two records: \(call)\n\(rows)") }
            try requireRecord(rows.first, of: call, isHeard: heard.contains(call.address))
        }
        try requireIntegrity()
        try admin("audit", "verify")
    }

    func requireRecord(_ row: HistoryRow?, of call: Call, isHeard: Bool) throws {
        guard let difference = difference(call, row, isHeard: isHeard) else { return }
        throw Failure("\(difference): \(call)\n\(row.map(\.description) ?? "no row")")
    }

    /// SQLite's own program has the say.
    func requireIntegrity() throws { try checkIntegrity(databasePath) }

    /// Those of this cause, in microseconds since the epoch.
    func gaps(_ cause: String) throws -> [(from: Int64, to: Int64)] {
        try withDatabase { database in
            try database.query(
                "SELECT from_at, to_at FROM notes WHERE kind = 'gap' AND detail = ? ORDER BY id", cause
            ) { (row) throws(SQLiteError) in (from: try row.integer(0), to: try row.integer(1)) }
        }
    }

    /// All connections up to this one had ended when the server started.
    func lastStart() throws -> Int64 {
        try withDatabase { database in
            try database.first("SELECT max(connection) FROM notes WHERE kind = 'start'") {
                (row) throws(SQLiteError) in try row.integer(0)
            } ?? 0
        }
    }
}

func checkIntegrity(_ database: String) throws {
    let said = try run("/usr/bin/sqlite3", ["-readonly", database, "PRAGMA integrity_check"]).succeeded()
    guard said == ["ok"] else { throw Failure("integrity: \(said)") }
}
