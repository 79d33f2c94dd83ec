import Foundation
import Support
import Testing

/// Writes and syncs that fail under a running server: it refuses and says so, and goes on when it can.
@Suite(.heavy, .enabled(if: Tracing.isPossible, "needs strace, and to be root"))
struct IOFaultTests {
    private static let faults = 100
    private static let startFaults = 24

    @Test func `with 100 failed writes and syncs no byte passes without a record, and it heals by itself`()
        throws
    {
        let seed = newSeed("failed writes")
        var random = SeededRandom(seed: seed)
        let run = try FaultyRun(seed: seed)
        do {
            var injected = 0
            while injected < Self.faults { injected += try run.disturb(&random) }
            try run.requireRefusals()
            try run.finish(injected)
        } catch {
            throw Failure("GOPROXY_SEED=\(seed): \(error)\n\(run.fleet.logs)")
        }
    }

    @Test(arguments: [false, true])
    func `a start that cannot write comes up or ends with one clear line, and the next one is whole`(
        isFirst: Bool
    ) throws {
        let seed = newSeed("failed starts")
        var random = SeededRandom(seed: seed)
        var (refused, failed) = (0, 0)
        var folder = try DataFolder()
        // Something for the later ones to find.
        if !isFirst { try folder.start().kill() }
        for number in 0..<Self.startFaults {
            if isFirst { folder = try DataFolder() }
            // How many there are of each, on each of the two threads, at a start that finds a crash.
            let (call, most) = [
                ("fdatasync", 2), ("pwrite64", 16), ("ftruncate", 2), ("fallocate", 2), ("fsync", 2),
            ][number % 5]
            let fault = Injection.Fault.allCases.randomElement(using: &random) ?? .io
            let first = Int.random(in: 1...most, using: &random)
            let what = "start \(number): GOPROXY_SEED=\(seed), \(fault) at \(call) \(first)"
            let (isUp, count, server) = try folder.start(call, fault, when: "\(first)")
            failed += count
            if !isUp {
                refused += 1
                let said = server.errors.filter { LogLine($0) == nil }
                let isClear = said.count == 1 && said[0].hasPrefix("goproxy-server: ")
                guard try server.waitForExit() == .exit(1), isClear, count > 0 else {
                    throw Failure("\(what)\n\(server.transcript)")
                }
            }
            if isFirst {
                do { try folder.start().kill() } catch { throw Failure("\(what): the next start: \(error)") }
            }
        }
        try folder.start().kill()
        try checkIntegrity("\(folder.data)/goproxy.db")
        print("\(Self.startFaults) starts with \(failed) failed calls: \(refused) ended with a line")
        #expect(refused > 0)
    }
}

/// A data folder and the servers that start on it, one after the other.
private struct DataFolder {
    let directory: TemporaryDirectory
    var data: String { directory.file("data") }

    init() throws { directory = try TemporaryDirectory() }

    private var arguments: [String] { ["-host", "127.0.0.1", "-port", "0", "-data", data] }

    /// One that comes up.
    func start() throws -> Program {
        let server = try Program.goproxy("goproxy-server", arguments)
        try server.waitForLog("control-listening")
        return server
    }

    /// One in which calls fail: whether it came up, and how many failed. It has ended.
    func start(
        _ call: String, _ fault: Injection.Fault, when: String
    ) throws -> (isUp: Bool, failed: Int, Program) {
        let file = directory.file("injected")
        // Ends with strace, whoever ends that.
        let tool =
            Injection.arguments(call, fault, when: when, file) + ["/usr/bin/setpriv", "--pdeathsig", "KILL"]
        let server = try Program(
            Tracing.strace, tool + ["\(Program.buildDirectory)/goproxy-server"] + arguments)
        let isUp = try eventually(
            "it is up or has ended", within: .seconds(20), evidence: { server.transcript }
        ) {
            if !server.logged("control-listening").isEmpty { return true }
            return server.isRunning ? nil : false
        }
        if isUp { server.kill() } else { _ = try server.finish() }
        return (isUp, Injection.count(file), server)
    }
}

/// strace at a running program, or as the one that starts it: some of its calls fail.
private final class Injection {
    enum Fault: String, CaseIterable {
        case io = "EIO"
        case full = "ENOSPC"
    }

    private let file: String
    private let strace: Program

    /// `when`: which calls of each thread, such as `3..5` or `1+`.
    init(_ call: String, _ fault: Fault, when: String, in pid: pid_t, _ directory: TemporaryDirectory) throws
    {
        file = directory.file("injected")
        try? FileManager.default.removeItem(atPath: file)
        strace = try Program(
            Tracing.strace, Self.arguments(call, fault, when: when, file) + ["-p", "\(pid)"])
    }

    static func arguments(_ call: String, _ fault: Fault, when: String, _ file: String) -> [String] {
        [
            "-f", "-qq", "-e", "trace=\(call)", "-e", "inject=\(call):error=\(fault.rawValue):when=\(when)",
            "-e", "signal=none", "-o", file,
        ]
    }

    /// Calls that were made to fail so far.
    static func count(_ file: String) -> Int {
        let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").count { $0.hasSuffix("(INJECTED)") }
    }

    var count: Int { Self.count(file) }

    /// Waits for so many failures, then leaves the program alone.
    func end(after wanted: Int) throws {
        _ = try eventually("\(wanted) calls fail", within: .seconds(20), evidence: { strace.transcript }) {
            if !strace.isRunning { throw Failure("strace has ended\n\(strace.transcript)") }
            return count >= wanted ? true : nil
        }
        strace.send(SIGTERM)
        try strace.waitForExit()
    }
}

private final class FaultyRun {
    let fleet: ManagedFleet
    private let heard = Locked<Set<UInt32>>([])
    private let target: TargetServer
    private let echo: TargetServer
    private let entrances: [(kind: Kind, endpoint: Endpoint)]
    private let callers: Callers
    /// From before the first fault until after the last.
    private let transfers: [EndlessTransfer]

    init(seed: UInt64) throws {
        let fleet = try ManagedFleet(isVerbose: false)
        let (target, echo) = (try Callers.target(noting: heard), try TargetServer.echo(limit: .seconds(120)))
        (self.fleet, self.target, self.echo) = (fleet, target, echo)
        _ = try fleet.joinNode("edge-07")
        entrances = try Kind.allCases.map { kind in
            (kind, try fleet.open(kind, of: "edge-07", to: target.endpoint).entrance)
        }
        transfers = try Kind.allCases.map { kind in
            let entrance = try fleet.open(kind, of: "edge-07", to: echo.endpoint).entrance
            return try EndlessTransfer(through: entrance, seed: seed)
        }
        callers = Callers(4, at: entrances, areBrief: true, seed: seed)
        try callers.requireProgress()
    }

    /// One stretch of failures, and its end. Answers how many there were.
    func disturb(_ random: inout SeededRandom) throws -> Int {
        let first = Int.random(in: 1...20, using: &random)
        let count = Int.random(in: 1...3, using: &random)
        let call = ["fdatasync", "pwrite64"].randomElement(using: &random) ?? ""
        let fault = Injection.Fault.allCases.randomElement(using: &random) ?? .io
        let injection = try Injection(
            call, fault, when: "\(first)..\(first + count - 1)", in: fleet.server.pid, fleet.directory)
        try injection.end(after: count)
        try requireHealth()
        return count
    }

    private func requireHealth() throws {
        _ = try eventually("it heals", within: .seconds(10)) {
            guard fleet.server.isRunning else { throw Failure("it has ended") }
            let (failing, healed) = (
                fleet.server.logged("history-failing"), fleet.server.logged("history-healed")
            )
            return failing.count == healed.count ? true : nil
        }
        try callers.requireProgress()
        for transfer in transfers { try transfer.requireProgress(1) }
    }

    /// While nothing can be written, nobody gets in, and who is in stays.
    func requireRefusals() throws {
        for fault in Injection.Fault.allCases {
            let injection = try Injection(
                "pwrite64", fault, when: "1+", in: fleet.server.pid, fleet.directory)
            let mark = fleet.server.mark
            try fleet.server.waitForLog("history-failing", where: ["new-connections": "refused"], after: mark)
            for (_, entrance) in entrances + entrances {
                let client = try Socket.connect(to: entrance)
                try? client.send("nobody is there")
                try client.requireEnd()
            }
            for transfer in transfers { try transfer.requireProgress() }
            try injection.end(after: 1)
            let clock = ContinuousClock.now
            try fleet.server.waitForLog("history-healed", after: mark)
            #expect(ContinuousClock.now - clock < .seconds(2))
            try requireHealth()
        }
    }

    func finish(_ injected: Int) throws {
        try callers.stop()
        for transfer in transfers { try transfer.finish() }
        let log = fleet.server
        try fleet.stopServer()
        guard try log.waitForExit() == .exit(0) else { throw Failure("no clean stop") }
        let healed = log.logged("records-healed").count
        let gaps = try fleet.gaps("audit-failure").count
        guard gaps == healed else { throw Failure("\(healed) times healed, \(gaps) gaps noted") }
        let calls = callers.take()
        try fleet.requireRecords(of: calls, heard: heard.get())
        let refused = calls.count { $0.received == 0 }
        print(
            "\(injected) calls failed: \(healed) times healed, \(calls.count) connections, \(refused) refused"
        )
    }
}
