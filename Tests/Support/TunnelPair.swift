import Foundation

/// What the two programs are asked for on their command lines.
package struct Mapping: Sendable {
    package var listen: Endpoint
    package var forward: Endpoint

    package init(listen: Endpoint = .anyPort, forward: Endpoint) {
        self.listen = listen
        self.forward = forward
    }

    package var json: String { #"{"Listen":\#(listen.json),"Forward":\#(forward.json)}"# }
}

/// Which end listens. Every traffic test takes both: what works one way has to work with the ends swapped.
package enum Kind: String, CaseIterable, Sendable, CustomTestStringConvertibleByRawValue {
    case listener
    case peerListener = "peer-listener"

    package var flag: String { self == .listener ? "-listener" : "-peer_listener" }
}

/// Prints as its raw value where a test's arguments are shown.
package protocol CustomTestStringConvertibleByRawValue: CustomStringConvertible, RawRepresentable<String> {}

extension CustomTestStringConvertibleByRawValue {
    package var description: String { rawValue }
}

/// A server and a node, the real programs, with a link between them and every mapping active.
package final class TunnelPair {
    package let directory: TemporaryDirectory
    package let uuid: String
    package private(set) var server: Program
    package private(set) var node: Program
    package private(set) var serverEndpoint: Endpoint
    private let setup: Setup
    private let mappings: [(kind: Kind, mapping: Mapping)]
    /// Programs that were replaced by a restart; their logs are evidence still.
    private var former: [Program] = []

    /// `route` puts something between node and server: it gets the server's endpoint, the node gets its answer.
    package struct Setup {
        package var serverFlags: [String] = []
        package var nodeFlags: [String] = []
        package var uuid = UUID().uuidString.lowercased()
        package var route: (Endpoint) throws -> Endpoint = { $0 }
        package var waitsForListeners = true
        /// What the server listens on, and what the node is started by.
        package var serverHost = "127.0.0.1"
        package var nodePrefix: [String] = []
        /// The most descriptors that each of the two may open.
        package var descriptors: Int?
        /// Of both.
        package var environment: [String: String] = [:]

        package init() {}
    }

    package init(_ mappings: [(kind: Kind, mapping: Mapping)], _ configure: (inout Setup) -> Void = { _ in })
        throws
    {
        var setup = Setup()
        configure(&setup)
        self.setup = setup
        // The order in which the programs number them: listeners first.
        self.mappings =
            mappings.filter { $0.kind == .listener } + mappings.filter { $0.kind == .peerListener }
        directory = try TemporaryDirectory()
        uuid = setup.uuid
        try directory.write("uuid", uuid)
        server = try Self.startServer(directory, port: 0, self.mappings, setup)
        serverEndpoint = .tcp(try server.waitForLog("server-listening")["address"])
        node = try Self.startNode(directory, of: try setup.route(serverEndpoint), setup)
        try waitUntilUp()
    }

    private static func startServer(
        _ directory: TemporaryDirectory, port: Int, _ mappings: [(kind: Kind, mapping: Mapping)],
        _ setup: Setup
    ) throws -> Program {
        try Program.goproxy(
            "goproxy-server",
            [
                "-host", setup.serverHost, "-port", "\(port)", "-uuid-file", directory.file("uuid"), "-data",
                directory.file("data"),
            ]
                + mappings.flatMap { [$0.kind.flag, $0.mapping.json] } + setup.serverFlags,
            environment: setup.environment, descriptors: setup.descriptors)
    }

    private static func startNode(
        _ directory: TemporaryDirectory, of server: Endpoint, _ setup: Setup
    ) throws -> Program {
        try Program.goproxy(
            "goproxy-node",
            ["-host", server.host, "-port", "\(server.port)", "-uuid-file", directory.file("uuid")]
                + setup.nodeFlags,
            environment: setup.environment, descriptors: setup.descriptors, prefix: setup.nodePrefix)
    }

    // MARK: Where to knock

    /// Waits for the link and, unless told otherwise, for each mapping's listener.
    package func waitUntilUp(serverMark: Program.Mark = 0, nodeMark: Program.Mark = 0) throws {
        try explained {
            // A node that has lost its link waits at random, up to 30 s once it has lost several.
            try node.waitForLog("link-up", after: nodeMark, within: .seconds(40))
            try server.waitForLog("link-up", after: serverMark)
            guard setup.waitsForListeners else { return }
            for (index, entry) in mappings.enumerated() {
                let wanted = ["mapping": "\(index + 1)", "kind": entry.kind.rawValue]
                try server.waitForLog("listener-active", where: wanted)
                if entry.kind == .peerListener { try node.waitForLog("listener-active", where: wanted) }
            }
        }
    }

    /// Where clients of the mapping connect, as the listening side last logged it.
    package func entrance(_ mapping: Int = 1) throws -> Endpoint {
        let entry = mappings[mapping - 1]
        if entry.mapping.listen.domain == "unix" { return entry.mapping.listen }
        let side = entry.kind == .listener ? server : node
        let active = side.logged("listener-active", where: ["mapping": "\(mapping)"])
        guard let bound = active.last?["bound"], !bound.isEmpty else {
            throw Failure("mapping \(mapping) is not active\n\(logs)")
        }
        let endpoint = Endpoint.tcp(bound)
        return ["0.0.0.0", "::"].contains(endpoint.host) ? endpoint.at("127.0.0.1") : endpoint
    }

    package func connect(_ mapping: Int = 1, receiveBuffer: Int32? = nil, limit: Duration = .seconds(30))
        throws -> Socket
    {
        try Socket.connect(to: try entrance(mapping), receiveBuffer: receiveBuffer, limit: limit)
    }

    /// The program that holds the mapping's listening socket, and the one that dials its target.
    package func listening(_ kind: Kind) -> Program { kind == .listener ? server : node }
    package func dialing(_ kind: Kind) -> Program { kind == .listener ? node : server }

    // MARK: Starting again

    package func restartNode() throws {
        let mark = server.mark
        node.kill()
        former.append(node)
        node = try Self.startNode(directory, of: try setup.route(serverEndpoint), setup)
        try waitUntilUp(serverMark: mark)
    }

    /// A second node with the same uuid, beside the first.
    package func startSecondNode() throws -> Program {
        try Self.startNode(directory, of: serverEndpoint, setup)
    }

    /// A new server on the old port; the node finds it by itself.
    package func restartServer() throws {
        let mark = node.mark
        server.kill()
        former.append(server)
        server = try Self.startServer(directory, port: serverEndpoint.port, mappings, setup)
        try waitUntilUp(nodeMark: mark)
    }

    // MARK: Evidence

    package var logs: String {
        (former + [server, node]).map(\.transcript).joined(separator: "\n")
    }

    /// Adds both logs to whatever goes wrong in `body`.
    package func explained<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let failure as Failure
            where failure.description.contains("goproxy-node (pid")
        {
            throw failure
        } catch {
            throw Failure("\(error)\n\(logs)")
        }
    }

    /// Programs that ended although nobody ended them.
    package func requireAlive() throws {
        for program in [server, node] where !program.isRunning {
            throw Failure("\(program.name) is gone\n\(logs)")
        }
    }
}

/// A tunnel with one mapping to `target`, for the time of `body`. Both programs have to outlive it.
package func withTunnel<Result>(
    _ kind: Kind, to target: Endpoint, _ configure: (inout TunnelPair.Setup) -> Void = { _ in },
    _ body: (TunnelPair) throws -> Result
) throws -> Result {
    let pair = try TunnelPair([(kind, Mapping(forward: target))], configure)
    return try pair.explained {
        let result = try body(pair)
        try pair.requireAlive()
        return result
    }
}
