import FoundationEssentials
import SQLite

/// Checks what several tables say of the same thing, when the chain of each holds.
struct RecordVerifier {
    private let notes: NoteReader
    private let audit: AuditReader
    private let seals: SealVerifier

    init(_ notes: NoteReader, _ audit: AuditReader, _ seals: SealVerifier) {
        (self.notes, self.audit, self.seals) = (notes, audit, seals)
    }

    func run(_ database: Database, _ report: inout ChainReport) throws(SQLiteError) -> ChainFault? {
        report.exposed = audit.exposed
        report.unchained = audit.isOlderProven ? 0 : audit.older
        if let fault = audit.olderFault() ?? restored() ?? stopped() { return fault }
        if let fault = try holds(database) { return fault }
        return try nodes(database)
    }

    /// A backup that was put in place says so in both.
    private func restored() -> ChainFault? {
        let told = Set(audit.told.filter { $0.action == Array("restore".utf8) }.map(\.at))
        guard let note = notes.restored.first(where: { !told.contains($0.at) }) else { return nil }
        return ChainFault("notes", note.id, "of a restored backup has no row in the audit that says so")
    }

    /// A clean stop is the last thing before its seal: nobody was there to open a connection between it and the next start.
    private func stopped() -> ChainFault? {
        for (life, next) in zip(notes.lives, notes.lives.dropFirst()) where life.lastOpened == nil {
            guard let opened = seals.stops[life.id], let last = next.lastOpened, last > opened else {
                continue
            }
            return ChainFault(
                "opened", opened + 1,
                "stands between a clean stop and the next start: no server ran that could have written it")
        }
        return nil
    }

    private func holds(_ database: Database) throws(SQLiteError) -> ChainFault? {
        var rest = audit.holds
        var fault: ChainFault?
        try database.scan("SELECT * FROM holds ORDER BY id") { (row) throws(SQLiteError) in
            let hold = try Hold(row)
            guard let told = rest.removeValue(forKey: Array(Transaction.words(hold).utf8)),
                try told.at == row.integer(1),
                told.actor == hold.actor, told.releasedAt == hold.releasedAt?.microseconds
            else {
                fault = ChainFault("holds", hold.id, "is not what the audit says of it")
                return false
            }
            return true
        }
        if fault == nil, let missing = rest.keys.map({ String(decoding: $0, as: UTF8.self) }).min() {
            return ChainFault("holds", nil, "is missing: the audit says: \(missing)")
        }
        return fault
    }

    /// Names in questions to the history are looked up in the nodes that there are.
    private func nodes(_ database: Database) throws(SQLiteError) -> ChainFault? {
        struct Known: Decodable { let id, name: String? }
        var rest = audit.nodes.compactMapValues { $0 }
        var fault: ChainFault?
        try database.scan("SELECT id, name FROM nodes NOT INDEXED") { (row) throws(SQLiteError) in
            let (id, name) = (try row.text(0), try row.text(1))
            let text = rest.removeValue(forKey: id)
            let known = text.flatMap { try? JSONDecoder().decode(Known.self, from: Data($0.utf8)) }
            // Where no row of the audit tells of its name, it is older than the audit; a row that cannot be read tells of another.
            let isTold = known?.id != nil && known?.name != nil
            guard (text == nil) == (known == nil), audit.nodes[id] != .some(nil),
                !isTold || known?.name == name && known?.id == id
            else {
                fault = ChainFault("nodes", nil, "\(name) is not what the audit says of node \(id)")
                return false
            }
            return true
        }
        if fault == nil, let id = rest.keys.min() {
            return ChainFault("nodes", nil, "\(id) is missing: the audit says that it is there")
        }
        return fault
    }
}
