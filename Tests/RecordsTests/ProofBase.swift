import Foundation
import Histories
import Records
import SQLite
import Testing

/// A history as an honest server leaves it, whatever happens to it: made at random from a seed.
final class HonestHistory {
    private var random: Seeded
    private(set) var folder = Scratch()
    private var store: Store?
    private var outcomes: Outcomes?
    private var open: [Int64] = []
    private var routes: [Int64] = []
    private var nodes = 0
    private var holds: [Int64] = []
    private var hour = 0
    /// The mapped file of counts, as it was at the last start.
    private var slots: Data?
    private var backup: (path: String, open: [Int64])?
    private(set) var done: [String] = []

    /// - Parameter ends: whether its server has stopped at the end, or was killed.
    init(seed: UInt64, steps: Int, ends: Bool) throws {
        random = Seeded(seed)
        try start()
        for _ in 0..<steps { try step() }
        if ends { stop() } else { try kill() }
    }

    deinit { store?.close() }

    private var running: Store {
        get throws { try #require(store) }
    }

    private func start() throws {
        // At times nothing is sealed but at the end.
        let seals = Int.random(in: 0..<3, using: &random) == 0 ? 3_600 : 0
        let store = try Store.open(directory: folder.directory, server: "1.0.0", sealsEverySeconds: seals)
        self.store = store
        outcomes = Outcomes(store.history)
        slots = try? Data(contentsOf: URL(filePath: folder.path("connections.slots")))
        // What was open then was closed by the start.
        open = []
        try addRoute()
        done.append("start")
    }

    private func stop() {
        close(open, .serverStop)
        store?.close()
        store = nil
        done.append("stop")
    }

    /// What a kill leaves is what the kernel has of the files. Copied on the writer's thread, which writes nothing meanwhile.
    private func kill() throws {
        let folder = folder
        let copy = try running.change { (_) throws(RecordsError) in
            do { return try folder.killed() } catch { throw RecordsError(.io, "\(error)") }
        }
        store?.close()
        store = nil
        self.folder = copy
        done.append("kill")
    }

    /// As a kill, and the pages that nobody had synced are as they were: those of the counts, which are mapped.
    private func cutPower() throws {
        try kill()
        let size = try Data(contentsOf: URL(filePath: folder.path("connections.slots"))).count
        let before =
            slots.flatMap { $0.count == size && Bool.random(using: &random) ? $0 : nil } ?? Data(count: size)
        try before.write(to: URL(filePath: folder.path("connections.slots")))
        done.append("power cut")
    }

    /// Openings cannot be written for a while, as on a full disk: they are dropped, with a gap, and a closing waits.
    private func fail() throws {
        guard let outcomes else { return }
        let healings = outcomes.healings
        let database = try Database(path: folder.path(Store.fileName), mode: .readWrite)
        try database.run(
            script: "CREATE TRIGGER fault BEFORE INSERT ON opened BEGIN SELECT RAISE(ABORT, 'fault'); END")
        let (ended, log) = (Array(open.prefix(1)), try running.history)
        let at = time()
        let client = ClientPlace(ipv4: 0x0a00_0001, port: 40_001)
        outcomes.waitForFailed(
            log.append(
                ended.map {
                    .closed(
                        Closed(
                            connection: $0, at: at, durationMicroseconds: 1, up: 1, down: 1, nodeUp: nil,
                            nodeDown: nil, reason: .clientEOF, flags: []))
                } + [
                    .opened(
                        Opened(
                            id: log.newConnectionID(), route: routes[0], at: at, monotonicMicroseconds: 1,
                            client: client))
                ]))
        try database.run(script: "DROP TRIGGER fault")
        outcomes.waitForHealing(healings + 1)
        open.removeAll(where: Set(ended).contains)
        done.append("failure")
    }

    private func append(_ events: [HistoryEvent]) {
        guard let store, !events.isEmpty else { return }
        outcomes?.waitForDurable(store.history.append(events))
    }

    private func addRoute() throws {
        let id = try running.history.newRouteID()
        let node = Int.random(in: 0..<3, using: &random)
        append([
            .route(
                ConnectionRoute(
                    id: id, nodeID: HistoryRows.nodeID(node), node: "edge-0\(node)",
                    identity: [UInt8](repeating: 7, count: 16), mapping: UInt32(1 + node), kind: .listener,
                    mappingName: node == 2 ? nil : "rdp", listen: "tcp 0.0.0.0:13389",
                    target: "127.0.0.1:338\(node)"))
        ])
        routes.append(id)
    }

    private func connect(_ count: Int) throws {
        let log = try running.history
        let clients = [
            ClientPlace(ipv4: 0xcb00_7109, port: 51_514), ClientPlace(ipv4: 0x0a00_0001, port: 40_000), .unix,
            ClientPlace(length: 16, high: 0x2001_0db8_0000_0000, low: 1, port: 443),
        ]
        let new = (0..<count).map { _ in log.newConnectionID() }
        let at = time()
        append(
            new.map { id in
                .opened(
                    Opened(
                        id: id, route: routes[Int.random(in: 0..<routes.count, using: &random)], at: at,
                        monotonicMicroseconds: id,
                        client: clients[Int.random(in: 0..<clients.count, using: &random)]))
            })
        open += new
    }

    private func time() -> Timestamp {
        hour += 1
        return Past.hour(hour)
    }

    private func close(_ some: [Int64], _ reason: EndReason = .clientEOF) {
        let at = time()
        append(
            some.map { id in
                let counts = Int64.random(in: 0..<100_000, using: &random)
                return .closed(
                    Closed(
                        connection: id, at: at, durationMicroseconds: counts, up: counts, down: 2 * counts,
                        nodeUp: id % 3 == 0 ? nil : counts, nodeDown: id % 3 == 0 ? nil : 2 * counts,
                        reason: reason,
                        flags: id % 5 == 0 ? .countsDiffer : []))
            })
        open.removeAll(where: Set(some).contains)
    }

    private func step() throws {
        let store = try running
        switch Int.random(in: 0..<26, using: &random) {
        case 0..<5: try connect(Int.random(in: 1...4, using: &random))
        case 5..<9: close(Array(open.shuffled(using: &random).prefix(3)))
        case 9: try addRoute()
        case 10:
            append([
                .note(
                    .gap(.clockStep, from: Past.hour(hour), to: Past.hour(hour - 2), at: Past.hour(hour - 2)))
            ])
            hour -= 2
        case 11:
            append([
                .note(
                    Note(
                        at: time(), kind: .refusals, from: Past.hour(hour - 1), to: Past.hour(hour), count: 3,
                        detail: "limit")
                )
            ])
        case 12, 13:
            nodes += 1
            _ = try store.addNode("node-\(nodes)")
            if nodes % 3 == 0 {
                let node = try store.node("node-\(nodes)")
                let name = "other-\(nodes)"
                _ = try store.change { (t) throws(RecordsError) in try t.renameNode(node.id, to: name) }
            }
        case 14:
            let since = Past.hour(hour)
            let hold = try store.change { (t) throws(RecordsError) in
                try t.addHold(since: since, reason: "case 7")
            }
            holds.append(hold.id)
        case 15:
            guard let hold = holds.popLast() else { return }
            _ = try store.change { (t) throws(RecordsError) in try t.releaseHold(id: hold) }
        case 16, 17:
            var left = Int.random(in: 0..<6, using: &random)
            let report = try store.prune(before: Past.hour(hour), actor: .server) {
                left -= 1
                return left == 0
            }
            done.append("prune \(report.opened)\(report.more ? " and more" : "")")
        case 18:
            stop()
            try start()
        case 19, 20:
            try kill()
            try start()
        case 21:
            let path = folder.path("copy.db")
            _ = try Backup.make(of: folder.directory, at: path, replaces: true) { (_) throws(RecordsError) in
            }
            backup = (path, open)
        case 22:
            guard let (path, _) = backup, FileManager.default.fileExists(atPath: path) else { return }
            stop()
            let restored = try Restore.run(from: path, into: folder.directory, actor: .server)
            // The next in the same second would have its name.
            if let replaced = restored.replaced { try FileManager.default.removeItem(atPath: replaced) }
            // Routes that it does not know are not given again by a server that starts on it.
            (holds, routes) = ([], [])
            done.append("restore")
            try start()
        case 23: try fail()
        case 24:
            try cutPower()
            try start()
        default:
            // Moved to another place.
            stop()
            let copy = try folder.killed()
            folder = copy
            try start()
        }
    }
}
