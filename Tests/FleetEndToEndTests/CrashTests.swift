import Foundation
import Records
import SQLite
import Support
import Testing

/// The server under load, killed again and again: what it promised is on record.
@Suite(.heavy)
struct CrashTests {
    /// `GOPROXY_KILLS` raises it.
    private static let kills =
        ProcessInfo.processInfo.environment["GOPROXY_KILLS"].flatMap { Int($0) } ?? 200
    private static let integrityEvery = 20

    @Test func `however often the server is killed, every connection that passed a byte is on record`() throws
    {
        let seed = newSeed("killed under load")
        let run = try CrashRun(seed: seed)
        do {
            for number in 1...Self.kills {
                try run.killAndResume()
                try run.check(isWhole: number % Self.integrityEvery == 0)
            }
            try run.finish()
        } catch {
            throw Failure("GOPROXY_SEED=\(seed), after \(run.kills.count) kills: \(error)\n\(run.fleet.logs)")
        }
    }
}

/// A fleet, its clients, and what has been seen of both.
private final class CrashRun {
    let fleet: ManagedFleet
    private let heard = Locked<Set<UInt32>>([])
    private let target: TargetServer
    private let callers: Callers
    private var nodes: [(uuid: String, program: Program)] = []
    private var random: SeededRandom
    /// When each server was gone.
    private(set) var kills: [Int64] = []
    private var (killsSeen, gapsSeen) = (0, 0)
    private var rows: [UInt32: HistoryRow] = [:]
    private var lastRow: Int64 = 0
    private var (connections, recovered, unanswered) = (0, 0, 0)

    init(seed: UInt64) throws {
        random = SeededRandom(seed: seed)
        // Addresses that nothing else of this machine uses: the ports stay ours while the server is away.
        let host = "127.\(Int.random(in: 32..<64, using: &random)).\(getpid() >> 8 & 255).\(getpid() & 255)"
        fleet = try ManagedFleet(host: host, isVerbose: false)
        target = try Callers.target(noting: heard)
        var entrances: [(Kind, Endpoint)] = []
        for number in 0..<2 {
            let name = "edge-\(number)"
            let (uuid, program) = try fleet.joinNode(name)
            nodes.append((uuid, program))
            for kind in Kind.allCases {
                let listen = Endpoint.tcp("\(host):\(7_000 + entrances.count)")
                let opened = try fleet.open(kind, of: name, listen: listen, to: target.endpoint)
                entrances.append((kind, opened.entrance))
            }
        }
        callers = Callers(10, at: entrances, seed: seed)
    }

    // MARK: Kills

    func killAndResume() throws {
        if Int.random(in: 0..<8, using: &random) == 0 {
            // While it starts, or soon after, mostly without a node.
            usleep(UInt32.random(in: 0..<100_000, using: &random))
        } else {
            try callers.requireProgress()
            usleep(UInt32.random(in: 0..<50_000, using: &random))
        }
        fleet.server.kill()
        kills.append(Timestamp.now.microseconds)
        callers.nextEra()
        // Not always one that lives long enough to be useful.
        if Int.random(in: 0..<16, using: &random) == 0 {
            let brief = try fleet.startServer(port: fleet.endpoint.port)
            usleep(UInt32.random(in: 0..<200_000, using: &random))
            brief.kill()
            kills.append(Timestamp.now.microseconds)
        }
        try fleet.resumeServer()
        fleet.forgetOldPrograms()
        try replaceWaitingNodes()
    }

    /// A node whose links never last waits longer and longer.
    private func replaceWaitingNodes() throws {
        for (place, node) in nodes.enumerated() {
            let waits = node.program.log.last { !$0["retry-ms"].isEmpty }
            guard Int(waits?["retry-ms"] ?? "") ?? 0 > 200 else { continue }
            node.program.kill()
            nodes[place].program = try fleet.startNode(node.uuid)
        }
    }

    // MARK: Checks

    /// Of everything before the server that runs now.
    func check(isWhole: Bool) throws {
        let calls = callers.take(before: callers.era)
        try checkNotes()
        try check(calls)
        if isWhole { try fleet.requireIntegrity() }
    }

    private func check(_ calls: [Call]) throws {
        let last = try fleet.lastStart()
        for row in try fleet.history(after: lastRow) where row.id <= last {
            guard row.end != nil else { throw Failure("it has no end: \(row)") }
            guard let address = row.address, rows.updateValue(row, forKey: address) == nil else {
                throw Failure("not a client of ours: \(row)")
            }
            if row.end?.isRecovered == true { recovered += 1 }
        }
        lastRow = last
        let heard = heard.get()
        for call in calls {
            let row = rows.removeValue(forKey: call.address)
            try fleet.requireRecord(row, of: call, isHeard: heard.contains(call.address))
            connections += 1
            if call.received == 0 { unanswered += 1 }
        }
    }

    /// Each moment in which a server died lies in a gap, and no gap is longer than a heartbeat before it.
    private func checkNotes() throws {
        let gaps = try fleet.gaps("server-crash")
        let starts = try fleet.notes("start")
        guard gaps.count == starts - 1 else { throw Failure("\(starts) starts, \(gaps.count) gaps") }
        let newGaps = gaps[gapsSeen...]
        let newKills = kills[killsSeen...]
        (gapsSeen, killsSeen) = (gaps.count, kills.count)
        for kill in newKills {
            guard newGaps.contains(where: { $0.from <= kill && kill <= $0.to }) else {
                throw Failure("no gap at \(kill): \(newGaps)")
            }
        }
        for gap in newGaps {
            guard newKills.contains(where: { gap.from >= $0 - 2_000_000 && gap.from <= $0 }) else {
                throw Failure("a gap that nobody made: \(gap), kills \(newKills)")
            }
        }
        for line in fleet.server.log where line.level == "error" { throw Failure("\(line)") }
    }

    func finish() throws {
        try callers.stop()
        for node in nodes { node.program.kill() }
        try fleet.stopServer()
        try fleet.resumeServer()
        try check(callers.take())
        guard rows.isEmpty else { throw Failure("rows of nobody: \(rows.values.prefix(3))") }
        try fleet.requireIntegrity()
        try fleet.admin("audit", "verify")
        guard recovered > kills.count / 2 else { throw Failure("only \(recovered) were recovered") }
        print(
            "killed \(kills.count) times: \(connections) connections, \(unanswered) without an answer, "
                + "\(recovered) ends recovered")
    }
}
