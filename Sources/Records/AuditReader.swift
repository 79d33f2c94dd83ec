import Digests
import FoundationEssentials
import SQLite

/// What the audit says that other checks lean on.
final class AuditReader: RowReader {
    /// Texts as bytes: what another takes for the same is not.
    struct Entry: Hashable {
        let at: Int64
        let action: [UInt8]
        let detail: [UInt8]

        init(_ at: Int64, _ action: String, _ detail: String?) {
            (self.at, self.action, self.detail) = (at, Array(action.utf8), Array((detail ?? "").utf8))
        }
    }

    struct Hold {
        let at: Int64
        let actor: String
        var releasedAt: Int64?
    }

    /// Prunings and restored backups.
    private(set) var told: Set<Entry> = []
    /// By their words, which begin with their number.
    private(set) var holds: [[UInt8]: Hold] = [:]
    /// What each node was left as, as JSON; nil when it was removed. By its id.
    private(set) var nodes: [String: String?] = [:]

    /// Rows that are older than the chain, what a row in the chain says of them, and whether one does.
    private(set) var older: Int64 = 0
    private var olderRows = SHA256()
    private var olderWords: String?
    private var bytes: [UInt8] = []

    /// Rows that no seal held when a process opened the folder.
    private(set) var exposed: Int64 = 0

    static let unsealedAction: StaticString = "found-unsealed"

    static func unsealedWords(_ rows: [(table: String, count: Int64)]) -> String {
        rows.map { "\($0.table) \($0.count)" }.joined(separator: ", ")
    }

    static let olderAction: StaticString = "audit-before-chain"

    /// Of rows that are older than the chain, for the row that says so and for the check of it.
    static func olderWords(_ count: Int64, _ digest: [UInt8]) -> String {
        "\(count) rows, SHA-256 \(RowHash.hex(digest))"
    }

    func stands(_ row: borrowing Row, _ id: Int64) throws(SQLiteError) -> ChainFault? {
        older += 1
        bytes.removeAll(keepingCapacity: true)
        RowHash.append(row, to: &bytes)
        bytes.withUnsafeBytes { olderRows.add($0) }
        try note(row)
        return nil
    }

    func follows(_ row: borrowing Row, _ id: Int64) throws(SQLiteError) -> ChainFault? {
        try note(row)
        let action = try row.text(4)
        let detail = try row.textOrNil(10)
        switch action {
        case Self.olderAction.description where olderWords == nil: olderWords = detail ?? ""
        case "history-prune", "history-prune-begin", "restore":
            told.insert(Entry(try row.integer(1), action, detail))
        case Self.unsealedAction.description:
            for word in (detail ?? "").utf8.split(whereSeparator: { $0 == 32 || $0 == 44 }) {
                exposed = exposed.adding(Int64(String(decoding: word.prefix(20), as: UTF8.self)) ?? 0)
            }
        case "hold-add":
            let words = Array((detail ?? "").utf8)
            guard holds[words] == nil else { return ChainFault("audit", id, "adds a hold a second time") }
            holds[words] = Hold(at: try row.integer(1), actor: try row.text(2))
        case "hold-release":
            let words = Array((detail ?? "").utf8)
            guard let hold = holds[words], hold.releasedAt == nil else {
                return ChainFault("audit", id, "releases a hold that there was not")
            }
            holds[words]?.releasedAt = try row.integer(1)
        default: break
        }
        return nil
    }

    private func note(_ row: borrowing Row) throws(SQLiteError) {
        // A change of the node itself: of a mapping there would be its id, and of nothing no record.
        guard row.isNull(7), let node = try row.textOrNil(5), !row.isNull(8) || !row.isNull(9) else { return }
        nodes[node] = .some(try row.textOrNil(9))
    }

    /// Of rows that are older than the chain.
    func olderFault() -> ChainFault? {
        guard let words = olderWords else { return nil }
        var digest = [UInt8](repeating: 0, count: SHA256.bytes)
        olderRows.finish(into: &digest)
        return words == Self.olderWords(older, digest)
            ? nil : ChainFault("audit", 1, "of before the chain: another row says \(words)")
    }

    var isOlderProven: Bool { olderWords != nil }
}

/// Which routes there are.
final class RouteReader: RowReader {
    private(set) var ids: Set<Int64> = []

    func stands(_ row: borrowing Row, _ id: Int64) -> ChainFault? { nil }

    func follows(_ row: borrowing Row, _ id: Int64) throws(SQLiteError) -> ChainFault? {
        ids.insert(id)
        guard UInt32(exactly: try row.integer(4)) != nil else {
            return ChainFault("routes", id, "has a mapping that no server gives")
        }
        return nil
    }
}
