import Foundation
import Records
import SQLite
import Support
import Testing

/// The power is cut at any moment: what a server had let pass is on record.
@Suite(.heavy)
struct PowerCutTests {
    private static let cuts = 400
    /// Of the images, how many are also opened as a server would.
    private static let startEvery = 20
    private static let calls = 2_700

    @Test(.enabled(if: Tracing.isPossible, "needs strace, and to be root"))
    func `at 400 power cuts no connection that passed a byte is without its opening`() throws {
        let seed = newSeed("power cuts")
        let run = try TracedRun(calls: Self.calls, seed: seed)
        var random = SeededRandom(seed: seed)
        let cuts = (0..<Self.cuts).map { _ in Int.random(in: 0...run.events.count, using: &random) }.sorted()
        var disk = run.disk
        var said: Set<UInt32> = []
        var done = 0
        do {
            for (number, cut) in cuts.enumerated() {
                for place in done..<cut {
                    disk.take(run.events[place], number: place)
                    if case .said(let bytes) = run.events[place], bytes.count >= 4 {
                        let address = bytes.prefix(4).reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
                        if run.addresses.contains(address) { said.insert(address) }
                    }
                }
                done = cut
                try check(disk.afterPowerCut(&random), said, starts: number % Self.startEvery == 0)
            }
        } catch {
            throw Failure("GOPROXY_SEED=\(seed), cut after \(done) of \(run.events.count) events: \(error)")
        }
        let checkpointed = run.events.count {
            if case .wrote(Store.fileName, _, _) = $0 { true } else { false }
        }
        let syncs = run.events.count { if case .synced = $0 { true } else { false } }
        print(
            "\(cuts.count) power cuts in \(run.events.count) events with \(syncs) syncs and \(checkpointed) pages moved, \(said.count) connections"
        )
        #expect(said.count > Self.calls / 2 && syncs > Self.calls / 4 && checkpointed > 0)
    }

    private func check(_ contents: [String: [UInt8]], _ said: Set<UInt32>, starts: Bool) throws {
        let folder = try TemporaryDirectory()
        for (name, bytes) in contents {
            let path = folder.file(name)
            guard
                FileManager.default.createFile(
                    atPath: path, contents: Data(bytes), attributes: [.posixPermissions: 0o600])
            else { throw Failure("cannot write \(path)") }
        }
        if starts { try Store.open(directory: folder.path, server: "after a power cut").close() }
        let database = try Database(path: folder.file(Store.fileName), mode: .readOnly)
        let faults = try database.integrityFaults()
        guard faults.isEmpty else { throw Failure("integrity: \(faults)") }
        let rows = try database.query("SELECT client, reason FROM history") { (row) throws(SQLiteError) in
            (
                client: try row.blob(0).reduce(0 as UInt32) { $0 << 8 | UInt32($1) },
                reason: try row.textOrNil(1)
            )
        }
        // The next start takes these.
        let recorded = try Records.recordedOpenings(in: folder.path).map { UInt32($0.client.high >> 32) }
        let lost = said.subtracting(rows.map(\.client) + recorded)
        guard lost.isEmpty else {
            throw Failure("\(lost.count) of \(said.count) that passed a byte are lost")
        }
        guard starts else { return }
        if rows.contains(where: { $0.reason == nil }) { throw Failure("not recovered: \(rows)") }
        var verifier = ChainVerifier(path: folder.file(Store.fileName))
        verifier.keys = [contents["seal-verify.key"] ?? []]
        if let fault = try verifier.run().fault { throw Failure("the chain: \(fault)") }
    }
}

enum Tracing {
    static let strace = "/usr/bin/strace"

    /// Our programs hide their memory; only root may look nevertheless, where it may at all.
    static let isPossible: Bool = {
        guard getuid() == 0, FileManager.default.isExecutableFile(atPath: strace) else { return false }
        return (try? run(strace, ["-o", "/dev/null", "/usr/bin/true"]).succeeded()) != nil
    }()
}

/// A server and its node under strace, with clients, until it is killed.
private final class TracedRun {
    /// Before the first event.
    let disk: Disk
    let events: [Trace.Event]
    let addresses: Set<UInt32>

    init(calls: Int, seed: UInt64) throws {
        let fleet = try ManagedFleet()
        let target = try Callers.target(noting: Locked([]))
        let (uuid, first) = try fleet.joinNode("edge-07")
        let entrances = try Kind.allCases.map { kind in
            let listen = Endpoint.tcp("127.0.0.1:\(try freePort())")
            return (kind, try fleet.open(kind, of: "edge-07", listen: listen, to: target.endpoint).entrance)
        }
        try fleet.stopServer()
        first.kill()
        disk = try Disk(folder: fleet.data)
        let unchanged = fleet.databaseChanged

        // It knocks until the server is there, so that one trace has both, in one order.
        let node = try fleet.startNode(uuid)
        try node.waitForLog("connect-failed")
        let file = fleet.directory.file("trace")
        try fleet.resumeServer(under: [
            Tracing.strace, "-f", "-qq", "-y", "-xx", "-s", "\(Trace.longestString)", "-e",
            "trace=\(Trace.calls)", "-e", "signal=none", "-o", file, "-p", "\(node.pid)",
            // Ends with strace, whoever ends that.
            "/usr/bin/setpriv", "--pdeathsig", "KILL",
        ])
        try fleet.waitForLink(of: node)
        let callers = Callers(4, at: entrances, areBrief: true, seed: seed)
        _ = try fleet.explained {
            try eventually(
                "\(calls) connections are over, and pages have moved from the log", within: .seconds(120)
            ) {
                // How many commits they share, and so how soon the log is long enough, depends on the machine.
                callers.ended >= calls && fleet.databaseChanged != unchanged ? true : nil
            }
        }
        try callers.stop()
        let tracer = fleet.server
        kill(try fleet.serverPID(), SIGKILL)
        node.kill()
        try tracer.waitForExit(within: .seconds(20))
        events = try Trace(file: file, folder: fleet.data).events
        let done = callers.take()
        if let bad = done.first(where: { $0.fault != nil }) { throw Failure("\(bad.fault ?? ""): \(bad)") }
        addresses = Set(done.map(\.address))
    }
}

extension ManagedFleet {
    /// When the database's own file was last written; what is committed stands in the log beside it.
    fileprivate var databaseChanged: Date? {
        let attributes = try? FileManager.default.attributesOfItem(atPath: "\(data)/\(Store.fileName)")
        return attributes?[.modificationDate] as? Date
    }

    /// Also when it runs under another program.
    func serverPID() throws -> pid_t {
        pid_t(try control.ask("GET", "/v1/status").integer("pid"))
    }
}
