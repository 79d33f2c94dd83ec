import FoundationEssentials
import SQLite

/// What the notes say that other checks lean on, from rows whose chain holds and no others.
final class NoteReader: RowReader {
    struct Pruning {
        let id: Int64
        let at: Int64
        let note: PruneNote
    }

    struct Life {
        let id: Int64
        /// Of a start: all connections up to it were opened before. Nil for a stop.
        let lastOpened: Int64?
    }

    struct Carried {
        let note: Int64
        /// Of the row, in hexadecimal.
        let hash: String
    }

    private(set) var prunings: [Pruning] = []
    /// By their connections.
    private(set) var carried: [Int64: Carried] = [:]
    private(set) var lives: [Life] = []
    private(set) var restored: [(id: Int64, at: Int64)] = []
    /// The first start of a server that seals a pruning in the transaction of its note.
    private(set) var firstSealingStart: Int64 = .max

    func stands(_ row: borrowing Row, _ id: Int64) -> ChainFault? {
        ChainFault("notes", id, "stands outside of the chain")
    }

    func follows(_ row: borrowing Row, _ id: Int64) throws(SQLiteError) -> ChainFault? {
        guard let kind = Note.Kind(rawValue: try row.text(2)) else {
            return ChainFault("notes", id, "is of no kind that there is")
        }
        let detail = try row.textOrNil(7)
        switch kind {
        case .start:
            guard let connection = try row.integerOrNil(5), connection >= 0 else {
                return ChainFault("notes", id, "is a start without a connection")
            }
            lives.append(Life(id: id, lastOpened: connection))
            if firstSealingStart == .max, Lifecycle.sealsPrunings(detail) { firstSealingStart = id }
        case .stop: lives.append(Life(id: id, lastOpened: nil))
        case .gap where detail == Note.Gap.restored.rawValue: restored.append((id, try row.integer(1)))
        case .pruned:
            guard let note = PruneNote(detail: detail), note.detail == detail else {
                return ChainFault("notes", id, "of a pruning cannot be read")
            }
            prunings.append(Pruning(id: id, at: try row.integer(1), note: note))
        case .carried:
            let connection = try row.integer(5)
            if carried[connection] == nil { carried[connection] = Carried(note: id, hash: detail ?? "") }
        case .gap: break
        case .refusals:
            guard let count = try row.integerOrNil(6), count > 0 else {
                return ChainFault("notes", id, "counts less than one refusal")
            }
        }
        return nil
    }
}

extension Lifecycle {
    /// Of the note of a start: 2 and above seal a pruning in the transaction of its first note, and say there what stays.
    static let format = 2

    static func sealsPrunings(_ detail: String?) -> Bool {
        struct Detail: Decodable { let format: Int }
        guard let detail, let known = try? JSONDecoder().decode(Detail.self, from: Data(detail.utf8)) else {
            return false
        }
        return known.format >= 2
    }
}
