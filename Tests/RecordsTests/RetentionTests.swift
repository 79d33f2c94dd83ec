import Foundation
import Records
import SQLite
import Testing

/// A limit of the history's size, and what no pruning makes smaller.
struct RetentionTests {
    @Test func `what is never pruned is measured, and does not empty the history`() throws {
        let past = try Past()
        for hour in 0..<30 { try past.hour(hour, connections: 400) }
        let connections = try past.usedBytes()
        #expect(past.store.historyUse == nil)
        // A fifth as much of what stays as there is of what goes: a page a row.
        let detail = String(repeating: "x", count: 4_000)
        let rows = Int(connections / 5 / 4_096)
        try past.store.change { (transaction) throws(RecordsError) in
            for _ in 0..<rows { try transaction.audit("test", detail: detail) }
        }
        let kept = try past.usedBytes() - connections
        // Room for half of the connections, beside all the rest.
        let enough = try past.store.prune(downTo: kept + connections / 2, actor: .server)
        #expect(enough.opened > 3_000 && enough.opened < 9_000, "\(enough)")
        let use = try #require(past.store.historyUse)
        #expect(
            use.keptBytes >= kept && use.keptBytes < kept + connections / 8, "\(use.keptBytes), not \(kept)")
        #expect(use.isTight && !use.isExceeded)
        // Less than what stays alone: half of it is the connections' nevertheless.
        let maximum = kept * 4 / 5
        let left = try past.count("opened")
        let less = try past.store.prune(downTo: maximum, actor: .server)
        let after = try past.count("opened")
        #expect(
            less.opened == left - after && after >= 400 && after < left * 3 / 4, "\(left), then \(after)")
        #expect(try #require(past.store.historyUse).isExceeded)
        #expect(
            try past.store.prune(downTo: maximum, actor: .server).opened == 0, "and not one more each hour")
        #expect(try past.verify().fault == nil)
    }

    @Test func `behind a pruned stretch two seals are left, and what the others held is still proven`() throws
    {
        let past = try Past()
        for hour in 0..<6 { try past.hour(hour) }
        let lines = try past.anchorLines()
        for hour in [2, 4] {
            #expect(try past.store.prune(before: Past.hour(hour), actor: .server).opened == 20)
        }
        let seals = try past.sealNumbers()
        let marked = try #require(seals.marked.last)
        #expect(seals.marked.count == 2 && seals.all.filter { $0 <= marked } == seals.marked)
        #expect(lines.count > seals.marked.count + 4 && marked > 5)
        try past.hour(7)
        let anchors = lines.compactMap { Anchor(line: $0) }
        let sound = try past.verify(anchors: anchors)
        #expect(sound.fault == nil, "\(String(describing: sound.fault))")
        #expect(sound.anchors == Int64(lines.count) && sound.sealsProven == sound.seals)
        // Of a seal that is gone: the chains that are whole still tell.
        let gone = try #require(anchors.first { !seals.all.contains($0.seal) && $0.seal > 1 })
        let place = try #require(anchors.firstIndex { $0.seal == gone.seal })
        for table in ["routes", "notes", "audit"] {
            let head = try #require(lines[place].range(of: #" \#(table)=\d+:"#, options: .regularExpression))
            var line = lines[place]
            let digit = line[head.upperBound]
            line.replaceSubrange(head.upperBound...head.upperBound, with: digit == "0" ? "1" : "0")
            var wrong = anchors
            wrong[place] = try #require(Anchor(line: line))
            let fault = try past.verify(anchors: wrong).fault
            #expect(
                fault?.table == table && fault?.words.contains("seal \(gone.seal)") == true,
                "\(String(describing: fault))")
        }
        // The two that are left have to be there, and all that follow.
        for missing in seals.marked + [marked + 1] {
            let copy = try past.without(seal: missing)
            let fault = try copy.fault()
            #expect(
                fault?.table == "seals" && fault?.words.contains("is missing") == true,
                "\(missing): \(String(describing: fault))")
        }
    }

    @Test func `the room of a limit warns at a quarter, and says at half that it is not kept`() {
        let use = { (kept: Int64) in HistoryUse(maximumBytes: 1_000, keptBytes: kept) }
        #expect(
            [0, 250, 251, 500, 501, 5_000].map { use($0).isTight } == [false, false, true, true, true, true])
        #expect([0, 500, 501, 5_000].map { use($0).isExceeded } == [false, false, true, true])
        #expect([0, 300, 500, 501, 5_000].map { use($0).roomBytes } == [1_000, 700, 500, 500, 500])
    }
}

extension Past {
    fileprivate func sealNumbers() throws -> (all: [Int64], marked: [Int64]) {
        let database = try Database(path: path, mode: .readOnly)
        let rows = try database.query("SELECT id, pruned_at IS NOT NULL FROM seals ORDER BY id") {
            (row) throws(SQLiteError) in (id: try row.integer(0), isMarked: try row.integer(1) != 0)
        }
        return (rows.map(\.id), rows.filter(\.isMarked).map(\.id))
    }

    /// A copy of the folder, in which a seal was taken away.
    fileprivate func without(seal: Int64) throws -> Copy {
        let copy = Copy(scratch: try scratch.killed())
        let database = try Database(path: copy.scratch.path(Store.fileName), mode: .readWrite)
        try database.execute("DELETE FROM seals WHERE id = ?", seal)
        return copy
    }

    fileprivate struct Copy {
        let scratch: Scratch

        func fault() throws -> ChainFault? {
            var verifier = ChainVerifier(path: scratch.path(Store.fileName))
            verifier.keys = [[UInt8](try Data(contentsOf: URL(filePath: scratch.path(SealKey.verifyName))))]
            return try verifier.run().fault
        }
    }
}
