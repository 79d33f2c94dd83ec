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

    var data: String { directory.file("data") }
    var control: ControlSocket { ControlSocket(path: "\(data)/control.sock") }

    init(_ flags: [String] = []) throws {
        directory = try TemporaryDirectory()
        server = try Self.start(directory, port: 0, flags)
        endpoint = .tcp(try server.waitForLog("server-listening")["address"])
        programs.append(server)
        try server.waitForLog("control-listening")
    }

    /// A server on this data, whether or not one runs already.
    func startServer(port: Int = 0, _ flags: [String] = []) throws -> Program {
        let program = try Self.start(directory, port: port, flags)
        programs.append(program)
        return program
    }

    private static func start(_ directory: TemporaryDirectory, port: Int, _ flags: [String]) throws -> Program
    {
        try Program.goproxy(
            "goproxy-server",
            ["-host", "127.0.0.1", "-port", "\(port)", "-data", directory.file("data"), "-verbose"] + flags)
    }

    // MARK: The server's end and return

    func stopServer(_ signal: Int32 = SIGTERM) throws {
        server.send(signal)
        try server.waitForExit(within: .seconds(30))
    }

    /// On the old port, when the old one has ended.
    func resumeServer(_ flags: [String] = []) throws {
        server = try startServer(port: endpoint.port, flags)
        try server.waitForLog("control-listening", within: .seconds(20))
    }

    // MARK: Nodes

    func startNode(_ uuid: String, _ flags: [String] = []) throws -> Program {
        started += 1
        let file = try directory.write("uuid-\(started)", uuid)
        let node = try Program.goproxy(
            "goproxy-node",
            ["-host", endpoint.host, "-port", "\(endpoint.port)", "-uuid-file", file, "-verbose"] + flags)
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
