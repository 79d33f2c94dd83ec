import Foundation
import Records
import SQLite

/// What the readers of a database show: all of the history and the audit, and answers to questions of each kind.
struct Shown: Equatable {
    /// By their ids.
    private var connections: [Int64: ConnectionRecord] = [:]
    private var gaps: [HistoryGap] = []
    private var audit: [Int64: String] = [:]
    /// The connections that a question finds.
    private var answers: [String: [Int64]] = [:]
    private var numbers: [String] = []
    /// Why not all could be shown.
    private(set) var failure: String?

    init(_ directory: String) {
        do {
            let database = try Database(path: "\(directory)/\(Store.fileName)", mode: .readOnly)
            try database.execute("BEGIN")
            try read(Reader(database))
        } catch { failure = "\(error)" }
    }

    private mutating func read(_ reader: Reader) throws {
        for entry in try entries(reader, ConnectionFilter(), .oldest) {
            switch entry {
            case .connection(let record):
                connections[record.id] = record
                answers["\(record.id)"] = [record.id]
                let same = try reader.connection(id: record.id)
                if same != record { numbers.append("\(record.id): \(String(describing: same))") }
            case .gap(let gap): gaps.append(gap)
            }
        }
        var filters: [(String, ConnectionFilter)] = [("newest", ConnectionFilter())]
        func ask(_ name: String, _ set: (inout ConnectionFilter) -> Void) {
            var filter = ConnectionFilter()
            set(&filter)
            filters.append((name, filter))
        }
        for node in ["edge-00", "edge-01", "edge-02"] { ask(node) { $0.node = node } }
        for client in ["203.0.113.9", "10.0.0.0/8", "unix", "2001:db8::/32"] {
            ask(client) { $0.client = ClientRange(client) }
        }
        ask("listener") { $0.listener = "rdp" }
        ask("mapping") { $0.listener = "3" }
        ask("target") { $0.target = "127.0.0.1:3381" }
        ask("since") { $0.since = Past.hour(5) }
        ask("until") { $0.until = Past.hour(9) }
        for (name, filter) in filters {
            // What the question names may not be there.
            guard let found = try? entries(reader, filter, .newest) else { continue }
            answers[name] = found.compactMap {
                if case .connection(let record) = $0 { record.id } else { nil }
            }
        }
        for entry in try reader.audit(limit: 1_000) { audit[entry.id] = "\(entry)" }
        numbers += try reader.newestAudit(limit: 1_000).map { "\($0.id)" }
        for node in ["node-1", "node-2", "other-3"] {
            let found = try? reader.audit(AuditFilter(node: node), limit: 1_000)
            numbers.append("\(node) \(found?.map(\.id) ?? [])")
        }
        numbers.append("\(try reader.audit(AuditFilter(since: Past.hour(4)), limit: 1_000).map(\.id))")
        for key in TotalsKey.allCases {
            let part = try reader.totals(ConnectionFilter(), by: key)
            numbers += part.totals.map { "\(key) \($0.key) \($0.value)" }.sorted()
        }
        let history = try reader.historyNumbers()
        numbers.append(
            "\(history.connections) \(history.closed) \(history.gaps) \(history.refusals.sorted { $0.key < $1.key })"
        )
        numbers.append("\(try reader.closedTotals(after: 0))")
        numbers += try reader.holds(released: true).map { "\($0)" }
        numbers += try following(reader)
    }

    private func entries(
        _ reader: Reader, _ filter: ConnectionFilter, _ order: ConnectionOrder
    ) throws -> [HistoryEntry] {
        var all: [HistoryEntry] = []
        var cursor: Int64?
        for _ in 0..<1_000 {
            let page = try reader.history(filter, order: order, cursor: cursor)
            all += page.entries
            cursor = page.next
            if cursor == nil { return all }
        }
        return all
    }

    private func following(_ reader: Reader) throws -> [String] {
        guard let start = FollowCursor("0.0.0") else { return [] }
        return try reader.following(ConnectionFilter(), after: start).entries.map { "\($0)" }
    }

    var count: Int { connections.count }

    /// Up to what seals hold, whatever came after: rows that no seal holds yet are told of by their number.
    func holds(_ sealed: Shown, through last: Sealed) -> Bool {
        let known = connections.filter { $0.key <= last.opened }
        guard failure == nil, sealed.failure == nil,
            known.count == sealed.connections.count(where: { $0.key <= last.opened })
        else { return false }
        for (id, record) in known {
            guard let before = sealed.connections[id] else { return false }
            guard last.closed.contains(id) ? before == record : before.beginning == record.beginning else {
                return false
            }
        }
        for (name, ids) in sealed.answers {
            guard answers[name]?.filter({ $0 <= last.opened }) ?? [] == ids.filter({ $0 <= last.opened })
            else {
                return false
            }
        }
        let rows = { (all: [Int64: String]) in all.filter { $0.key <= last.audit } }
        var rest = gaps[...]
        for gap in sealed.gaps.prefix(last.gaps) {
            guard let place = rest.firstIndex(of: gap) else { return false }
            rest.remove(at: place)
        }
        return rows(audit) == rows(sealed.audit)
    }
}

/// Up to where seals hold what is shown.
struct Sealed {
    let opened: Int64
    /// Connections whose ends are sealed.
    let closed: Set<Int64>
    let audit: Int64
    let gaps: Int

    init(_ directory: String) throws {
        let database = try Database(path: "\(directory)/\(Store.fileName)", mode: .readOnly)
        let last = try database.first(
            "SELECT opened_id, closed_id, notes_id, audit_id FROM seals ORDER BY id DESC LIMIT 1"
        ) { (row) throws(SQLiteError) in
            [try row.integer(0), try row.integer(1), try row.integer(2), try row.integer(3)]
        }
        let ids = last ?? [0, 0, 0, 0]
        opened = ids[0]
        audit = ids[3]
        closed = Set(
            try database.query("SELECT connection FROM closed WHERE id <= ?", ids[1]) {
                (row) throws(SQLiteError) in try row.integer(0)
            })
        gaps = Int(
            try database.first("SELECT count(*) FROM notes WHERE kind = 'gap' AND id <= ?", ids[2]) {
                (row) throws(SQLiteError) in try row.integer(0)
            } ?? 0)
    }
}

extension ConnectionRecord {
    /// Without what follows from its end.
    fileprivate var beginning: [String] {
        [
            "\(id)", "\(openedAt)", node, nodeID, listener ?? "-", "\(mapping)", "\(kind)", listen, client,
            target, credential,
        ]
    }
}
