import Control
import Flags
import FoundationEssentials
import Records

/// `goproxy-admin history …`
enum HistoryCommands {
    static func list(_ session: Session) throws(AdminError) {
        let arguments = session.arguments
        let history = arguments.history
        try check(arguments)
        let filters = try query(session)
        let printer = HistoryPrinter(session)
        if history.follows { return try follow(session, filters, printer) }
        session.console.catchInterrupts()
        guard history.isOldestFirst else {
            let limit = arguments.limit ?? 100
            let (entries, older) = try newest(session, filters, before: history.cursor, limit: limit)
            try printer.write(entries)
            try printer.finish()
            if session.console.isInterrupted(), let older { throw stopped(older, "before") }
            if let older, arguments.output == .table {
                session.console.writeError("There are older ones: add --cursor \(older)\n")
            }
            return
        }
        let progress = Progress(session.console)
        defer { progress.end() }
        var left = arguments.limit ?? .max
        var cursor = history.cursor.map { String($0) }
        repeat {
            let page = try self.page(session, filters + [("order", "oldest")], cursor, limit: left)
            if !page.entries.isEmpty { progress.end() }
            try printer.write(page.entries)
            left -= page.entries.count { !$0.isGap }
            cursor = page.next
            progress.show("looked up to connection \(cursor ?? "")")
        } while cursor != nil && left > 0 && !session.console.isOutputGone()
            && !session.console.isInterrupted()
        try printer.finish()
        if session.console.isInterrupted(), left > 0, let cursor { throw stopped(cursor, "after") }
    }

    private static func stopped(_ cursor: String, _ side: String) -> AdminError {
        AdminError(
            "interrupted", "stopped: nothing \(side) connection \(cursor) was looked at",
            hint: "--cursor \(cursor) goes on", status: .interrupted)
    }

    static func show(_ session: Session) throws(AdminError) {
        try checkZone(session.arguments)
        let json = try session.ask("GET", "history", session.target)
        try session.print(json) { () throws(AdminError) in
            let record: ConnectionRecord = try session.decode(json)
            let text = HistoryText(isLocal: session.arguments.history.isLocal)
            let counts = { (up: Int64?, down: Int64?) in
                up.flatMap { up in down.map { "\(up) up, \($0) down" } }
            }
            return fields([
                ("id", String(record.id)), ("opened", text.time(record.openedAt)),
                ("closed", record.closedAt.map(text.time) ?? "open"),
                ("duration", record.durationSeconds.map(HistoryText.duration)), ("node", record.node),
                ("node id", record.nodeID), ("credential", record.credential), ("listener", record.listener),
                ("mapping", "\(record.mapping), a \(record.kind.words) on \(record.listen)"),
                ("client", record.client), ("target", record.target),
                ("bytes", counts(record.bytesUp, record.bytesDown)),
                ("as the node counted", counts(record.nodeBytesUp, record.nodeBytesDown)),
                ("ended by", record.side), ("end", record.reason),
                ("flags", record.flags.joined(separator: ", ")),
            ])
        }
    }

    static func stats(_ session: Session) throws(AdminError) {
        let json = try session.ask("GET", "history", "stats", timeout: .seconds(70))
        try session.print(json) { () throws(AdminError) in
            let stats: HistoryStatsAnswer = try session.decode(json)
            let now = session.console.now()
            let refusals = stats.refusals.map { "\($0.count) \($0.cause)" }.joined(separator: ", ")
            var lines: [(String, String?)] = [
                ("connections", "\(stats.connections), \(stats.open) of them open"),
                ("bytes", "\(stats.bytesUp) up, \(stats.bytesDown) down"),
                ("refusals", refusals.isEmpty ? "none" : refusals), ("gaps", String(stats.gaps)),
                ("oldest", stats.oldest.map { TimeText.both($0, now: now) }),
                ("newest", stats.newest.map { TimeText.both($0, now: now) }),
                ("rows", stats.rows.map { "\($0.count) \($0.table)" }.joined(separator: ", ")),
                ("database", "\(bytesText(Int64(stats.databaseBytes)))"),
            ]
            for head in stats.heads { lines.append(("head of \(head.table)", "\(head.id):\(head.hash)")) }
            return fields(lines)
        }
    }

    // MARK: Pages

    /// The newest of a filter, the oldest of them first; and the id to go on with if there are more.
    private static func newest(
        _ session: Session, _ filters: [(String, String)], before: Int64?, limit: Int
    ) throws(AdminError) -> (entries: [HistoryLine], older: String?) {
        var entries: [HistoryLine] = []
        var left = limit
        var cursor = before.map { String($0) }
        let progress = Progress(session.console)
        defer { progress.end() }
        repeat {
            let page = try page(session, filters, cursor, limit: left)
            entries += page.entries
            left -= page.entries.count { !$0.isGap }
            cursor = page.next
            progress.show("found \(limit - left), looked back to connection \(cursor ?? "")")
        } while cursor != nil && left > 0 && !session.console.isOutputGone()
            && !session.console.isInterrupted()
        return (entries.reversed(), cursor)
    }

    private static func page(
        _ session: Session, _ filters: [(String, String)], _ cursor: String?, limit: Int
    ) throws(AdminError) -> (entries: [HistoryLine], next: String?) {
        let query =
            filters + [("limit", String(min(limit, Limits.page)))] + (cursor.map { [("cursor", $0)] } ?? [])
        return try HistoryLine.page(try session.ask("GET", "history", query: query), session)
    }

    /// First where the history ends, then what was before it, then what comes after it: nothing is missed between the two.
    private static func follow(
        _ session: Session, _ filters: [(String, String)], _ printer: HistoryPrinter
    ) throws(AdminError) {
        let (arguments, history) = (session.arguments, session.arguments.history)
        let known = history.place?.description ?? history.cursor.map { String($0) }
        let patience = Patience(session, hasBegun: known != nil)
        // That it is followed is in the audit by this.
        guard let json = try patience.ask("history", query: filters + [("wait", "0")]) else { return }
        guard let start = try HistoryLine.page(json, session).next, let end = FollowCursor(start) else {
            throw AdminError("protocol", "the server's answer is not what this program knows")
        }
        var cursor = known ?? (history.isOldestFirst ? "0.0.0" : start)
        if known == nil, !history.isOldestFirst {
            let entries = try newest(
                session, filters, before: end.opened + 1, limit: arguments.limit ?? 10
            ).entries
            try printer.write(entries, at: (start, start))
        }
        while let json = try patience.ask("history", query: filters + [("wait", "20"), ("cursor", cursor)]) {
            let page = try HistoryLine.page(json, session)
            let next = page.next ?? cursor
            try printer.write(page.entries, at: (cursor, next))
            cursor = next
        }
    }

    // MARK: Flags

    /// What the filters' flags say, as parameters.
    static func query(_ session: Session) throws(AdminError) -> [(String, String)] {
        let (arguments, history, now) = (session.arguments, session.arguments.history, session.console.now())
        try checkZone(arguments)
        var query: [(String, String)] = []
        for (name, time) in [("since", arguments.since), ("until", history.until), ("at", history.at)] {
            if let time { query.append((name, time.time(now: now, isLocal: history.isLocal).description)) }
        }
        try checkOrder(arguments, now: now)
        let texts = [
            ("node", arguments.node), ("listener", history.listener), ("client", history.client),
            ("target", history.target), ("minBytes", history.minBytes.map { String($0) }),
            ("open", history.isOpen ? "true" : nil),
            (
                "result",
                history.results.isEmpty ? nil : history.results.map(\.rawValue).joined(separator: ",")
            ),
        ]
        for (name, text) in texts {
            if let text { query.append((name, text)) }
        }
        return query
    }

    private static func check(_ arguments: Arguments) throws(AdminError) {
        let history = arguments.history
        try checkZone(arguments)
        guard history.follows else {
            guard let place = history.place else { return }
            throw .usage("history: --cursor \(place) is for --follow", hint: "give the id of a connection")
        }
        let others = [
            ("--until", history.until != nil), ("--at", history.at != nil),
        ]
        if let other = others.first(where: \.1)?.0 {
            throw .usage(
                "history: --follow and \(other) exclude each other", hint: "\(Verb.program) help history")
        }
        guard arguments.output != .json else {
            throw .usage("history: --follow has no end, so it is no JSON document", hint: "-o jsonl")
        }
    }

    /// Here too: with a running server of an earlier version such a range is an empty list.
    static func checkOrder(_ arguments: Arguments, now: Timestamp) throws(AdminError) {
        let isLocal = arguments.history.isLocal
        guard let since = arguments.since?.time(now: now, isLocal: isLocal),
            let until = arguments.history.until?.time(now: now, isLocal: isLocal), until <= since
        else { return }
        throw .usage("--until: \(until) is not after --since, \(since)")
    }

    static func checkZone(_ arguments: Arguments) throws(AdminError) {
        guard arguments.history.isUTC, arguments.history.isLocal else { return }
        throw .usage("--utc and --local exclude each other")
    }
}
