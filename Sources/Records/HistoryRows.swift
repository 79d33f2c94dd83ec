import SQLite

/// Writes rows of the history with their chains, inside an open transaction: one kept statement a table, values bound where
/// they stand.
final class HistoryRows {
    let chains: Chains
    private let routes: PreparedStatement
    private let opened: PreparedStatement
    private let closed: PreparedStatement
    private let notes: PreparedStatement

    init(_ database: Database) throws(SQLiteError) {
        chains = try Chains(database)
        routes = try PreparedStatement(
            "INSERT INTO routes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", in: database)
        opened = try PreparedStatement("INSERT INTO opened VALUES (?, ?, ?, ?, ?, ?, ?)", in: database)
        closed = try PreparedStatement(
            "INSERT INTO closed VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", in: database)
        notes = try PreparedStatement("INSERT INTO notes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", in: database)
    }

    func insert(_ event: HistoryEvent) throws(SQLiteError) {
        switch event {
        case .route(let route): try insert(route)
        case .opened(let opening): try insert(opening)
        case .closed(let closing): try insert(closing)
        case .note(let note): try insert(note)
        }
    }

    private func insert(_ route: ConnectionRoute) throws(SQLiteError) {
        let mapping = Int64(route.mapping)
        routes.bind(route.id, at: 1)
        routes.bind(route.nodeID, at: 2)
        routes.bind(route.node, at: 3)
        routes.bind(route.identity, at: 4)
        routes.bind(mapping, at: 5)
        routes.bind(route.kind.rawValue, at: 6)
        routes.bind(route.mappingName, at: 7)
        routes.bind(route.listen, at: 8)
        routes.bind(route.target, at: 9)
        try chains.heads.routes.add(route.id, by: routes, chainAt: 10) { hash in
            hash.add(route.nodeID)
            hash.add(route.node)
            hash.add(route.identity)
            hash.add(mapping)
            hash.add(route.kind.rawValue)
            hash.add(route.mappingName)
            hash.add(route.listen)
            hash.add(route.target)
        }
    }

    private func insert(_ row: Opened) throws(SQLiteError) {
        let port = Int64(row.client.port)
        opened.bind(row.id, at: 1)
        opened.bind(row.route, at: 2)
        opened.bind(row.at.microseconds, at: 3)
        opened.bind(row.monotonicMicroseconds, at: 4)
        row.client.withBytes { opened.bind($0, at: 5) }
        opened.bind(port, at: 6)
        try chains.heads.opened.add(row.id, by: opened, chainAt: 7) { hash in
            hash.add(row.route)
            hash.add(row.at.microseconds)
            hash.add(row.monotonicMicroseconds)
            row.client.withBytes { hash.add(blob: $0) }
            hash.add(port)
        }
    }

    private func insert(_ row: Closed) throws(SQLiteError) {
        let id = chains.heads.closed.id + 1
        closed.bind(id, at: 1)
        closed.bind(row.connection, at: 2)
        closed.bind(row.at.microseconds, at: 3)
        closed.bind(row.durationMicroseconds, at: 4)
        closed.bind(row.up, at: 5)
        closed.bind(row.down, at: 6)
        closed.bind(row.nodeUp, at: 7)
        closed.bind(row.nodeDown, at: 8)
        closed.bind(row.reason.rawValue, at: 9)
        closed.bind(row.flags.rawValue, at: 10)
        try chains.heads.closed.add(id, by: closed, chainAt: 11) { hash in
            hash.add(row.connection)
            hash.add(row.at.microseconds)
            hash.add(row.durationMicroseconds)
            hash.add(row.up)
            hash.add(row.down)
            hash.add(row.nodeUp)
            hash.add(row.nodeDown)
            hash.add(row.reason.rawValue)
            hash.add(row.flags.rawValue)
        }
    }

    func insert(_ note: Note) throws(SQLiteError) {
        let id = chains.heads.notes.id + 1
        notes.bind(id, at: 1)
        notes.bind(note.at.microseconds, at: 2)
        notes.bind(note.kind.rawValue, at: 3)
        notes.bind(note.from?.microseconds, at: 4)
        notes.bind(note.to?.microseconds, at: 5)
        notes.bind(note.connection, at: 6)
        notes.bind(note.count, at: 7)
        notes.bind(note.detail, at: 8)
        try chains.heads.notes.add(id, by: notes, chainAt: 9) { hash in
            hash.add(note.at.microseconds)
            hash.add(note.kind.rawValue)
            hash.add(note.from?.microseconds)
            hash.add(note.to?.microseconds)
            hash.add(note.connection)
            hash.add(note.count)
            hash.add(note.detail)
        }
    }
}

extension Chains.Chain {
    /// Adds one row to the table and to its chain. One that SQLite refuses is in neither.
    fileprivate mutating func add(
        _ row: Int64, by statement: PreparedStatement, chainAt index: Int32,
        _ columns: (inout ChainHash) -> Void
    ) throws(SQLiteError) {
        let before = hash.mark
        hash.add(row)
        columns(&hash)
        statement.bind(hash.endRow(), at: index)
        do {
            try statement.run()
        } catch {
            hash.reset(to: before)
            throw error
        }
        id = row
    }
}
