import Foundation
import Records
import SQLite
import Testing

/// A history that a test makes up: connections at times of its choice, sealed when it says so, in a real store.
final class Past {
    let scratch = Scratch()
    private(set) var store: Store
    private(set) var outcomes: Outcomes
    private var route: Int64 = 0
    /// Noon of some day.
    static let start = Timestamp(microseconds: 1_787_000_000_000_000)

    init() throws {
        store = try Store.open(directory: scratch.directory, sealsEverySeconds: 0)
        outcomes = Outcomes(store.history)
        route = store.history.newRouteID()
        append([.route(.sample(route))])
    }

    deinit { store.close() }

    var path: String { scratch.path(Store.fileName) }

    static func hour(_ number: Int) -> Timestamp { start.adding(seconds: Int64(number) * 3_600) }

    func append(_ events: [HistoryEvent]) {
        outcomes.waitForDurable(store.history.append(events))
    }

    /// Opens so many connections at the hour, half a second apart. Answers their ids.
    @discardableResult
    func open(_ count: Int, hour: Int) -> [Int64] {
        let ids = (0..<count).map { _ in store.history.newConnectionID() }
        append(
            ids.enumerated().map { place, id in
                .opened(
                    .sample(
                        id, route: route,
                        at: Timestamp(microseconds: Self.hour(hour).microseconds + Int64(place) * 500_000),
                        client: ClientPlace(ipv4: 0x0a00_0000 | UInt32(id % 5_000), port: 40_000)))
            })
        return ids
    }

    func close(_ ids: [Int64], hour: Int) {
        append(
            ids.map {
                .closed(
                    Closed(
                        connection: $0, at: Self.hour(hour), durationMicroseconds: 1_000, up: $0,
                        down: 2 * $0,
                        reason: .clientEOF))
            })
    }

    /// Opened and closed within the hour, and sealed.
    @discardableResult
    func hour(_ number: Int, connections: Int = 10) throws -> [Int64] {
        let ids = open(connections, hour: number)
        close(ids, hour: number)
        try seal()
        return ids
    }

    /// The store seals after every batch; what is answered now was sealed before.
    func seal() throws {
        try store.addNodeTag()
        try store.addNodeTag()
    }

    /// The database closed, with its last seal.
    func end() { store.close() }

    func reopen() throws {
        store.close()
        store = try Store.open(directory: scratch.directory, sealsEverySeconds: 0)
        outcomes = Outcomes(store.history)
    }

    var key: [UInt8] {
        get throws { [UInt8](try Data(contentsOf: URL(filePath: scratch.path("seal-verify.key")))) }
    }

    func verifier(key hasKey: Bool = true) throws -> ChainVerifier {
        var verifier = ChainVerifier(path: path)
        if hasKey { verifier.keys = [try key] }
        return verifier
    }

    func verify(key hasKey: Bool = true, anchors: [Anchor] = []) throws -> ChainReport {
        var verifier = try verifier(key: hasKey)
        verifier.anchors = anchors
        return try verifier.run()
    }

    /// What the server would have logged at each seal.
    func anchors() throws -> [Anchor] { try anchorLines().compactMap { Anchor(line: $0) } }

    func anchorLines() throws -> [String] {
        let database = try Database(path: path, mode: .readOnly)
        return try database.query("SELECT * FROM seals ORDER BY id") { (row) throws(SQLiteError) in
            var line =
                "2026-08-22T12:00:00Z host goproxy-server[7]: info history-head seal=\(try row.integer(0))"
            for (place, table) in ["routes", "opened", "closed", "notes", "audit"].enumerated() {
                let head = try row.blob(Int32(3 + 2 * place)).map { byte in
                    String(repeating: "0", count: byte < 16 ? 1 : 0) + String(byte, radix: 16)
                }
                line += " \(table)=\(try row.integer(Int32(2 + 2 * place))):\(head.joined())"
            }
            return line
        }
    }

    /// What somebody does who can write to the file.
    func tamper(_ body: (Database) throws -> Void) throws {
        store.close()
        let database = try Database(path: path, mode: .readWrite)
        let triggers = try database.query("SELECT sql FROM sqlite_schema WHERE type = 'trigger'") {
            (row) throws(SQLiteError) in try row.text(0)
        }
        try database.run(
            script: """
                DROP TRIGGER IF EXISTS routes_are_final; DROP TRIGGER IF EXISTS opened_is_final;
                DROP TRIGGER IF EXISTS closed_is_final; DROP TRIGGER IF EXISTS notes_are_final;
                DROP TRIGGER IF EXISTS audit_is_final; DROP TRIGGER IF EXISTS audit_is_kept;
                """)
        try body(database)
        // As they were: a schema that was changed is found before anything else.
        for trigger in triggers { try database.run(script: trigger) }
    }

    func count(_ table: String) throws -> Int64 {
        let database = try Database(path: path, mode: .readOnly)
        return switch table {
        case "opened": try database.pragma("SELECT count(*) FROM opened")
        case "closed": try database.pragma("SELECT count(*) FROM closed")
        case "seals": try database.pragma("SELECT count(*) FROM seals")
        default: try database.pragma("SELECT count(*) FROM notes")
        }
    }
}

extension Store {
    /// A write that leaves a row in the audit.
    func addNodeTag() throws(RecordsError) {
        try change { (transaction) throws(RecordsError) in try transaction.audit("test", detail: "sealed") }
    }
}

extension ChainHash {
    /// As the chain hashes it: every column but the last.
    mutating func add(_ row: borrowing Row) -> Int64 {
        for column in 0..<(row.columnCount - 1) {
            row.withValue(column) { value in
                switch value {
                case .null: addNull()
                case .integer(let number): add(number)
                case .text(let text): add(String(decoding: text, as: UTF8.self))
                case .blob(let blob): add([UInt8](blob))
                case .real: Issue.record("a real number")
                }
            }
        }
        return endRow()
    }
}
