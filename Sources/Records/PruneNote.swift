import FoundationEssentials
import SQLite

/// The detail of a note `pruned`, as JSON. Two notes a pruning: rows may be missing behind the seal from the first on, which is
/// sealed with what it says, and are missing, but for those that are carried, from the second on.
struct PruneNote: Codable, Equatable, Sendable {
    enum Phase: String, Codable, Sendable {
        case begun, done
    }

    var phase: Phase
    /// Behind which all goes: the chains of openings and closings begin with its heads.
    var seal: Int64
    /// The seal of the pruning before; 0 for the first.
    var after: Int64
    var opened: Int64 = 0
    var closed: Int64 = 0
    /// Openings that stay behind the seal, and SHA-256 over their ids and hashes: none of them can be taken away unseen.
    var carried: Int64 = 0
    var digest = ""

    init(phase: Phase, seal: Int64, after: Int64) {
        self.phase = phase
        self.seal = seal
        self.after = after
    }

    init?(detail: String?) {
        // Ours has 300 bytes; JSONDecoder hashes keys, at a cost that grows with the square of a strange one's length.
        guard let detail, detail.utf8.count <= 1_024,
            let note = try? JSONDecoder().decode(Self.self, from: Data(detail.utf8))
        else { return nil }
        self = note
    }

    var detail: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        // Numbers and plain words.
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    /// Of the row in the audit beside the second note.
    var auditWords: String {
        """
        up to seal \(seal): \(opened) openings and \(closed) closings deleted, \(carried) openings carried
        """
    }

    /// The newest one; nil when nothing was ever pruned.
    static func last(in database: Database) throws(SQLiteError) -> PruneNote? {
        let detail = try database.first(
            "SELECT detail FROM notes WHERE kind = 'pruned' ORDER BY id DESC LIMIT 1"
        ) { (row) throws(SQLiteError) in try row.textOrNil(0) }
        guard let detail else { return nil }
        guard let note = PruneNote(detail: detail) else {
            throw .damaged("a note of a pruning cannot be read")
        }
        return note
    }
}
