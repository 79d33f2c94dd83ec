import Foundation
import Records
import SQLite
import Synchronization
import Testing

struct PruneTests {
    private func prune(
        _ past: Past, before hour: Int, dryRun: Bool = false
    ) throws(RecordsError) -> PruneReport {
        try past.store.prune(before: Past.hour(hour), dryRun: dryRun, actor: .server)
    }

    private func expectSound(
        _ past: Past, _ location: SourceLocation = #_sourceLocation
    ) throws -> ChainReport {
        let report = try past.verify()
        #expect(report.fault == nil, "\(String(describing: report.fault))", sourceLocation: location)
        return report
    }

    @Test func `whole sealed stretches go, and what is left verifies`() throws {
        let past = try Past()
        for hour in 0..<4 { try past.hour(hour) }
        let anchors = try past.anchors()
        let dry = try prune(past, before: 2, dryRun: true)
        #expect(dry.opened == 20 && dry.closed == 20 && dry.dryRun && dry.steps == 0)
        #expect(try past.count("opened") == 40, "a dry run does nothing")
        let report = try prune(past, before: 2)
        #expect(report.opened == 20 && report.closed == 20 && report.carried == 0 && report.seal == dry.seal)
        #expect(try past.count("opened") == 20 && past.count("closed") == 20)
        let verified = try past.verify(anchors: anchors)
        #expect(verified.fault == nil, "\(String(describing: verified.fault))")
        #expect(verified.anchors == Int64(anchors.count) && verified.leaving == 0)
        #expect(try prune(past, before: 2).seal == nil, "nothing is left to do")
        try past.hour(4)
        #expect(try prune(past, before: 4).opened == 20)
        #expect(try expectSound(past).tables[2].rows == 10)
        #expect(try past.store.audit().filter { $0.action == "history-prune" }.count == 2)
    }

    @Test func `nothing goes that is not sealed, and nothing that is as old as the time`() throws {
        let past = try Past()
        try past.hour(0)
        past.open(1, hour: 1)
        #expect(try prune(past, before: 0).seal == nil)
        // The last of the hour's openings is 4.5 s into it, the closings on the hour.
        let inside = try past.store.prune(
            before: Past.hour(0).adding(seconds: 4), actor: .server)
        #expect(inside.seal == nil, "one of the stretch is newer")
        #expect(try prune(past, before: 1).opened == 10)
    }

    @Test func `what was open then stays, is told of, and goes when it has ended`() throws {
        let past = try Past()
        let long = past.open(3, hour: 0)
        try past.hour(0)
        past.close([long[0]], hour: 2)
        try past.hour(3)
        let report = try prune(past, before: 1)
        #expect(report.opened == 10 && report.closed == 10 && report.carried == 3)
        #expect(try past.count("opened") == 13)
        #expect(try expectSound(past).carried == 3)
        #expect(try past.carriedNotes() == long)
        // The first one's closing is older than this, the others' are not.
        let second = try prune(past, before: 3)
        #expect(second.opened == 1 && second.carried == 2)
        past.close(long.suffix(2), hour: 4)
        try past.seal()
        #expect(try prune(past, before: 5).carried == 0)
        #expect(try past.count("opened") == 0 && past.count("closed") == 0)
        let sound = try expectSound(past)
        #expect(sound.carried == 0 && sound.prunedUntil != nil)
        // Ids go on where they were.
        try past.reopen()
        #expect(past.store.history.newConnectionID() > long[2] + 20)
        try past.hour(6)
        _ = try expectSound(past)
    }

    private static let frauds: [(sql: StaticString, words: String)] = [
        ("DELETE FROM opened WHERE id = 2", "3 connections were still open"),
        ("UPDATE opened SET client = x'7f000001' WHERE id = 2", "tells of another row"),
        (
            "INSERT INTO opened SELECT 5, route, at, monotonic, client, client_port, chain FROM opened WHERE id = 2",
            "no note says that it stays"
        ),
        (
            "INSERT INTO closed VALUES (5, 2, 0, 0, 0, 0, NULL, NULL, 'idle', 0, 0)",
            "up to which all was pruned"
        ),
        ("UPDATE seals SET pruned_at = NULL WHERE pruned_at IS NOT NULL", "does not say so itself"),
        ("UPDATE seals SET pruned_at = 7 WHERE id = (SELECT max(id) FROM seals)", "no note says so"),
        (
            "UPDATE notes SET detail = replace(detail, 'done', 'begun') WHERE kind = 'pruned'",
            "does not follow"
        ),
        ("DELETE FROM notes WHERE kind = 'carried' AND connection = 2", "is missing"),
    ]

    @Test(arguments: frauds.indices)
    func `behind the seal nothing can be put, changed or taken away either`(place: Int) throws {
        let past = try Past()
        past.open(3, hour: 0)
        try past.hour(0)
        try past.hour(2)
        #expect(try prune(past, before: 1).carried == 3)
        try past.tamper { try $0.execute(Self.frauds[place].sql) }
        let fault = try past.verify().fault
        #expect(fault?.words.contains(Self.frauds[place].words) == true, "\(String(describing: fault))")
    }

    @Test func `a hold keeps everything since its time until it is released`() throws {
        let past = try Past()
        for hour in 0..<4 { try past.hour(hour) }
        let hold = try past.store.change { (transaction) throws(RecordsError) in
            try transaction.addHold(since: Past.hour(1), reason: "case 4711")
        }
        _ = try past.store.change { (transaction) throws(RecordsError) in
            try transaction.addHold(since: Past.hour(3), reason: "case 4712")
        }
        let report = try prune(past, before: 4)
        #expect(report.opened == 10 && report.heldBy == hold.id)
        #expect(try past.count("opened") == 30)
        #expect(try prune(past, before: 4).seal == nil)
        let sized = try past.store.prune(downTo: 1, actor: .server)
        #expect(sized.opened == 0 && sized.heldBy == hold.id)
        _ = try past.store.change { (transaction) throws(RecordsError) in
            try transaction.releaseHold(id: hold.id)
        }
        #expect(try prune(past, before: 4).opened == 20, "the second one holds still")
        _ = try expectSound(past)
        let again = refused(.conflict) { () throws(RecordsError) in
            try past.store.change { (transaction) throws(RecordsError) in
                try transaction.releaseHold(id: hold.id)
            }
        }
        #expect(again.contains("was released at"))
    }

    @Test(arguments: [false, true])
    func `a hold stops a pruning that runs, and one that is to be ended`(isInterrupted: Bool) throws {
        let past = try Past()
        for hour in 0..<3 { try past.hour(hour, connections: 6_000) }
        let store = past.store
        let result = Mutex<PruneReport?>(nil)
        let ended = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            let report = try? store.prune(before: Past.hour(2), actor: .server)
            result.withLock { $0 = report }
            ended.signal()
        }
        // The first rows are gone.
        var seen = store.history.commits
        while try past.count("opened") == 18_000 {
            seen = store.history.waitForCommit(after: seen, milliseconds: 1_000)
        }
        if isInterrupted {
            store.close()
            ended.wait()
            try past.reopen()
        }
        let hold = try past.store.change { (transaction) throws(RecordsError) in
            try transaction.addHold(since: Past.hour(0), reason: "case 4711")
        }
        let left = try past.count("opened")
        #expect(left > 6_000, "it was over too soon to show anything")
        if !isInterrupted {
            ended.wait()
            let report = try #require(result.withLock { $0 })
            #expect(report.heldBy == hold.id && report.seal == nil && report.opened == 18_000 - left)
        }
        #expect(try prune(past, before: 2).heldBy == hold.id)
        #expect(try past.count("opened") == left && past.count("closed") == 18_000)
        #expect(try expectSound(past).leaving > 0)
        _ = try past.store.change { (transaction) throws(RecordsError) in
            try transaction.releaseHold(id: hold.id)
        }
        _ = try past.store.change { (transaction) throws(RecordsError) in
            try transaction.addHold(since: Past.hour(2), reason: "not of that time")
        }
        _ = try prune(past, before: 2)
        #expect(try past.count("opened") == 6_000 && past.count("closed") == 6_000)
        _ = try expectSound(past)
    }

    @Test func `a pruning that is asked to answer stops between two steps, and goes on when asked again`()
        throws
    {
        let past = try Past()
        for hour in 0..<2 { try past.hour(hour, connections: 3_000) }
        var whole = PruneReport(before: Past.hour(1))
        var answers = 0
        repeat {
            var looks = 0
            let part = try past.store.prune(before: Past.hour(1), actor: .server) {
                looks += 1
                return looks > 4
            }
            whole = whole.followed(by: part)
            answers += 1
            #expect(part.steps <= 7)
        } while whole.more && answers < 100
        #expect(answers > 1 && whole.opened == 3_000 && whole.closed == 3_000 && whole.seal != nil)
        #expect(try past.count("opened") == 3_000)
        _ = try expectSound(past)
        let last = try past.store.prune(before: Past.hour(2), actor: .server) { true }
        #expect(last.more && last.opened == 0)
    }

    @Test func `a pruning that is stopped half-way verifies at every step, and is ended by the next`() throws
    {
        let past = try Past()
        past.open(2, hour: 0)
        for hour in 0..<3 { try past.hour(hour, connections: 1_500) }
        var stops = 0
        for limit in [1, 2, 3, 5, 8] {
            // Each begins, or goes on, and is closed over after so many steps.
            let notes = try past.count("notes")
            let store = past.store
            let ended = DispatchSemaphore(value: 0)
            Thread.detachNewThread {
                _ = try? store.prune(before: Past.hour(2), actor: .server)
                ended.signal()
            }
            let log = store.history
            let first = log.commits
            var seen = first
            while seen < first + UInt64(limit), ended.wait(timeout: .now()) != .success {
                seen = log.waitForCommit(after: seen, milliseconds: 20)
            }
            store.close()
            let report = try expectSound(past)
            if try past.count("opened") > 1_502 { stops += report.leaving > 0 ? 1 : 0 }
            #expect(try past.count("notes") >= notes)
            try past.reopen()
        }
        print("\(stops) prunings were stopped while rows were leaving")
        _ = try prune(past, before: 2)
        #expect(try past.count("opened") == 1_502)
        #expect(try expectSound(past).leaving == 0)
    }

    @Test func `live writes go on while much is pruned`() throws {
        let past = try Past()
        for hour in 0..<20 { try past.hour(hour, connections: 5_000) }
        let quiet = try waits(past) { $0 == 300 }
        let store = past.store
        let ended = DispatchSemaphore(value: 0)
        let result = Mutex<PruneReport?>(nil)
        Thread.detachNewThread {
            let report = try? store.prune(before: Past.hour(19), actor: .server)
            result.withLock { $0 = report }
            ended.signal()
        }
        let beside = try waits(past) { _ in ended.wait(timeout: .now()) == .success }
        let report = try #require(result.withLock { $0 })
        print(
            """
            pruned \(report.opened) connections in \(report.steps) steps, the longest \
            \(report.longestStepMicroseconds) µs, \(report.freedBytes) bytes given back. \(beside.count) writes \
            beside it: median \(beside[beside.count / 2]), worst \(beside[beside.count - 1]); without it \
            \(quiet[quiet.count / 2]), \(quiet[quiet.count - 1])
            """)
        #expect(report.opened == 95_000 && report.freedBytes > 5_000_000)
        #expect(report.steps > 190_000 / 512, "no step takes more")
        // 50 ms on a machine at rest; on one that is not, no more than some of what writes wait there anyway.
        #expect(beside[beside.count * 95 / 100] < max(.milliseconds(50), quiet[quiet.count - 1] * 4))
        _ = try expectSound(past)
    }

    /// How long each of some writes took, the shortest first.
    private func waits(_ past: Past, until isOver: (Int) -> Bool) throws -> [Duration] {
        let clock = ContinuousClock()
        var waits: [Duration] = []
        while !isOver(waits.count) {
            let start = clock.now
            try past.store.addNodeTag()
            waits.append(clock.now - start)
        }
        return waits.sorted()
    }

    @Test func `the oldest goes when there is too much of it`() throws {
        let past = try Past()
        for hour in 0..<30 { try past.hour(hour, connections: 400) }
        let used = try past.usedBytes()
        let report = try past.store.prune(downTo: used / 2, actor: .server)
        #expect(report.opened > 3_000 && report.opened < 9_000, "\(report)")
        #expect(try past.usedBytes() <= used / 2)
        #expect(try past.store.prune(downTo: used, actor: .server).seal == nil)
        _ = try expectSound(past)
    }

    @Test func `what a wrong clock dated far ahead goes with what is around it`() throws {
        let past = try Past()
        try past.hour(0)
        let ahead = 24 * 365 * 20
        try past.hour(ahead, connections: 2)
        try past.hour(1)
        try past.hour(2)
        // The newest of all, so nothing tells how old it is.
        try past.hour(ahead, connections: 3)
        #expect(try prune(past, before: 1).opened == 10, "what came after it tells how old it is")
        #expect(try prune(past, before: 2).opened == 12)
        #expect(try prune(past, before: 3).opened == 10)
        #expect(try past.count("opened") == 3 && past.count("closed") == 3)
        _ = try expectSound(past)
    }

    @Test func `a start with a clock that is years ahead deletes nothing`() throws {
        let past = try Past()
        for hour in 0..<3 { try past.hour(hour) }
        past.append([.note(Note(at: Past.hour(3), kind: .stop))])
        let keep: Int64 = 30 * 3_600
        #expect(try past.store.retained(keepSeconds: keep).isLate == false, "no server's start is known")
        past.end()
        // The clock of this machine is ahead of that history.
        let store = try Store.open(directory: past.scratch.directory, server: "1.0.0")
        let (before, isLate) = try store.retained(keepSeconds: keep)
        let last = Past.hour(3).adding(seconds: -keep)
        #expect(isLate && before >= last && before < last.adding(seconds: 3_600), "\(before)")
        #expect(try store.prune(before: before, actor: .server).seal == nil)
        store.close()
        // The next start has the same clock, and no more reason to believe it.
        for _ in 0..<3 {
            let next = try Store.open(directory: past.scratch.directory, server: "1.0.0")
            let again = try next.retained(keepSeconds: keep)
            #expect(again.isLate && again.before >= last && again.before < last.adding(seconds: 3_600))
            next.close()
        }
    }

    @Test func `a clock that jumped is believed when servers have lived for a day under it`() throws {
        // Hours: where servers started and ended, and the clock now.
        func known(_ lives: [(Int, Int)], now: Int, run: Int) throws -> Int64 {
            let past = try Past()
            for (start, end) in lives {
                past.append([
                    .note(Note(at: Past.hour(start), kind: .start, connection: 0)),
                    .note(.gap(.serverCrash, from: Past.hour(end), to: Past.hour(end), at: Past.hour(end))),
                ])
            }
            past.append([.note(Note(at: Past.hour(now - run), kind: .start, connection: 0))])
            let known = try past.store.read { (reader) throws(RecordsError) in
                try reader.knownTime(now: Past.hour(now), runMicroseconds: Int64(run) * 3_600_000_000)
            }
            return known.distance(from: Past.start) / 3_600_000_000
        }
        #expect(try known([(0, 100)], now: 110, run: 1) == 110, "a rest of a night")
        #expect(try known([(0, 100)], now: 20_000, run: 2) == 102)
        #expect(try known([(0, 100), (19_000, 19_001)], now: 19_004, run: 2) == 103, "a second start")
        #expect(try known([(0, 100), (19_000, 19_023)], now: 19_027, run: 2) == 19_027, "a day in all")
        #expect(try known([(0, 100), (19_000, 19_001), (40_000, 40_001)], now: 40_004, run: 2) == 104)
        #expect(try known([(0, 100), (19_000, 19_001)], now: 104, run: 2) == 103, "the clock is right again")
        #expect(try known([(0, 5)], now: 6, run: 1) == 6)
    }

    @Test func `the retention prunes at the start, and ends with the store`() throws {
        let past = try Past()
        try past.hour(0)
        try past.hour(1)
        past.store.startRetention(Retention(keepSeconds: 3_600))
        let end = ContinuousClock.now + .seconds(30)
        var commits: UInt64 = 0
        while try past.count("opened") > 0, ContinuousClock.now < end {
            commits = past.store.history.waitForCommit(after: commits, milliseconds: 100)
        }
        #expect(try past.count("opened") == 0)
        past.store.close()
        _ = try expectSound(past)
        #expect(throws: RecordsError.self) { try prune(past, before: 1) }
    }
}

extension Past {
    func carriedNotes() throws -> [Int64] {
        let database = try Database(path: path, mode: .readOnly)
        return try database.query("SELECT connection FROM notes WHERE kind = 'carried' ORDER BY id") {
            (row) throws(SQLiteError) in try row.integer(0)
        }
    }

    func usedBytes() throws -> Int64 {
        let database = try Database(path: path, mode: .readOnly)
        let pages = try database.pragma("PRAGMA page_count") - database.pragma("PRAGMA freelist_count")
        return pages * (try database.pragma("PRAGMA page_size"))
    }
}
