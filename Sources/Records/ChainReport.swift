/// What a verification found. Encodes with every key.
package struct ChainReport: Encodable, Equatable, Sendable {
    package struct Table: Encodable, Equatable, Sendable {
        package let name: String
        /// Rows whose chain holds.
        package var rows: Int64 = 0
        /// Of the last of them; 0 for none.
        package var last: Int64 = 0
        /// Rows at its end that no seal holds yet: whoever can write the file could have written them.
        package var unsealed: Int64 = 0
    }

    package internal(set) var tables: [Table] = []
    package internal(set) var seals: Int64 = 0
    /// The newest.
    package internal(set) var sealedAt: Timestamp?
    /// Seals that the verification key was held against; 0 without one.
    package internal(set) var sealsProven: Int64 = 0
    package internal(set) var anchors: Int64 = 0
    /// Seals that are not there because a backup was put in place, as a note says.
    package internal(set) var sealsReplaced: Int64 = 0
    /// Anchors of a database in whose place a backup was put.
    package internal(set) var anchorsReplaced: Int64 = 0
    /// Behind it the history was pruned; nil for never.
    package internal(set) var prunedUntil: Timestamp?
    /// Openings behind it that stay.
    package internal(set) var carried: Int64 = 0
    /// Rows of a pruning that has not ended: they are still there.
    package internal(set) var leaving: Int64 = 0
    /// Rows that no seal held when a process opened the folder, which took them as it found them.
    package internal(set) var exposed: Int64 = 0
    /// Rows of the audit that are older than its chain, and that no row of the chain tells of.
    package internal(set) var unchained: Int64 = 0
    package internal(set) var fault: ChainFault?

    /// In the order of a seal, but for the notes, which tell of the others.
    mutating func sortTables() {
        let order = ["notes", "routes", "opened", "closed", "audit"]
        tables.sort { order.firstIndex(of: $0.name) ?? 0 < order.firstIndex(of: $1.name) ?? 0 }
    }

    private enum CodingKeys: String, CodingKey {
        case tables, seals, sealedAt, sealsProven, sealsReplaced, anchors, anchorsReplaced, prunedUntil
        case carried, leaving, exposed, unchained, fault
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(tables, forKey: .tables)
        try values.encode(seals, forKey: .seals)
        try values.encode(sealedAt, forKey: .sealedAt)
        try values.encode(sealsProven, forKey: .sealsProven)
        try values.encode(sealsReplaced, forKey: .sealsReplaced)
        try values.encode(anchors, forKey: .anchors)
        try values.encode(anchorsReplaced, forKey: .anchorsReplaced)
        try values.encode(prunedUntil, forKey: .prunedUntil)
        try values.encode(carried, forKey: .carried)
        try values.encode(leaving, forKey: .leaving)
        try values.encode(exposed, forKey: .exposed)
        try values.encode(unchained, forKey: .unchained)
        try values.encode(fault, forKey: .fault)
    }
}

/// The first record that is not what it was, or is no longer there. Encodes with every key.
package struct ChainFault: Error, Encodable, Equatable, Sendable, CustomStringConvertible {
    package let table: String
    /// Of the row; nil where no row can be named.
    package let id: Int64?
    /// That the row speaks of, if it is there.
    package let connection: Int64?
    /// What is wrong with it.
    package let words: String

    init(_ table: String, _ id: Int64?, connection: Int64? = nil, _ words: String) {
        self.table = table
        self.id = id
        self.connection = connection
        self.words = words
    }

    package var description: String {
        let row = id.map { " row \($0)" } ?? ""
        let connection = connection.map { " (connection \($0))" } ?? ""
        return "\(table)\(row)\(connection): \(words)"
    }

    private enum CodingKeys: String, CodingKey { case table, id, connection, words }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(table, forKey: .table)
        try values.encode(id, forKey: .id)
        try values.encode(connection, forKey: .connection)
        try values.encode(words, forKey: .words)
    }
}
