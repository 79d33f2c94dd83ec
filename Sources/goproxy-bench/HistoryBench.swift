// HistoryBench: how long a page of the history takes when it is long. The records are made here, by SQL of its own: a year of
// connections of 1,000 nodes with 20 listeners each, few of which have most, from 200,000 addresses.
import Glibc
import Records
import SQLite

struct HistoryBench {
    let connections: Int64
    let temporary: TemporaryFolder
    private static let rounds = 12
    private static let pageGoalMilliseconds = 100.0
    private static let start: Int64 = 1_750_000_000_000_000
    private static let year: Int64 = 365 * 86_400 * 1_000_000

    private var path: String { "\(temporary.path)/\(Store.fileName)" }
    private var step: Int64 { Self.year / connections }

    init(connections: Int, in temporary: TemporaryFolder) {
        self.connections = Int64(connections)
        self.temporary = temporary
    }

    func run() throws(BenchError) {
        do {
            let begin = monotonicNanoseconds()
            try HistoryData(path: path, connections: connections, start: Self.start, step: step).make(
                temporary.path)
            show("\(connections) connections made", milliseconds(since: begin), "ms")
            var status = stat()
            guard stat(path, &status) == 0 else { throw BenchError.system(path, "cannot look at it") }
            show("size of the database", Double(status.st_size) / 1e6, "MB")
            show("  of it, each connection", Double(status.st_size) / Double(connections), "bytes")
            let opening = monotonicNanoseconds()
            let store = try Store.open(directory: temporary.path)
            defer { store.close() }
            show("opened", milliseconds(since: opening), "ms")
            print("\nA command asks for pages until it has its 100 connections, or all.")
            print(columns("filter", ["found", "pages", "page ms", "worst", "its CPU", "command ms"]))
            var worst = 0.0
            for (name, filter, order) in filters() {
                worst = max(worst, try measure(store, name, filter, order))
            }
            print(
                "\nworst page: \(decimal(worst)) ms; the goal is less than \(Int(Self.pageGoalMilliseconds)) ms"
            )
            try totals(store)
        } catch let error as BenchError {
            throw error
        } catch {
            throw BenchError(subject: "history", failed: "not measured", why: "\(error)")
        }
    }

    private func filters() -> [(String, ConnectionFilter, ConnectionOrder)] {
        var list: [(String, ConnectionFilter, ConnectionOrder)] = []
        func add(
            _ name: String, _ order: ConnectionOrder = .newest, _ change: (inout ConnectionFilter) -> Void
        ) {
            var filter = ConnectionFilter()
            change(&filter)
            list.append((name, filter, order))
        }
        let end = Self.start + Self.year
        let day: Int64 = 86_400 * 1_000_000
        let ago = { (days: Int64) in Timestamp(microseconds: end - days * day) }
        add("none") { _ in }
        add("oldest first", .oldest) { _ in }
        add("since 1 day", .oldest) { $0.since = ago(1) }
        add("until half a year ago") { $0.until = ago(182) }
        add("at 1 hour ago") {
            $0.at = Timestamp(microseconds: end - 3_600_000_000)
            $0.open = [:]
        }
        add("at half a year ago") { $0.at = ago(182) }
        add("node, with most") { $0.node = "node-1" }
        add("node, middling") { $0.node = "node-500" }
        add("node, rare and old") { $0.node = "node-rare" }
        add("listener, a name of every node") { $0.listener = "m7" }
        add("listener of one node") { $0.listener = "node-900/m3" }
        add("client, one address") { $0.client = ClientRange("10.1.2.3") }
        add("client, a range of 256") { $0.client = ClientRange("10.1.2.0/24") }
        add("client, a range of 65,536") { $0.client = ClientRange("10.1.0.0/16") }
        add("client, one, seen long ago") { $0.client = ClientRange("192.0.2.1") }
        add("client, never seen") { $0.client = ClientRange("198.51.100.7") }
        add("client and node") {
            $0.client = ClientRange("10.1.0.0/20")
            $0.node = "node-2"
        }
        add("target, rare") { $0.target = "10.9.9.9:80" }
        add("target, a host of many") { $0.target = "10.0.0.5" }
        add("result idle, one in a hundred") { $0.results = [.idle] }
        add("result killed, one in a million") { $0.results = [.killed] }
        add("result killed, of one node") {
            $0.results = [.killed]
            $0.node = "node-3"
        }
        add("result killed, a listener of every node") {
            $0.results = [.killed]
            $0.listener = "m7"
        }
        add("at least 1 GB") { $0.minBytes = 1_000_000_000 }
        add("open, as the server knows them") {
            $0.isOpen = true
            $0.open = Dictionary(
                uniqueKeysWithValues: (connections - 40...connections).map {
                    ($0, PassedBytes(up: 1, down: 2))
                })
        }
        add("a day half a year ago, one node, one client") {
            $0.since = ago(183)
            $0.until = ago(182)
            $0.node = "node-4"
            $0.client = ClientRange("10.0.0.0/12")
        }
        return list
    }

    /// Answers the worst page in milliseconds.
    private func measure(
        _ store: Store, _ name: String, _ filter: ConnectionFilter, _ order: ConnectionOrder
    ) throws -> Double {
        var (times, commands): ([Double], [Double]) = ([], [])
        // The processor's own time tells a slow page from one that others' programs held up.
        var worst = (wall: 0.0, processor: 0.0)
        var (found, pages) = (0, 0)
        for _ in 0..<Self.rounds {
            let begin = monotonicNanoseconds()
            var cursor: Int64?
            (found, pages) = (0, 0)
            repeat {
                let (start, processor) = (monotonicNanoseconds(), Self.processorNanoseconds())
                let page = try store.read { [cursor, found] (reader) throws(RecordsError) in
                    try reader.history(filter, order: order, cursor: cursor, limit: 100 - found)
                }
                times.append(milliseconds(since: start))
                if let last = times.last, last > worst.wall {
                    worst = (last, Double(Self.processorNanoseconds() - processor) / 1e6)
                }
                found += page.entries.count { if case .connection = $0 { true } else { false } }
                cursor = page.next
                pages += 1
            } while cursor != nil && found < 100
            commands.append(milliseconds(since: begin))
            // What takes seconds need not be done often.
            if commands.reduce(0, +) > 10_000 { break }
        }
        print(
            columns(
                name,
                [
                    "\(found)", "\(pages)", decimal(times.median ?? 0), decimal(worst.wall),
                    decimal(worst.processor),
                    decimal(commands.median ?? 0),
                ]))
        return worst.wall
    }

    private func totals(_ store: Store) throws {
        var filter = ConnectionFilter()
        filter.since = Timestamp(microseconds: Self.start + Self.year - 7 * 86_400_000_000)
        for (name, filter) in [("of a week", filter), ("of all", ConnectionFilter())] {
            for key in [TotalsKey.client, .node] {
                let begin = monotonicNanoseconds()
                var cursor: Int64?
                var count: Int64 = 0
                repeat {
                    let part = try store.read { [cursor] (reader) throws(RecordsError) in
                        try reader.totals(filter, by: key, cursor: cursor)
                    }
                    count += part.totals.values.reduce(0) { $0 + $1.connections }
                    cursor = part.next
                } while cursor != nil
                show("top by \(key.rawValue) \(name): \(count) connections", milliseconds(since: begin), "ms")
            }
        }
        let begin = monotonicNanoseconds()
        _ = try store.read { (reader) throws(RecordsError) in try reader.historyNumbers() }
        show("stats: counts of rows", milliseconds(since: begin), "ms")
        let sum = monotonicNanoseconds()
        var closing: Int64? = 0
        while let last = closing {
            closing = try store.read { (reader) throws(RecordsError) in try reader.closedTotals(after: last) }
                .next
        }
        show("stats: what passed", milliseconds(since: sum), "ms")
    }

    /// Of this thread.
    private static func processorNanoseconds() -> Int {
        var now = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
        return now.tv_sec * 1_000_000_000 + now.tv_nsec
    }

    // MARK: Report

    private func milliseconds(since start: Int) -> Double { Double(monotonicNanoseconds() - start) / 1e6 }

    private func columns(_ name: String, _ values: [String]) -> String {
        let pad = { (text: String, width: Int) in String(repeating: " ", count: max(0, width - text.count)) }
        return name + pad(name, 46) + values.map { pad($0, 11) + $0 }.joined()
    }

    private func decimal(_ value: Double) -> String {
        let number = String(Int((value * 10).rounded()))
        return number.count < 2 ? "0.\(number)" : "\(number.dropLast()).\(number.suffix(1))"
    }

    private func show(_ what: String, _ value: Double, _ unit: String) {
        print(what + String(repeating: " ", count: max(1, 64 - what.count)) + decimal(value) + " \(unit)")
    }
}
