import SQLite

/// One change of the records: all of it, or none. Valid only inside the closure that it is given to, on the writer's thread.
///
/// Each operation checks first, then writes, and adds its audit row; several in one closure stand or fall together.
package struct Transaction: ~Copyable {
    let database: Database
    let rows: HistoryRows
    package let actor: Actor
    /// One time for all that the transaction writes.
    package let now: Timestamp
    private let sealer: Sealer?

    init(_ database: Database, rows: HistoryRows, actor: Actor, now: Timestamp, sealer: Sealer?) {
        self.database = database
        self.rows = rows
        self.actor = actor
        self.now = now
        self.sealer = sealer
    }

    /// Seals all chains as they stand now, with what this transaction has written so far.
    mutating func seal() throws(RecordsError) {
        guard let sealer else { throw RecordsError(.busy, "nothing can be sealed yet") }
        try sealer.insert(at: now)
    }

    /// Sees the transaction's own changes.
    package var reader: Reader { Reader(database) }

    /// For what is no change of a record: a refused login, a restored backup. `detail` is cut at
    /// `Limits.auditDetailBytes`.
    package mutating func audit(
        _ action: StaticString, node: NodeRecord? = nil, mapping: UInt32? = nil, detail: String? = nil
    ) throws(RecordsError) {
        try write(
            action, nodeID: node?.id, nodeName: node?.name, mapping: mapping, before: nil, after: nil,
            detail: detail)
    }

    /// Something that the history must say beside the connections.
    package mutating func note(_ note: Note) throws(RecordsError) {
        do { try rows.insert(note) } catch { throw RecordsError(error) }
    }
}
