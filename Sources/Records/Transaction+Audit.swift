import FoundationEssentials
import SQLite

extension Transaction {
    mutating func audit(
        _ action: StaticString, before: NodeRecord?, after: NodeRecord?, detail: String? = nil
    ) throws(RecordsError) {
        // A rename is found by the name that it had.
        let node = before ?? after
        try write(
            action, nodeID: node?.id, nodeName: node?.name, mapping: nil, before: Self.json(before),
            after: Self.json(after), detail: detail)
    }

    mutating func audit(
        _ action: StaticString, nodeID: String, before: MappingRecord?, after: MappingRecord?
    ) throws(RecordsError) {
        let mapping = before ?? after
        try write(
            action, nodeID: nodeID, nodeName: mapping?.node, mapping: mapping?.id, before: Self.json(before),
            after: Self.json(after), detail: nil)
    }

    mutating func write(
        _ action: StaticString, nodeID: String?, nodeName: String?, mapping: UInt32?, before: String?,
        after: String?, detail: String?
    ) throws(RecordsError) {
        let text = detail.map { Limits.cut($0, bytes: Limits.auditDetailBytes) }
        let id = rows.chains.heads.lastAudit + 1
        var hash = rows.chains.heads.audit.hash
        hash.add(id)
        hash.add(now.microseconds)
        hash.add(actor.name)
        hash.add(actor.uid.map(Int64.init))
        hash.add(action.description)
        hash.add(nodeID)
        hash.add(nodeName)
        hash.add(mapping.map(Int64.init))
        hash.add(before)
        hash.add(after)
        hash.add(text)
        let chain = hash.endRow()
        try run(
            """
            INSERT INTO audit (id, at, actor, uid, action, node, node_name, mapping, before, after, detail, chain)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """, id, now, actor.name, actor.uid, action.description, nodeID, nodeName, mapping, before, after,
            text, chain)
        rows.chains.heads.lastAudit = id
        rows.chains.heads.audit = Chains.Chain(id: id, hash: hash)
    }

    private static func json(_ record: (some Encodable)?) -> String? {
        guard let record else { return nil }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Records hold texts, numbers and dictionaries of texts: nothing that JSON refuses.
        return (try? encoder.encode(record)).map { String(decoding: $0, as: UTF8.self) }
    }

    // MARK: Statements

    @discardableResult
    func run(_ sql: StaticString, _ values: any Bindable...) throws(RecordsError) -> Int {
        do { return try database.execute(sql, list: values) } catch { throw RecordsError(error) }
    }

    func number(_ sql: StaticString) throws(RecordsError) -> Int64 {
        try records { () throws(SQLiteError) in
            try database.first(sql) { (row) throws(SQLiteError) in try row.integer(0) } ?? 0
        }
    }
}
