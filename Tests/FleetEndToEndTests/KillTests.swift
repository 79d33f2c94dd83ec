import Foundation
import Support
import Testing

/// `kill -9` in the middle of changes: each is done or not, never half; what was acknowledged is there.
@Suite(.heavy)
struct KillTests {
    private static let sqlite = "/usr/bin/sqlite3"
    private static let changes = 200
    private static let kills = 12

    enum Victim: String, CaseIterable, CustomTestStringConvertibleByRawValue {
        case server
        /// While the server runs: it only asks.
        case admin
        /// While it has the records itself.
        case adminAlone = "admin, without a server"
    }

    @Test(arguments: Victim.allCases)
    func `each of many random changes is old or new, whoever is killed`(victim: Victim) throws {
        let seed = newSeed("killed \(victim)")
        var random = SeededRandom(seed: seed)
        let fleet = try ManagedFleet()
        if victim == .adminAlone { try fleet.stopServer() }
        let changes = victim == .adminAlone ? Self.changes / 4 : Self.changes
        var ledger = Ledger()
        // The first few only add nodes.
        let killAt = Set((4..<changes).shuffled(using: &random).prefix(Self.kills))
        var (done, undone) = (0, 0)
        do {
            for number in 0..<changes {
                let change = ledger.randomChange(number, &random)
                let after = ledger.after(change)
                guard killAt.contains(number) else {
                    if victim == .adminAlone {
                        try fleet.admin(ledger.command(change))
                    } else {
                        let request = ledger.request(change)
                        try fleet.control.ask(request.method, request.path, request.body)
                    }
                    ledger = after
                    continue
                }
                let isAcknowledged = try kill(victim, of: fleet, in: change, ledger, &random)
                let found = try fleet.ledger()
                if isAcknowledged, found != after { throw Failure("lost: \(change)\n\(found)") }
                guard found == ledger || found == after else {
                    throw Failure("between: \(change)\n\(ledger)\n\(found)")
                }
                if found == after { done += 1 } else { undone += 1 }
                ledger = found
            }
            let found = try fleet.ledger()
            #expect(found == ledger)
            if victim != .adminAlone { try fleet.stopServer() }
            try requireIntegrity(fleet)
            print("killed \(victim): of \(Self.kills) changes \(done) were done, \(undone) not")
        } catch {
            throw Failure("GOPROXY_SEED=\(seed): \(error)\n\(fleet.logs)")
        }
    }

    /// Begins the change, kills, and waits until nothing is under way. Answers whether it had been acknowledged.
    private func kill(
        _ victim: Victim, of fleet: ManagedFleet, in change: Ledger.Change, _ ledger: Ledger,
        _ random: inout SeededRandom
    ) throws -> Bool {
        guard victim != .server else {
            let (control, request) = (fleet.control, ledger.request(change))
            let asking = Worker { (try? control.ask(request.method, request.path, request.body)) != nil }
            // A new node's key takes some 80 ms to derive, everything else is a few.
            let most: UInt32 = if case .addNode = change { 150_000 } else { 6_000 }
            usleep(UInt32.random(in: 0..<most, using: &random))
            fleet.server.kill()
            try requireIntegrity(fleet)
            try fleet.resumeServer()
            return try asking.value()
        }
        let admin = try fleet.adminProcess(ledger.command(change))
        usleep(UInt32.random(in: 0..<120_000, using: &random))
        admin.kill()
        let isAcknowledged = try admin.waitForExit() == .exit(0)
        guard victim == .admin else {
            try requireIntegrity(fleet)
            return isAcknowledged
        }
        // What it had asked, the server goes on with. It takes connections in their order, a thread each: when a later one has
        // been answered the thread of the killed one is there, and when only the accepting thread is left it has ended.
        _ = try fleet.control.ask("GET", "/v1/status")
        _ = try eventually("the server is at rest") { fleet.server.controlThreads == 1 ? true : nil }
        return isAcknowledged
    }

    /// SQLite's own program has the say.
    private func requireIntegrity(_ fleet: ManagedFleet) throws {
        guard FileManager.default.isExecutableFile(atPath: Self.sqlite) else { return }
        let said = try run(
            Self.sqlite,
            ["-readonly", "\(fleet.data)/goproxy.db", "PRAGMA integrity_check; PRAGMA foreign_key_check;"]
        ).succeeded()
        guard said == ["ok"] else { throw Failure("integrity: \(said)") }
    }
}

extension Program {
    /// Those of the HTTP library, by the names that it gives them.
    fileprivate var controlThreads: Int {
        let tasks = "/proc/\(pid)/task"
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []
        let names = threads.map { try? String(contentsOfFile: "\(tasks)/\($0)/comm", encoding: .utf8) }
        return names.count { $0?.hasPrefix("MHD-") == true }
    }
}
