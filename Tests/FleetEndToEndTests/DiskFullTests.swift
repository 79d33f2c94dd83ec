import Foundation
import Records
import Support
import Testing

/// A data folder on a small file system of its own, which is filled up under a running server.
@Suite(.heavy, .enabled(if: SmallDisk.isPossible, "needs to be root, and to be let mount"))
struct DiskFullTests {
    @Test func `on a full disk clients are refused, live connections go on, and room again is enough`() throws
    {
        try withSmallDisk([]) { run in
            try run.fill()
            let start = try run.requireRefusals()
            for transfer in run.transfers { try transfer.requireProgress() }
            try run.requireQuickHealing()
            for transfer in run.transfers { try transfer.requireProgress() }
            try run.callers.requireProgress()
            // Once more: the room that was kept back is there again.
            try run.fill()
            _ = try run.requireRefusals()
            try run.requireQuickHealing()
            try run.finish()
            let gaps = try run.fleet.gaps("audit-failure")
            #expect(gaps.count == 2 && gaps[0].from <= start && gaps[0].to > start, "\(gaps) \(start)")
            // All refusals are counted, those of the last minute at the next start.
            try run.fleet.resumeServer()
            let counted = try run.fleet.refusals("not-recorded")
            #expect(
                counted >= run.refused && counted <= run.refused + run.unknown, "\(counted) \(run.refused)")
        }
    }

    @Test func `a disk that the log of writes has filled is not full for ever`() throws {
        try withSmallDisk([]) { run in
            try run.fleet.server.waitForLog("history-failing", within: .seconds(60))
            for _ in 0..<3 {
                let mark = run.fleet.server.mark
                try run.fleet.server.waitForLog("history-healed", after: mark, within: .seconds(20))
                try run.callers.requireProgress(10_000)
            }
            try run.finish()
        }
    }

    @Test
    func `on a full disk clients are served nevertheless if the operator said so, and the gap tells it`()
        throws
    {
        try withSmallDisk(["-on-audit-failure", "continue"]) { run in
            try run.fill()
            try run.fleet.server.waitForLog("history-failing", where: ["new-connections": "passed"])
            let during = try run.newCall()
            #expect(during != nil)
            for transfer in run.transfers { try transfer.requireProgress() }
            let moment = Timestamp.now.microseconds
            try run.requireQuickHealing()
            let after = try run.newCall()
            try run.callers.stop()
            for transfer in run.transfers { try transfer.finish() }
            try run.fleet.stopServer()
            let gaps = try run.fleet.gaps("audit-failure")
            #expect(gaps.contains { $0.from <= moment && moment <= $0.to }, "\(gaps) \(moment)")
            let ports = try run.fleet.history().map(\.clientPort)
            #expect(ports.contains(try #require(after)))
            try run.fleet.requireIntegrity()
        }
    }
}

private func withSmallDisk(_ flags: [String], _ body: (FullDiskRun) throws -> Void) throws {
    let run = try FullDiskRun(flags)
    try run.fleet.explained { try body(run) }
}

private final class FullDiskRun {
    let fleet: ManagedFleet
    let callers: Callers
    let transfers: [EndlessTransfer]
    private let disk: SmallDisk
    private let heard = Locked<Set<UInt32>>([])
    private let (target, echo): (TargetServer, TargetServer)
    private let entrances: [(kind: Kind, endpoint: Endpoint)]
    private var turnedAway = 0
    /// Of the server's log, when the disk was filled last.
    private var mark: Program.Mark = 0

    init(_ flags: [String]) throws {
        var mounted: SmallDisk?
        let fleet = try ManagedFleet(flags, isVerbose: false) { folder in
            mounted = try SmallDisk(folder)
        }
        guard let mounted else { throw Failure("not mounted") }
        let (target, echo) = (try Callers.target(noting: heard), try TargetServer.echo(limit: .seconds(120)))
        (self.fleet, disk, self.target, self.echo) = (fleet, mounted, target, echo)
        _ = try fleet.joinNode("edge-07")
        let entrances = try Kind.allCases.map { kind in
            (kind: kind, endpoint: try fleet.open(kind, of: "edge-07", to: target.endpoint).entrance)
        }
        self.entrances = entrances
        transfers = try Kind.allCases.map { kind in
            let entrance = try fleet.open(kind, of: "edge-07", to: echo.endpoint).entrance
            return try EndlessTransfer(through: entrance, seed: 1)
        }
        callers = Callers(2, at: entrances, areBrief: true, seed: 1)
        try callers.requireProgress()
    }

    /// Clients that were turned away, and those that did not wait to see; known at the end.
    private(set) var (refused, unknown) = (0, 0)

    // MARK: The disk

    func fill() throws {
        mark = fleet.server.mark
        try disk.fill()
    }

    /// Answers a moment at which nobody was served.
    func requireRefusals() throws -> Int64 {
        try fleet.server.waitForLog("history-failing", where: ["new-connections": "refused"], after: mark)
        for (_, entrance) in entrances + entrances {
            guard try newCall(at: entrance) == nil else { throw Failure("a client was served") }
            turnedAway += 1
        }
        return Timestamp.now.microseconds
    }

    func requireQuickHealing() throws {
        let start = ContinuousClock.now
        disk.free()
        for (_, entrance) in entrances {
            _ = try eventually("clients are served again", within: .seconds(2)) {
                let port = try newCall(at: entrance)
                if port == nil { turnedAway += 1 }
                return port
            }
        }
        try fleet.server.waitForLog("history-healed", after: mark)
        print("disk full: served again after \(ContinuousClock.now - start)")
    }

    // MARK: Clients

    /// The port of a client that was served, nil for one that was turned away.
    func newCall(at entrance: Endpoint? = nil) throws -> Int? {
        let socket = try Socket.connect(to: entrance ?? entrances[0].endpoint, limit: .seconds(5))
        let port = try socket.localPort()
        do {
            try socket.send("hello")
            return try socket.receive(exactly: 5) == Array("hello".utf8) ? port : nil
        } catch SocketError.reset, SocketError.brokenPipe, SocketError.ended {
            return nil
        }
    }

    func finish() throws {
        try callers.stop()
        for transfer in transfers { try transfer.finish() }
        try fleet.stopServer()
        let calls = callers.take()
        try fleet.requireRecords(of: calls, heard: heard.get())
        let unanswered = calls.filter { $0.received == 0 }
        refused = unanswered.count { $0.end == .broken } + turnedAway
        unknown = unanswered.count { $0.end != .broken }
    }
}
