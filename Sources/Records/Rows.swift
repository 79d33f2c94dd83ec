import SQLite

// How rows become records. The order of the columns is that of the views and tables in migrations/.

extension Row {
    /// One word of a closed set; the table's CHECK holds the same set.
    func word<Word: RawRepresentable>(_ column: Int32) throws(SQLiteError) -> Word
    where Word.RawValue == String {
        guard let word = Word(rawValue: try text(column)) else {
            throw .damaged("column \(column) holds an unknown word")
        }
        return word
    }

    func time(_ column: Int32) throws(SQLiteError) -> Timestamp {
        // Whatever lies in the file: times that can be written down can be counted with.
        Timestamp(microseconds: try integer(column)).bounded
    }

    func timeOrNil(_ column: Int32) throws(SQLiteError) -> Timestamp? {
        isNull(column) ? nil : try time(column)
    }

    func place(_ column: Int32) throws(SQLiteError) -> Place {
        Place(domain: try text(column), addr: try text(column + 1))
    }
}

extension NodeRecord {
    init(_ row: borrowing Row, tags: [String: String]) throws(SQLiteError) {
        id = try row.text(0)
        name = try row.text(1)
        self.tags = tags
        state = try row.word(2)
        origin = try row.word(3)
        createdAt = try row.time(4)
        revision = try row.integer(5)
        lastSeen = try row.timeOrNil(6)
        address = try row.textOrNil(7)
        version = try row.textOrNil(8)
        os = try row.textOrNil(9)
        mappings = try row.number(10)
        online = try row.bool(11)
        lastSeenWithin = try row.integerOrNil(12).map { $0 / 1_000_000 + ($0 % 1_000_000 > 0 ? 1 : 0) }
        credential = row.isNull(13) ? nil : hex(try row.blob(13))
    }
}

extension MappingRecord {
    init(_ row: borrowing Row) throws(SQLiteError) {
        id = try row.number(0)
        node = try row.text(1)
        nodeID = try row.text(2)
        kind = try row.word(3)
        name = try row.textOrNil(4)
        listen = try row.place(5)
        forward = try row.place(7)
        enabled = try row.bool(9)
        origin = try row.word(10)
        desiredRevision = try row.integer(11)
        createdAt = try row.time(12)
        let nodeState: NodeState = try row.word(13)
        appliedRevision = try row.integerOrNil(17)
        if !enabled || nodeState == .disabled {
            state = .disabled
        } else if let applied = appliedRevision, applied >= desiredRevision {
            state = try row.word(14)
        } else {
            state = .pending
        }
        boundAddress = state == .active ? try row.textOrNil(15) : nil
        detail = state == .failed || state == .pending ? try row.textOrNil(16) : nil
    }
}

extension CredentialRecord {
    init(_ row: borrowing Row) throws(SQLiteError) {
        identity = try row.blob(0)
        nodeID = try row.text(1)
        publicKey = try row.blob(2)
        sealedPSK = try row.blob(3)
        notBefore = try row.time(4)
        notAfter = try row.timeOrNil(5)
        weak = try row.bool(6)
        origin = try row.word(7)
        // A backup may be older than the column.
        lastUsed = row.columnCount > 8 ? try row.timeOrNil(8) : nil
    }
}

extension EndedCredential {
    init(_ row: borrowing Row) throws(SQLiteError) {
        identity = try row.blob(0)
        nodeID = try row.text(1)
        node = try row.text(2)
        at = try row.time(3)
        reason = try row.word(4)
    }
}

extension Session {
    init(_ row: borrowing Row) throws(SQLiteError) {
        id = try row.integer(0)
        nodeID = try row.text(1)
        node = try row.text(2)
        address = try row.text(3)
        version = try row.text(4)
        os = try row.text(5)
        openedAt = try row.time(6)
        closedAt = try row.timeOrNil(7)
        reason = try row.textOrNil(8)
        subConnections = try row.integerOrNil(9)
    }
}

extension AuditEntry {
    init(_ row: borrowing Row) throws(SQLiteError) {
        id = try row.integer(0)
        at = try row.time(1)
        actor = try row.text(2)
        uid = row.isNull(3) ? nil : try row.number(3)
        action = try row.text(4)
        nodeID = try row.textOrNil(5)
        node = try row.textOrNil(6)
        mapping = row.isNull(7) ? nil : try row.number(7)
        before = try row.textOrNil(8)
        after = try row.textOrNil(9)
        detail = try row.textOrNil(10)
        chain = try row.integerOrNil(11).map { hex($0) }
    }
}
