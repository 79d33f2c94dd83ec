import SQLite

/// One connection of the history. Encodes with every key, `null` where there is no value.
package struct ConnectionRecord: Codable, Equatable, Sendable, Identifiable {
    package let id: Int64
    package let openedAt: Timestamp
    /// Null while it is open, as are all that follow from its end.
    package let closedAt: Timestamp?
    /// By the monotonic clock, to the microsecond.
    package let durationSeconds: Double?
    /// The node's name at that time.
    package let node: String
    package let nodeID: String
    /// The mapping's name at that time, if it had one.
    package let listener: String?
    package let mapping: UInt32
    package let kind: MappingKind
    package let listen: String
    /// `203.0.113.9:51514`, `[2001:db8::1]:443`, `unix`.
    package let client: String
    package let target: String
    /// From the client to the target, and back, as the server counted; null while it is open and nobody knows.
    package var bytesUp: Int64?
    package var bytesDown: Int64?
    /// As the node counted; null when it did not say.
    package let nodeBytesUp: Int64?
    package let nodeBytesDown: Int64?
    /// One of `EndReason`'s words.
    package let reason: String?
    /// One of `EndReason.Side`'s words.
    package let side: String?
    /// The end was written after a crash, with what had been counted until then.
    package let recovered: Bool
    /// `recovered`, `counts-differ`, `not-held`.
    package let flags: [String]
    /// The public half of the credential that the node had logged in with, in hexadecimal.
    package let credential: String
    /// Of the row of the opening, and of that of the end: 16 digits in hexadecimal. Each follows from all rows before it.
    package let chain: String
    package let closedChain: String?

    package var isOpen: Bool { closedAt == nil }
}

/// A time of which the history knows nothing, or less.
package struct HistoryGap: Codable, Equatable, Hashable, Sendable {
    package let from: Timestamp
    package let to: Timestamp
    /// `server-stop`, `server-crash`, `clock-step`, `audit-failure`.
    package let cause: String

    package init(from: Timestamp, to: Timestamp, cause: String) {
        self.from = from
        self.to = to
        self.cause = cause
    }
}

/// One line of the history. In JSON a gap is `{"gap":{…}}`.
package enum HistoryEntry: Equatable, Sendable {
    case connection(ConnectionRecord)
    case gap(HistoryGap)
}

/// A page of the history. `next` continues it, and is nil at the end; a page may have fewer lines than were asked for, even
/// none, and yet not be the last.
package struct HistoryPage: Equatable, Sendable {
    package var entries: [HistoryEntry]
    /// The id of the last connection that was looked at.
    package var next: Int64?
}

extension ConnectionRecord {
    /// Of `opened` as o, `closed` as c and `routes` as r, in the order of `init`.
    static let columns: ComposedSQL = """
        SELECT o.id, o.at, c.at, c.duration, r.node, r.node_name, r.identity, r.mapping, r.mapping_name, r.kind,
        r.listen, r.target, o.client, o.client_port, c.up, c.down, c.node_up, c.node_down, c.reason, c.flags, o.chain, c.chain
        """

    init(_ row: borrowing Row) throws(SQLiteError) {
        id = try row.integer(0)
        openedAt = try row.time(1)
        closedAt = try row.timeOrNil(2)
        durationSeconds = try row.integerOrNil(3).map { Double($0) / 1_000_000 }
        nodeID = try row.text(4)
        node = try row.text(5)
        credential = hex(try row.blob(6))
        mapping = try row.number(7)
        listener = try row.textOrNil(8)
        kind = try row.word(9)
        listen = try row.text(10)
        target = try row.text(11)
        client = ClientRange.text(try row.blob(12), port: try row.integer(13))
        bytesUp = try row.integerOrNil(14)
        bytesDown = try row.integerOrNil(15)
        nodeBytesUp = try row.integerOrNil(16)
        nodeBytesDown = try row.integerOrNil(17)
        reason = try row.textOrNil(18)
        side = reason.flatMap { EndReason(rawValue: $0) }?.side.rawValue
        let bits = try row.integerOrNil(19) ?? 0
        recovered = bits & 1 != 0
        chain = hex(try row.integer(20))
        closedChain = try row.integerOrNil(21).map { hex($0) }
        flags = [(1, "recovered"), (2, "counts-differ"), (4, "not-held")].filter { bits & $0.0 != 0 }.map(\.1)
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(id, forKey: .id)
        try values.encode(openedAt, forKey: .openedAt)
        try values.encode(closedAt, forKey: .closedAt)
        try values.encode(durationSeconds, forKey: .durationSeconds)
        try values.encode(node, forKey: .node)
        try values.encode(nodeID, forKey: .nodeID)
        try values.encode(listener, forKey: .listener)
        try values.encode(mapping, forKey: .mapping)
        try values.encode(kind, forKey: .kind)
        try values.encode(listen, forKey: .listen)
        try values.encode(client, forKey: .client)
        try values.encode(target, forKey: .target)
        try values.encode(bytesUp, forKey: .bytesUp)
        try values.encode(bytesDown, forKey: .bytesDown)
        try values.encode(nodeBytesUp, forKey: .nodeBytesUp)
        try values.encode(nodeBytesDown, forKey: .nodeBytesDown)
        try values.encode(reason, forKey: .reason)
        try values.encode(side, forKey: .side)
        try values.encode(recovered, forKey: .recovered)
        try values.encode(flags, forKey: .flags)
        try values.encode(credential, forKey: .credential)
        try values.encode(chain, forKey: .chain)
        try values.encode(closedChain, forKey: .closedChain)
    }
}

extension HistoryEntry: Codable {
    private enum CodingKeys: String, CodingKey { case gap }

    package init(from decoder: any Decoder) throws {
        let gap = try decoder.container(keyedBy: CodingKeys.self).decodeIfPresent(
            HistoryGap.self, forKey: .gap)
        self = try gap.map { .gap($0) } ?? .connection(ConnectionRecord(from: decoder))
    }

    package func encode(to encoder: any Encoder) throws {
        switch self {
        case .connection(let record): try record.encode(to: encoder)
        case .gap(let gap):
            var values = encoder.container(keyedBy: CodingKeys.self)
            try values.encode(gap, forKey: .gap)
        }
    }
}

/// Bytes in hexadecimal, two digits each.
func hex(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}

/// A chain's value as it is shown: a number of 64 bits is more than a reader of JSON may keep.
func hex(_ chain: Int64) -> String {
    hex(withUnsafeBytes(of: chain.bigEndian) { Array($0) })
}
