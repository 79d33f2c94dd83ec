import Foundation
import Support

/// A server that serves what its records say, and nodes of it: the real programs, one data directory.
final class ManagedFleet {
    let directory: TemporaryDirectory
    private(set) var server: Program
    /// The same across restarts: nodes find the server again by themselves.
    private(set) var endpoint: Endpoint
    private(set) var programs: [Program] = []
    private var started = 0
    /// Where the server listens.
    private let host: String
    private let isVerbose: Bool

    var data: String { directory.file("data") }
    var control: ControlSocket { ControlSocket(path: "\(data)/control.sock") }

    /// `prepare` gets the data folder's path before the first server starts. Not verbose: for many connections.
    init(
        _ flags: [String] = [], host: String = "127.0.0.1", isVerbose: Bool = true,
        prepare: (String) throws -> Void = { _ in }
    ) throws {
        self.host = host
        self.isVerbose = isVerbose
        directory = try TemporaryDirectory()
        try prepare(directory.file("data"))
        server = try Self.start(directory, host, port: 0, Self.flags(flags, isVerbose))
        endpoint = .tcp(try server.waitForLog("server-listening")["address"])
        programs.append(server)
        try server.waitForLog("control-listening")
    }

    /// A server on this data, whether or not one runs already. `tool` is a command that runs it.
    func startServer(port: Int = 0, _ flags: [String] = [], under tool: [String] = []) throws -> Program {
        let program = try Self.start(
            directory, host, port: port, Self.flags(flags, isVerbose), under: tool)
        programs.append(program)
        return program
    }

    private static func start(
        _ directory: TemporaryDirectory, _ host: String, port: Int, _ flags: [String],
        under tool: [String] = []
    ) throws -> Program {
        let arguments =
            ["-host", host, "-port", "\(port)", "-data", directory.file("data")] + flags
        guard let first = tool.first else { return try Program.goproxy("goproxy-server", arguments) }
        return try Program(
            first, tool.dropFirst() + ["\(Program.buildDirectory)/goproxy-server"] + arguments)
    }

    private static func flags(_ flags: [String], _ isVerbose: Bool) -> [String] {
        flags + (isVerbose ? ["-verbose"] : [])
    }

    // MARK: The server's end and return

    func stopServer(_ signal: Int32 = SIGTERM) throws {
        server.send(signal)
        try server.waitForExit(within: .seconds(30))
    }

    /// On the old port, when the old one has ended.
    func resumeServer(_ flags: [String] = [], under tool: [String] = []) throws {
        server = try startServer(port: endpoint.port, flags, under: tool)
        try server.waitForLog("control-listening", within: .seconds(20))
    }

    // MARK: Nodes

    func startNode(_ uuid: String, _ flags: [String] = []) throws -> Program {
        started += 1
        let file = try directory.write("uuid-\(started)", uuid)
        let node = try Program.goproxy(
            "goproxy-node",
            ["-host", endpoint.host, "-port", "\(endpoint.port)", "-uuid-file", file]
                + Self.flags(flags, isVerbose))
        programs.append(node)
        return node
    }

    /// A new node of this name, with its link up.
    func joinNode(_ name: String, _ flags: [String] = []) throws -> (uuid: String, node: Program) {
        let uuid = try addNode(name)
        let node = try startNode(uuid, flags)
        try waitForLink(of: node)
        return (uuid, node)
    }

    func waitForLink(of node: Program, after mark: Program.Mark = 0) throws {
        _ = try explained { try node.waitForLog("link-up", after: mark, within: .seconds(30)) }
    }

    // MARK: Evidence

    /// In long runs: of programs that have ended, the last ones' lines are enough.
    func forgetOldPrograms(but count: Int = 4) {
        let old = Set(programs.filter { !$0.isRunning }.dropLast(count).map(\.pid))
        programs.removeAll { old.contains($0.pid) }
    }

    var logs: String { programs.map(\.transcript).joined(separator: "\n") }

    func explained<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch { throw Failure("\(error)\n\(logs)") }
    }
}

/// For the time of `body`; whatever goes wrong shows all logs.
func withFleet<Result>(_ flags: [String] = [], _ body: (ManagedFleet) throws -> Result) throws -> Result {
    let fleet = try ManagedFleet(flags)
    return try fleet.explained { try body(fleet) }
}
