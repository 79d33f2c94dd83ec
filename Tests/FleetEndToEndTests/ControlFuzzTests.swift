import Glibc
import Mux
import Simulation
import Support
import Testing
import Tunnel

/// Whatever a node that has logged in says: its link goes on or ends with a violation that has a name, and nobody else notices.
@Suite(.light)
struct ControlFuzzTests {
    /// As many as take some seconds; GOPROXY_SEEDS says how many more, GOPROXY_SEED replays one.
    private static let seeds: UInt64 =
        getenv("GOPROXY_SEEDS").flatMap { UInt64(String(cString: $0)) } ?? 1_000

    private static let loginsEach = 40

    @Test func `whatever a node says ends its own link at most, and says why`() throws {
        let target = try namedTarget("red")
        try withFleet { fleet in
            // One credential may log in only so often: each says so many seeds, then another takes its turn.
            var secret: NodeSecret?
            var mine: UInt32 = 0
            var logins = 0
            _ = try fleet.joinNode("edge-11")
            let others = UInt32(
                try fleet.add(.peerListener, of: "edge-11", forward: target.endpoint).integer("id"))
            let web = UInt32(try fleet.add(.listener, of: "edge-11", forward: target.endpoint).integer("id"))
            let bystander = try Socket.named("red", at: try fleet.entrance(Int(web)))
            var ended = 0
            let failures = Seeds.run("control messages", count: Self.seeds) { seed in
                if logins % Self.loginsEach == 0 {
                    let name = "hostile-\(logins / Self.loginsEach)"
                    secret = try NodeSecret(uuid: try fleet.addNode(name))
                    mine = UInt32(
                        try fleet.add(.peerListener, of: name, forward: target.endpoint).integer("id"))
                }
                logins += 1
                guard let secret else { throw Failure("no node") }
                let node = try HostileNode(fleet.endpoint, secret)
                _ = try node.waitForPlan()
                var fuzzer = ControlFuzzer(
                    seed: seed, mine: mine, others: others, revision: try node.planRevision())
                var said: [ControlFuzzer.Saying] = []
                var isMixed = false
                while said.count < 6 {
                    let (saying, expected) = fuzzer.next()
                    // Half of a message spoils the next one; after GOAWAY nothing that is said counts.
                    let verdict = isMixed ? .either : expected
                    if case .frame(let kind, _, _, _) = saying {
                        isMixed = isMixed || kind == 9 || kind == 10
                    }
                    said.append(saying)
                    switch saying {
                    case .control(let bytes): try node.send(control: bytes)
                    case .frame(let kind, let stream, let flags, let payload):
                        try node.send(kind: kind, stream: stream, flags: flags, payload)
                    }
                    let goesOn = try node.isAnswered()
                    let shown = "\(said.map(Self.shown))"
                    if goesOn, verdict == .wrong { throw Failure("it goes on after \(shown)") }
                    guard !goesOn else { continue }
                    if verdict == .right { throw Failure("it ended after \(shown)") }
                    ended += 1
                    let reason = try node.waitForEnd()
                    // A node that says GOAWAY itself is let go without a reason.
                    let hasLeft = said.contains {
                        if case .frame(10, 0, 0, let payload) = $0 { payload.count == 5 } else { false }
                    }
                    guard reason == .violation || hasLeft else {
                        throw Failure("\(String(describing: reason)) after \(shown)")
                    }
                    break
                }
                try bystander.requireAlive()
                guard fleet.server.isRunning else { throw Failure("the server has ended") }
            }
            #expect(failures == [], "\(failures)")
            #expect(
                Seeds.only != nil || ended > Int(Self.seeds) / 4, "the fuzzer says what is wrong: \(ended)")
            #expect(fleet.server.logged("link-down", where: ["node": "edge-11"]).isEmpty)
            let known = Set(Violation.allCases.map(\.description))
            for line in fleet.server.logged("violation", where: [:]) {
                #expect(known.contains(line["reason"]), "\(line)")
            }
        }
    }

    private static func shown(_ saying: ControlFuzzer.Saying) -> String {
        switch saying {
        case .control(let bytes):
            "control \(bytes.count) bytes: \(String(decoding: bytes.prefix(400), as: UTF8.self))"
        case .frame(let kind, let stream, let flags, let payload):
            "frame \(kind) of \(String(stream, radix: 16)), flags \(flags): \(payload)"
        }
    }
}
