import Records

/// A page of the history. `next` is the cursor of the next page, null at the end.
package struct HistoryAnswer: Codable, Equatable, Sendable {
    package let entries: [HistoryEntry]
    package let next: String?

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(entries, forKey: .entries)
        try values.encode(next, forKey: .next)
    }
}

/// Connections counted together, those with the most first.
package struct TopAnswer: Codable, Equatable, Sendable {
    package struct Entry: Codable, Equatable, Sendable {
        /// An address, a node's name, `node/listener`, or a target.
        package let name: String
        package let connections: Int64
        package let bytesUp: Int64
        package let bytesDown: Int64
    }

    package let by: String
    package let entries: [Entry]
    /// Of all, also those that are not among the entries.
    package let names: Int
    package let connections: Int64
    package let bytesUp: Int64
    package let bytesDown: Int64
    /// False when the time was over before all was counted.
    package let complete: Bool
    /// How far back it was counted.
    package let from: Timestamp?
    /// Where to count on; nil when all was counted.
    package let next: String?

    package init(
        _ key: TotalsKey, _ all: [String: ConnectionTotals], byConnections: Bool, limit: Int, next: String?,
        reached: Timestamp?
    ) {
        func rank(_ totals: ConnectionTotals) -> (Int64, Int64) {
            let bytes = totals.up + totals.down
            return byConnections ? (totals.connections, bytes) : (bytes, totals.connections)
        }
        let sorted = all.sorted {
            rank($0.value) == rank($1.value) ? $0.key < $1.key : rank($0.value) > rank($1.value)
        }
        var sum = ConnectionTotals()
        for totals in all.values { sum += totals }
        by = key.rawValue
        entries = sorted.prefix(limit).map {
            Entry(
                name: $0.key, connections: $0.value.connections, bytesUp: $0.value.up,
                bytesDown: $0.value.down)
        }
        names = all.count
        connections = sum.connections
        bytesUp = sum.up
        bytesDown = sum.down
        complete = next == nil
        from = reached
        self.next = next
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(by, forKey: .by)
        try values.encode(entries, forKey: .entries)
        try values.encode(names, forKey: .names)
        try values.encode(connections, forKey: .connections)
        try values.encode(bytesUp, forKey: .bytesUp)
        try values.encode(bytesDown, forKey: .bytesDown)
        try values.encode(complete, forKey: .complete)
        try values.encode(from, forKey: .from)
        try values.encode(next, forKey: .next)
    }
}

/// The history in numbers.
package struct HistoryStatsAnswer: Codable, Equatable, Sendable {
    package struct Head: Codable, Equatable, Sendable {
        package let table: String
        package let id: Int64
        package let hash: String
    }

    package struct Refusals: Codable, Equatable, Sendable {
        package let cause: String
        package let count: Int64
    }

    package struct Rows: Codable, Equatable, Sendable {
        package let table: String
        package let count: Int64
    }

    package let connections: Int64
    package let open: Int
    package let bytesUp: Int64
    package let bytesDown: Int64
    package let refusals: [Refusals]
    package let gaps: Int64
    package let oldest: Timestamp?
    package let newest: Timestamp?
    package let rows: [Rows]
    package let databaseBytes: Int
    package let heads: [Head]

    init(_ numbers: HistoryNumbers, open: Int, databaseBytes: Int) {
        connections = numbers.connections
        self.open = open
        bytesUp = numbers.up
        bytesDown = numbers.down
        refusals = numbers.refusals.sorted { $0.key < $1.key }.map {
            Refusals(cause: $0.key, count: $0.value)
        }
        gaps = numbers.gaps
        oldest = numbers.oldest
        newest = numbers.newest
        rows = numbers.rows.sorted { $0.key < $1.key }.map { Rows(table: $0.key, count: $0.value) }
        self.databaseBytes = databaseBytes
        heads = numbers.heads.map { Head(table: $0.table, id: $0.id, hash: $0.hash) }
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(connections, forKey: .connections)
        try values.encode(open, forKey: .open)
        try values.encode(bytesUp, forKey: .bytesUp)
        try values.encode(bytesDown, forKey: .bytesDown)
        try values.encode(refusals, forKey: .refusals)
        try values.encode(gaps, forKey: .gaps)
        try values.encode(oldest, forKey: .oldest)
        try values.encode(newest, forKey: .newest)
        try values.encode(rows, forKey: .rows)
        try values.encode(databaseBytes, forKey: .databaseBytes)
        try values.encode(heads, forKey: .heads)
    }
}

extension LiveConnection: Codable {
    private enum CodingKeys: String, CodingKey {
        case id, nodeID, node, mapping, listener, kind, client, target, openedAt, bytesUp, bytesDown
        case bytesPerSecondUp, bytesPerSecondDown
    }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            id: try values.decode(Int64.self, forKey: .id),
            nodeID: try values.decode(String.self, forKey: .nodeID),
            node: try values.decode(String.self, forKey: .node),
            mapping: try values.decode(UInt32.self, forKey: .mapping),
            listener: try values.decodeIfPresent(String.self, forKey: .listener),
            kind: try values.decode(MappingKind.self, forKey: .kind),
            client: try values.decode(String.self, forKey: .client),
            target: try values.decode(String.self, forKey: .target),
            openedAt: try values.decode(Timestamp.self, forKey: .openedAt),
            bytesUp: try values.decode(UInt64.self, forKey: .bytesUp),
            bytesDown: try values.decode(UInt64.self, forKey: .bytesDown),
            bytesPerSecondUp: try values.decode(UInt64.self, forKey: .bytesPerSecondUp),
            bytesPerSecondDown: try values.decode(UInt64.self, forKey: .bytesPerSecondDown))
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(id, forKey: .id)
        try values.encode(nodeID, forKey: .nodeID)
        try values.encode(node, forKey: .node)
        try values.encode(mapping, forKey: .mapping)
        try values.encode(listener, forKey: .listener)
        try values.encode(kind, forKey: .kind)
        try values.encode(client, forKey: .client)
        try values.encode(target, forKey: .target)
        try values.encode(openedAt, forKey: .openedAt)
        try values.encode(bytesUp, forKey: .bytesUp)
        try values.encode(bytesDown, forKey: .bytesDown)
        try values.encode(bytesPerSecondUp, forKey: .bytesPerSecondUp)
        try values.encode(bytesPerSecondDown, forKey: .bytesPerSecondDown)
    }
}
