import Foundation
import SQLite
import Support

/// A connection as the database has it, read past the server: SQLite alone has the say.
struct HistoryRow: Equatable, CustomStringConvertible {
    let id: Int64
    let client: [UInt8]
    let clientPort: Int
    let node: String
    let kind: String
    let mapping: Int
    let mappingName: String?
    let target: String
    let identity: [UInt8]
    /// Nil while it is open.
    let end: End?

    struct End: Equatable {
        let reason: String
        let up: Int64
        let down: Int64
        let nodeUp: Int64?
        let nodeDown: Int64?
        let durationMicroseconds: Int64
        let flags: Int64

        var isRecovered: Bool { flags & 1 != 0 }
    }

    var description: String {
        let end = end.map {
            "\($0.reason) \($0.up)/\($0.down), node \($0.nodeUp ?? -1)/\($0.nodeDown ?? -1), flags \($0.flags)"
        }
        return "\(id) port \(clientPort) \(node) \(kind) \(mapping) \(target): \(end ?? "open")"
    }
}

extension ManagedFleet {
    var databasePath: String { "\(data)/goproxy.db" }

    func withDatabase<Result>(_ body: (Database) throws -> Result) throws -> Result {
        try body(try Database(path: databasePath, mode: .readOnly))
    }

    /// All connections in the order of their openings; those after `id`.
    func history(after id: Int64 = 0) throws -> [HistoryRow] {
        try withDatabase { database in
            try database.query(
                """
                SELECT id, client_port, node_name, kind, mapping, mapping_name, target, identity,
                    reason, up, down, node_up, node_down, duration, flags, client
                FROM history WHERE id > ? ORDER BY id
                """, id
            ) { (row) throws(SQLiteError) in
                let reason = try row.textOrNil(8)
                return HistoryRow(
                    id: try row.integer(0), client: try row.blob(15), clientPort: Int(try row.integer(1)),
                    node: try row.text(2),
                    kind: try row.text(3), mapping: Int(try row.integer(4)),
                    mappingName: try row.textOrNil(5),
                    target: try row.text(6), identity: try row.blob(7),
                    end: reason == nil
                        ? nil
                        : HistoryRow.End(
                            reason: reason!, up: try row.integer(9), down: try row.integer(10),
                            nodeUp: try row.integerOrNil(11), nodeDown: try row.integerOrNil(12),
                            durationMicroseconds: try row.integer(13), flags: try row.integer(14)))
            }
        }
    }

    /// The record of the connection of this client, once it has an end.
    func record(of client: Int, within limit: Duration = .seconds(20)) throws -> HistoryRow {
        var last: [HistoryRow] = []
        return try eventually(
            "the connection from port \(client) ends on record", within: limit, evidence: { "\(last)" }
        ) {
            last = try history()
            return last.last { $0.clientPort == client && $0.end != nil }
        }
    }

    /// Number of notes of this kind and detail.
    func notes(_ kind: String, _ detail: String? = nil) throws -> Int {
        try withDatabase { database in
            try database.query("SELECT kind, detail FROM notes ORDER BY id") { (row) throws(SQLiteError) in
                (try row.text(0), try row.textOrNil(1))
            }.count { $0.0 == kind && (detail == nil || $0.1 == detail) }
        }
    }
}

extension ManagedFleet {
    /// How many were refused for this cause, in all minutes that are on record.
    func refusals(_ cause: String) throws -> Int64 {
        try withDatabase { database in
            try database.query(
                "SELECT count FROM notes WHERE kind = 'refusals' AND detail = ?", cause
            ) { (row) throws(SQLiteError) in try row.integer(0) }.reduce(0, +)
        }
    }
}

extension Socket {
    /// Of this end.
    func localPort() throws -> Int { try Endpoint(boundTo: descriptor, domain: "tcp").port }
}

/// Holds the database's write lock, as another program might.
final class DatabaseLock {
    private let program: Program

    init(_ path: String) throws {
        program = try Program("/usr/bin/sqlite3", [path], keepInputOpen: true)
        try program.write(Array(".timeout 5000\nBEGIN IMMEDIATE;\nSELECT 'locked';\n".utf8))
        _ = try program.waitForOutput("locked")
    }

    func release() throws {
        try program.write(Array("ROLLBACK;\n.quit\n".utf8))
        try program.waitForExit()
    }
}

extension ManagedFleet {
    func lockDatabase() throws -> DatabaseLock { try DatabaseLock(databasePath) }
}
