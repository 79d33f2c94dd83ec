import Glibc
import Logging
import Records

extension ControlService {
    /// A page; or, with `wait`, what happened after the cursor, as soon as there is something.
    func history(_ call: Call) throws(ControlError) -> Reply {
        var filter = try Self.filter(call)
        if let seconds = call.number("wait") { return try follow(call, filter, seconds) }
        let cursor = try call.query["cursor"].map { (text) throws(ControlError) in
            guard let id = Int64(text), id >= 0 else { throw Self.noCursor(text) }
            return id
        }
        let order: ConnectionOrder = call.query["order"] == "oldest" ? .oldest : .newest
        let limit = call.number("limit") ?? 100
        // Asked before the records: who ends meanwhile is in one of the two at least.
        if filter.asksOpen { filter.open = try passedBytes() }
        let (asked, present) = (filter, store.presentGap(.now))
        var page = try read { (reader) throws(RecordsError) in
            try reader.history(asked, order: order, cursor: cursor, limit: limit, present: present)
        }
        if filter.open == nil { fillOpen(&page.entries) }
        // Durable before the answer leaves; the further pages of a command belong to its first.
        if cursor == nil { try noteRead(call, "history") }
        return Reply(HistoryAnswer(entries: page.entries, next: page.next.map { String($0) }))
    }

    func historyOne(_ call: Call) throws(ControlError) -> Reply {
        let id = try Self.connectionID(call)
        guard let record = try read({ (reader) throws(RecordsError) in try reader.connection(id: id) }) else {
            throw ControlError(
                404, RecordsError.Code.notFound.rawValue, "no connection \(id) in the history",
                hint: "goproxy-admin history shows the newest")
        }
        var entries = [HistoryEntry.connection(record)]
        fillOpen(&entries)
        try noteRead(call, "history-show")
        return Reply(entries[0])
    }

    /// Part by part, so that nobody else waits long for a reader.
    func historyTop(_ call: Call) throws(ControlError) -> Reply {
        var filter = try Self.filter(call)
        let key = call.query["by"].flatMap { TotalsKey(rawValue: $0) } ?? .client
        guard waits.begin() else { throw Self.tooMany }
        defer { waits.finish() }
        filter.open = try passedBytes()
        let asked = filter
        var budget = PageBudget()
        budget.nanoseconds = 100_000_000
        let limit = call.number("limit") ?? 10
        // Who wants all names gets as many as a part may have: one look adds no more than its rows.
        let isPart = limit > Limits.page
        if isPart { budget.rows = limit / 2 }
        let deadline = ContinuousClock.now + .seconds(call.number("timeout") ?? 25)
        var all: [String: ConnectionTotals] = [:]
        let start = call.number("cursor").map { Int64($0) }
        var cursor = start
        var reached: Timestamp?
        repeat {
            let (from, budget) = (cursor, budget)
            let part = try read { (reader) throws(RecordsError) in
                try reader.totals(asked, by: key, cursor: from, budget: budget)
            }
            for (name, totals) in part.totals { all[name, default: ConnectionTotals()] += totals }
            guard all.count <= Limits.totalsKeys else {
                throw ControlError(
                    409, RecordsError.Code.limit.rawValue,
                    "more than \(Limits.totalsKeys) of them",
                    hint: "narrow it down: --since, --node, --client")
            }
            cursor = part.next
            reached = part.reached ?? reached
        } while cursor != nil && ContinuousClock.now < deadline && !waits.isEnded
            && (!isPart || all.count < limit / 2)
        // The further parts of a command belong to its first.
        if start == nil { try noteRead(call, "history-top") }
        return Reply(
            TopAnswer(
                key, all, byConnections: call.query["sort"] == "connections", limit: limit,
                next: cursor.map { String($0) }, reached: reached))
    }

    func historyStats() throws(ControlError) -> Reply {
        guard waits.begin() else { throw Self.tooMany }
        defer { waits.finish() }
        var numbers = try read { (reader) throws(RecordsError) in try reader.historyNumbers() }
        var closing: Int64? = 0
        while let last = closing, !waits.isEnded {
            let part = try read { (reader) throws(RecordsError) in try reader.closedTotals(after: last) }
            numbers.up += part.totals.up
            numbers.down += part.totals.down
            closing = part.next
        }
        let open = fleet.isLive ? try passedBytes().count : Int(max(0, numbers.connections - numbers.closed))
        return Reply(HistoryStatsAnswer(numbers, open: open, databaseBytes: databaseBytes))
    }

    // MARK: Following

    private func follow(_ call: Call, _ filter: ConnectionFilter, _ seconds: Int) throws(ControlError)
        -> Reply
    {
        guard fleet.isLive else {
            throw ControlError(
                503, "not-running", "no server is running whose history could be followed",
                hint: "start goproxy-server")
        }
        guard filter.at == nil, filter.until == nil else {
            throw .invalid("at, until: what follows comes later")
        }
        guard let text = call.query["cursor"] else {
            let end = try read { (reader) throws(RecordsError) in try reader.historyEnd() }
            try noteRead(call, "history-follow")
            return Reply(HistoryAnswer(entries: [], next: end.description))
        }
        guard var cursor = try Self.place(text, self) else { throw Self.noCursor(text) }
        guard waits.begin() else { throw Self.tooMany }
        defer { waits.finish() }
        let deadline = ContinuousClock.now + .seconds(seconds)
        while true {
            var filter = filter
            if filter.asksOpen { filter.open = try passedBytes() }
            // Counted before the look: what is committed meanwhile ends the wait at once.
            let commits = store.history.commits
            let (from, asked) = (cursor, filter)
            let found = try read { (reader) throws(RecordsError) in
                try reader.historyEnd() == from ? nil : try reader.following(asked, after: from)
            }
            if let found { cursor = found.next }
            let isOver = waits.isEnded || ContinuousClock.now >= deadline
            if let entries = found?.entries, !entries.isEmpty || isOver {
                return Reply(HistoryAnswer(entries: entries, next: cursor.description))
            }
            // What came was not meant by the filter; there may be more of it at once.
            guard found == nil else { continue }
            if isOver { return Reply(HistoryAnswer(entries: [], next: cursor.description)) }
            _ = store.history.waitForCommit(after: commits, milliseconds: Self.followMilliseconds)
        }
    }

    /// Where a follower is; a connection's id will do.
    private static func place(_ text: String, _ service: ControlService) throws(ControlError) -> FollowCursor?
    {
        if let cursor = FollowCursor(text) { return cursor }
        guard let id = Int64(text), id >= 0 else { return nil }
        return try service.read { (reader) throws(RecordsError) in try reader.followCursor(from: id) }
    }

    /// A wait looks again after so long in any case: the deadline is no commit.
    static let followMilliseconds = 200

    // MARK: Filters

    static func filter(_ call: Call) throws(ControlError) -> ConnectionFilter {
        var filter = ConnectionFilter()
        filter.since = try call.queryTime("since")
        filter.until = try call.queryTime("until")
        filter.at = try call.queryTime("at")
        try requireOrder(filter.since, filter.until)
        filter.node = call.query["node"]
        filter.listener = call.query["listener"]
        filter.target = call.query["target"]
        filter.minBytes = call.query["minBytes"].flatMap { Int64($0) }
        filter.isOpen = call.query["open"].map { $0 == "true" }
        if let text = call.query["client"] {
            filter.client = ClientRange(text)
            guard filter.client != nil else {
                throw .invalid(
                    "client: \(shown(text)) is neither an address nor a range such as 203.0.113.0/24")
            }
        }
        for word in call.query["result"]?.split(separator: ",", omittingEmptySubsequences: false) ?? [] {
            guard let reason = EndReason(rawValue: String(word)) else {
                let known = EndReason.allCases.map(\.rawValue).joined(separator: ", ")
                throw .invalid("result: \(shown(String(word))) is none of \(known)")
            }
            filter.results.append(reason)
        }
        return filter
    }

    /// A range that nothing can be in is a mistake, and no empty list.
    static func requireOrder(_ since: Timestamp?, _ until: Timestamp?) throws(ControlError) {
        guard let since, let until, until <= since else { return }
        throw .invalid("until: \(until) is not after since, \(since)")
    }

    private func passedBytes() throws(ControlError) -> [Int64: PassedBytes] {
        guard let passed = fleet.passed(of: nil) else {
            throw ControlError(
                503, RecordsError.Code.busy.rawValue, "the server did not say in time what is open",
                hint: "try again")
        }
        return passed
    }

    /// While a connection is open, what has passed so far stands where the counts will be; nothing when the server does not say.
    private func fillOpen(_ entries: inout [HistoryEntry]) {
        let open = entries.compactMap { entry -> Int64? in
            if case .connection(let record) = entry, record.isOpen { record.id } else { nil }
        }
        guard fleet.isLive, !open.isEmpty, let passed = fleet.passed(of: open) else { return }
        for place in entries.indices {
            guard case .connection(var record) = entries[place] else { continue }
            record.setPassed(passed[record.id])
            entries[place] = .connection(record)
        }
    }

    /// Who read what of the history is in the audit. While the records cannot be written it is in the log: that is when an
    /// operator has to look most.
    private func noteRead(_ call: Call, _ what: String) throws(ControlError) {
        let asked = call.query.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        let words = ([what] + call.segments.map { "\($0.key)=\($0.value)" } + asked).joined(separator: " ")
        let reference = call.query["node"]
        writeEndedReads()
        let now = ContinuousClock.now
        guard repeatedReads.isFirst(call.actor, repeatedReads.alike(what, call), words, now) else { return }
        if !store.health.isFailing {
            do throws(ControlError) {
                return try write(call) { (transaction) throws(RecordsError) in
                    let reader = transaction.reader
                    let node = reference.flatMap { try? reader.node($0) }
                    try transaction.audit("history-read", node: node, detail: words)
                }
            } catch {
                repeatedReads.forget(call.actor, repeatedReads.alike(what, call))
                guard store.health.isFailing else { throw error }
            }
        }
        repeatedReads.forget(call.actor, repeatedReads.alike(what, call))
        Log.warn(
            "history-read-not-in-audit", ("actor", call.actor.name), ("detail", words),
            ("error", store.health.reason ?? "the records were failing"))
    }

    /// Those of hours that are over; all of them when the service stops. What cannot be written is in the log.
    func writeEndedReads(all: Bool = false) {
        for (actor, words) in repeatedReads.takeEnded(all ? nil : ContinuousClock.now) {
            do throws(RecordsError) {
                // A stop waits for no disk.
                if let reason = store.health.reason { throw RecordsError(.io, reason) }
                try store.write(actor: actor) { (transaction) throws(RecordsError) in
                    try transaction.audit("history-read", detail: words)
                }
            } catch {
                Log.warn(
                    "history-read-not-in-audit", ("actor", actor.name), ("detail", words),
                    ("error", error.message))
            }
        }
    }

    func read<Result: Sendable>(
        _ body: @Sendable (Reader) throws(RecordsError) -> Result
    ) throws(ControlError) -> Result {
        try control { () throws(RecordsError) in try store.read(body) }
    }

    static func connectionID(_ call: Call) throws(ControlError) -> Int64 {
        let text = call.segment("connection")
        guard let id = Int64(text), id > 0 else {
            throw .invalid("connection: \(shown(text)) is not a connection's number")
        }
        return id
    }

    private static func noCursor(_ text: String) -> ControlError {
        .invalid("cursor: \(shown(text)) is not what a page before has answered as next")
    }

    static let tooMany = ControlError(
        503, RecordsError.Code.busy.rawValue, "\(Waits.limit) others wait already")
}

extension ConnectionFilter {
    /// Whether what is open now has to be known beforehand.
    fileprivate var asksOpen: Bool { isOpen == true || at != nil || minBytes != nil }
}
