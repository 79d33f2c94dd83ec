import Foundation
import Support
import Testing

/// What an operator can get wrong: one line that says what and why, the right exit code, within five seconds.
@Suite(.light)
struct BadInputTests {
    @Test(arguments: Refusal.flags)
    func `a wrong flag is refused in one line`(refusal: Refusal) throws {
        for fault in try refusal.faults() { Issue.record("\(fault)") }
    }

    @Test(arguments: Refusal.uuids)
    func `a uuid that is missing, doubled, weak or open to others is refused in one line`(refusal: Refusal)
        throws
    {
        for fault in try refusal.faults() { Issue.record("\(fault)") }
    }

    @Test(arguments: Refusal.mappings)
    func `a wrong mapping is refused in one line`(refusal: Refusal) throws {
        for fault in try refusal.faults() { Issue.record("\(fault)") }
    }

    /// Proof that the tables above fail for their own reason: the same command line, put right, starts.
    @Test func `the same without a fault starts`() throws {
        let faults = try Refusal.wrong(
            "nothing", Refusal.server, ["-port", "0", "-listener", Refusal.good], says: "x"
        )
        .faults()
        #expect(faults.count == 1 && faults[0].contains("did not end within 5 s"))
        #expect(faults[0].contains("server-listening"), "\(faults)")
    }

    /// Nothing in /proc says what was asked for; a program that does not know it would serve with its defaults.
    @Test(
        .enabled(if: geteuid() == 0, "a mount of its own needs root"),
        arguments: ["goproxy-server", "goproxy-node", "goproxy-admin"])
    func `the command line is heard where there is no proc`(program: String) throws {
        let command = "mount -t tmpfs none /proc && exec \(Program.buildDirectory)/\(program)"
        let told = try run("/usr/bin/unshare", ["-m", "sh", "-c", "\(command) --version"])
        #expect(told.end == .exit(0) && told.output.joined().contains(program), "\(told.transcript)")
        let refused = try run("/usr/bin/unshare", ["-m", "sh", "-c", "\(command) -nonsense"])
        #expect(
            refused.end == .exit(2) && refused.errors.joined().contains("nonsense"), "\(refused.transcript)")
    }

    @Test(arguments: ["goproxy-server", "goproxy-node"], ["-help", "--help", "-h", "-version", "--version"])
    func `help and version go to standard output and are no failure`(program: String, flag: String) throws {
        let done = try Program.goproxy(program, [flag]).finish(within: .seconds(5))
        #expect(done.end == .exit(0))
        #expect(done.errors == [])
        #expect(done.output.joined(separator: "\n").contains(program), "\(done.transcript)")
        guard !flag.hasSuffix("version") else { return }
        for name in ["-host", "-port", "-uuid", "-uuid-file", "-drain", "-verbose", "-version", "-help"] {
            #expect(done.output.contains { $0.contains("  \(name)") }, "help does not mention \(name)")
        }
    }

    @Test func `a main port that is taken is said with address and errno, exit 1`() throws {
        let holder = try Socket.listening(on: .anyPort, backlog: 1)
        let taken = try Endpoint(boundTo: holder.descriptor, domain: "tcp")
        let faults = try Refusal.wrong(
            "taken", Refusal.server, ["-host", "127.0.0.1", "-port", "\(taken.port)"], code: 1,
            says: taken.address, "address already in use"
        ).faults()
        #expect(faults == [])
    }

    @Test(arguments: Kind.allCases)
    func `a listener whose port is taken is said, retried, and active once it is free`(kind: Kind) throws {
        let echo = try TargetServer.echo()
        let holder = try Socket.listening(on: .anyPort, backlog: 1)
        let taken = try Endpoint(boundTo: holder.descriptor, domain: "tcp")
        // The other mapping shows that one that fails takes no other with it.
        let mappings = [
            (kind, Mapping(listen: taken, forward: echo.endpoint)), (kind, Mapping(forward: echo.endpoint)),
        ]
        let pair = try TunnelPair(mappings) { $0.waitsForListeners = false }
        try pair.explained {
            let sides = kind == .listener ? [pair.server] : [pair.node, pair.server]
            for side in sides {
                let line = try side.waitForLog(
                    "listener-failed", where: ["mapping": "1", "kind": kind.rawValue])
                #expect(line.level == "warn" && line["listen"] == "tcp \(taken.address)", "\(line)")
                #expect(line["error"].lowercased().contains("address already in use"), "\(line)")
                #expect(Int(line["retry-seconds"]) != nil, "\(line)")
                try side.waitForLog("listener-active", where: ["mapping": "2"])
            }
            try pair.connect(2).requireEcho()
            holder.close()
            for side in sides {
                let line = try side.waitForLog(
                    "listener-active", where: ["mapping": "1"], within: .seconds(20))
                #expect(line["bound"] == taken.address, "\(line)")
            }
            try pair.connect(1).requireEcho()
        }
    }

    @Test func `a weak uuid that is allowed works and is warned about by both`() throws {
        let directory = try TemporaryDirectory()
        try directory.write("uuid", "idste")
        let common = ["-uuid-file", directory.file("uuid"), "-allow-weak-uuid"]
        let server = try Program.goproxy(
            "goproxy-server", common + ["-host", "127.0.0.1", "-port", "0", "-data", directory.file("data")])
        let port = Endpoint.tcp(try server.waitForLog("server-listening")["address"]).port
        let node = try Program.goproxy("goproxy-node", common + ["-port", "\(port)"])
        try server.waitForLog("link-up")
        try node.waitForLog("link-up")
        for program in [server, node] {
            #expect(
                program.log.contains { $0.level == "warn" && $0.raw.contains("weak") },
                "\(program.transcript)")
            #expect(!program.transcript.contains("idste"))
        }
    }

    @Test func `every source of the uuid works`() throws {
        let directory = try TemporaryDirectory()
        let uuid = UUID().uuidString
        try directory.write("uuid", uuid + "\n")
        let sources: [(arguments: [String], environment: [String: String])] = [
            (["-uuid-file", directory.file("uuid")], [:]), ([], ["CREDENTIALS_DIRECTORY": directory.path]),
            ([], ["GOPROXY_UUID": uuid]), (["-uuid", uuid], [:]), (["--uuid=\(uuid)"], [:]),
        ]
        let server = try Program.goproxy(
            "goproxy-server",
            [
                "-host", "127.0.0.1", "-port", "0", "-data", directory.file("data"), "-uuid-file",
                directory.file("uuid"),
            ])
        let port = Endpoint.tcp(try server.waitForLog("server-listening")["address"]).port
        for source in sources {
            let node = try Program.goproxy(
                "goproxy-node", ["-port=\(port)"] + source.arguments, environment: source.environment)
            try node.waitForLog("link-up")
        }
    }
}
