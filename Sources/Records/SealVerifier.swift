import SQLite

/// Checks the seals by themselves: that none is missing, that each was made with its key, and that they are those which the
/// anchors tell of.
struct SealVerifier {
    private var keys: [SealKey]
    private var anchors: [Int64: Anchor]
    private let nextSeal: Int64?
    private let restored: Set<Int64>
    private var bytes: [UInt8] = []
    /// The last one.
    private(set) var last: Seal?
    /// Of the last pruning that has ended; 0 when there was none. Behind it seals may be gone.
    private(set) var thinnedTo: Int64 = 0
    /// Where its notes end.
    private(set) var thinnedNotes: Int64 = 0
    /// Anchors of such seals: what they say of the chains that are whole is still to be checked.
    private(set) var thinned: [Anchor] = []
    /// Notes of prunings with which the notes of some seal end.
    private(set) var notesEnds: Set<Int64> = []
    /// The last opening of a seal whose notes end with a clean stop, by that note.
    private(set) var stops: [Int64: Int64] = [:]

    init(keys: [[UInt8]], anchors: [Anchor], nextSeal: Int64?, restored: Set<Int64>) {
        self.restored = restored
        self.keys = keys.map { SealKey(verification: $0) }
        self.anchors = Dictionary(anchors.map { ($0.seal, $0) }) { first, _ in first }
        self.nextSeal = nextSeal
    }

    struct Seal {
        let id: Int64
        let at: Timestamp
        let ids: [Int64]

        var notes: Int64 { ids[3] }
    }

    mutating func run(
        _ database: Database, _ notes: NoteReader, _ report: inout ChainReport
    ) throws(SQLiteError) -> ChainFault? {
        let restored = notes.restored.map(\.id)
        let prunings = Set(notes.prunings.map(\.id))
        thinnedTo = notes.prunings.last { $0.note.phase == .done }?.note.seal ?? 0
        let stopped = Set(notes.lives.filter { $0.lastOpened == nil }.map(\.id))
        let hasKeys = !keys.isEmpty
        var fault: ChainFault?
        let found = anchors.count
        try database.scan("SELECT * FROM seals ORDER BY id") { (row) throws(SQLiteError) in
            let seal = try Self.seal(row)
            fault = hole(before: seal, after: last, restored, &report)
            if fault == nil, let last { fault = Self.order(seal, last) }
            if fault == nil, hasKeys { fault = try checkMac(row, seal) }
            if fault == nil, let anchor = anchors.removeValue(forKey: seal.id) {
                fault = try Self.compare(anchor, row, seal)
            }
            guard fault == nil else { return false }
            last = seal
            if seal.id == thinnedTo { thinnedNotes = seal.notes }
            if prunings.contains(seal.notes) { notesEnds.insert(seal.notes) }
            if stopped.contains(seal.notes) { stops[seal.notes] = seal.ids[1] }
            report.seals += 1
            report.sealedAt = seal.at
            if hasKeys { report.sealsProven += 1 }
            return true
        }
        if let fault { return fault }
        report.anchors = Int64(found) - report.anchorsReplaced
        if let missing = anchors.keys.min(), let anchor = anchors[missing] {
            let ids = zip(Anchor.tables, anchor.ids).map { "\($0) had row \($1)" }.joined(separator: ", ")
            return ChainFault("seals", missing, "cut off: the anchor of this seal says \(ids)")
        }
        if let nextSeal, (last?.id ?? 0) < nextSeal - 1 {
            return ChainFault(
                "seals", (last?.id ?? 0) + 1,
                "cut off: the key stands at seal \(nextSeal), so seals up to \(nextSeal - 1) were made")
        }
        return nil
    }

    private static func seal(_ row: borrowing Row) throws(SQLiteError) -> Seal {
        var ids: [Int64] = []
        for table in 0..<5 { ids.append(try row.integer(Int32(2 + 2 * table))) }
        return Seal(id: try row.integer(0), at: try row.time(1), ids: ids)
    }

    /// Numbers go on by one, but where a backup was put in place: its seals are older than the key. The note that says so is the
    /// server's own, and whoever cut an end off could have it write one: what anchors tell of is only let go by an operator.
    private mutating func hole(
        before seal: Seal, after last: Seal?, _ notes: [Int64], _ report: inout ChainReport
    ) -> ChainFault? {
        let expected = (last?.id ?? 0) + 1
        guard seal.id != expected else { return nil }
        if seal.id > expected, seal.id <= thinnedTo, seal.id - expected <= SealKey.furthest {
            for number in anchors.keys where number >= expected && number < seal.id {
                if let anchor = anchors.removeValue(forKey: number),
                    !restored.contains(where: { $0 <= number })
                {
                    thinned.append(anchor)
                }
            }
            return nil
        }
        let isExplained = seal.id > expected && notes.contains { $0 > last?.notes ?? 0 && $0 <= seal.notes }
        guard isExplained else {
            return ChainFault("seals", expected, "is missing: the next one that is there is \(seal.id)")
        }
        // A key goes on step by step: one number must not keep it at that for ever.
        guard seal.id - expected <= SealKey.furthest - report.sealsReplaced else {
            return ChainFault(
                "seals", expected, "is missing: the next one is \(seal.id), and no backup replaced so many")
        }
        let told = anchors.keys.filter { $0 >= expected && $0 < seal.id }
        guard told.isEmpty || restored.contains(expected) else {
            return ChainFault(
                "seals", expected,
                """
                is missing, with all before \(seal.id), and \(told.count) anchors tell of them: what they sealed was \
                cut off, or replaced by a backup; if you know of that backup: --restored \(expected)
                """)
        }
        for number in told { anchors[number] = nil }
        report.anchorsReplaced += Int64(told.count)
        report.sealsReplaced += seal.id - expected
        return nil
    }

    private static func order(_ seal: Seal, _ last: Seal) -> ChainFault? {
        for (table, (new, old)) in zip(Anchor.tables, zip(seal.ids, last.ids)) where new < old {
            return ChainFault("seals", seal.id, "\(table) ended at row \(new), but at \(old) a seal before")
        }
        return nil
    }

    /// Where the data folder lost its keys, a new one begins with some seal.
    private mutating func checkMac(_ row: borrowing Row, _ seal: Seal) throws(SQLiteError) -> ChainFault? {
        bytes.removeAll(keepingCapacity: true)
        RowHash.append(row, butLast: 2, to: &bytes)
        let mac = try row.blob(12)
        while true {
            keys[0].evolve(to: seal.id)
            if keys[0].mac(bytes) == mac { return nil }
            guard keys.count > 1 else {
                return ChainFault(
                    "seals", seal.id,
                    "was not made with the key: it, or what it says of the chains, is a forgery")
            }
            keys.removeFirst()
        }
    }

    private static func compare(
        _ anchor: Anchor, _ row: borrowing Row, _ seal: Seal
    ) throws(SQLiteError) -> ChainFault? {
        for (place, table) in Anchor.tables.enumerated() {
            guard seal.ids[place] == anchor.ids[place] else {
                return ChainFault(
                    "seals", seal.id,
                    "says that \(table) had row \(seal.ids[place]); its anchor says \(anchor.ids[place])")
            }
            guard try row.blob(Int32(3 + 2 * place)) == Array(anchor.head(place)) else {
                return ChainFault(
                    "seals", seal.id,
                    "the rows of \(table) up to \(anchor.ids[place]) are others than its anchor says")
            }
        }
        return nil
    }
}
