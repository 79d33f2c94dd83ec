import Foundation
import Support

/// What operators do, with goproxy-admin. Whoever reads a test sees the verb; how it is spelt is said here alone.
extension ManagedFleet {
    /// One command, as a program asks for it: the answer, or a failure that shows what it said.
    @discardableResult
    func admin(_ arguments: String...) throws -> JSON { try admin(arguments) }

    @discardableResult
    func admin(_ arguments: [String]) throws -> JSON {
        let done = try adminProcess(arguments).finish(within: .seconds(60))
        return try JSON(Array(try done.succeeded().joined(separator: "\n").utf8))
    }

    /// What people read of a command, however it ends.
    func words(_ arguments: String...) throws -> String { try words(arguments) }

    func words(_ arguments: [String]) throws -> String {
        try Program.goproxy("goproxy-admin", arguments, environment: ["GOPROXY_DATA": data])
            .finish(within: .seconds(60)).output.joined(separator: "\n")
    }

    /// A command that has to fail, and the error that it prints.
    func refusal(_ arguments: String...) throws -> JSON {
        let done = try adminProcess(arguments).finish(within: .seconds(60))
        guard done.end != .exit(0), done.output.isEmpty else {
            throw Failure("was to be refused\n\(done.transcript)")
        }
        return try JSON(Array(done.errors.joined(separator: "\n").utf8))["error"]
    }

    /// Those that would ask for confirmation are told not to.
    func adminProcess(_ arguments: [String]) throws -> Program {
        let asking = [["node", "disable"], ["node", "rotate"], ["node", "remove"]]
        let cutting = ["remove", "disable", "set"]
        let asks =
            arguments.dropFirst().first.map(cutting.contains) == true
            || asking.contains(Array(arguments.prefix(2)))
        return try Program.goproxy(
            "goproxy-admin", arguments + ["-o", "json"] + (asks ? ["--force"] : []),
            environment: ["GOPROXY_DATA": data])
    }

    // MARK: Nodes

    /// Answers the uuid.
    @discardableResult
    func addNode(_ name: String) throws -> String { try admin("node", "add", name).text("uuid") }

    func node(_ reference: String) throws -> JSON { try admin("node", "show", reference) }
    func nodes() throws -> [JSON] { try admin("node", "list").list() }

    func disable(node: String) throws -> JSON { try admin("node", "disable", node) }
    @discardableResult
    func enable(node: String) throws -> JSON { try admin("node", "enable", node) }
    func remove(node: String) throws -> JSON { try admin("node", "remove", node) }
    func rotate(node: String, overlap: String? = nil) throws -> JSON {
        guard let overlap else { return try admin("node", "rotate", node) }
        return try admin("node", "rotate", node, "--overlap", overlap)
    }

    // MARK: Mappings

    @discardableResult
    func add(
        _ kind: Kind, of node: String, name: String? = nil, listen: Endpoint = .anyPort, forward: Endpoint
    ) throws -> JSON {
        let places = ["--listen", place(listen), "--forward", place(forward)]
        let name = name.map { ["--name", $0] } ?? []
        return try admin([kind.rawValue, "add", node] + places + name)
    }

    @discardableResult
    func set(_ kind: Kind, _ mapping: Int, listen: Endpoint) throws -> JSON {
        try admin(kind.rawValue, "set", "\(mapping)", "--listen", place(listen))
    }

    @discardableResult
    func set(_ kind: Kind, _ mapping: Int, forward: Endpoint) throws -> JSON {
        try admin(kind.rawValue, "set", "\(mapping)", "--forward", place(forward))
    }

    @discardableResult
    func disable(_ kind: Kind, _ mapping: Int) throws -> JSON {
        try admin(kind.rawValue, "disable", "\(mapping)")
    }
    @discardableResult
    func enable(_ kind: Kind, _ mapping: Int) throws -> JSON {
        try admin(kind.rawValue, "enable", "\(mapping)")
    }
    @discardableResult
    func remove(_ kind: Kind, _ mapping: Int) throws -> JSON {
        try admin(kind.rawValue, "remove", "\(mapping)")
    }

    /// All of both kinds, or one node's.
    func mappings(of node: String? = nil) throws -> [JSON] {
        guard let node else { return try admin("listener", "list").list() }
        return try admin("listener", "list", "--node", node).list()
    }

    func mapping(_ id: Int) throws -> JSON {
        guard let found = try mappings().first(where: { $0["id"] == .integer(id) }) else {
            throw Failure("no mapping \(id)")
        }
        return found
    }

    private func place(_ endpoint: Endpoint) -> String {
        endpoint.domain == "tcp" ? endpoint.address : "\(endpoint.domain):\(endpoint.address)"
    }

    // MARK: Waiting for what nodes make of it

    /// As `listener list` shows it, once it has come to this state at its newest revision. The waiting itself asks the
    /// socket: a process for each look would keep the machine busy.
    @discardableResult
    func wait(for id: Int, _ state: String, within limit: Duration = .seconds(20)) throws -> JSON {
        var last = JSON.null
        _ = try eventually("mapping \(id) is \(state)", within: limit, evidence: { "\(last)" }) {
            last = try control.ask("GET", "/v1/mappings/\(id)")
            return last["state"] == .text(state) ? true : nil
        }
        let listed = try mapping(id)
        guard listed["state"] == .text(state) else { throw Failure("listed otherwise: \(listed)") }
        return listed
    }

    /// Adds a mapping that works, and answers its id and where clients go.
    func open(
        _ kind: Kind, of node: String, name: String? = nil, listen: Endpoint = .anyPort, to target: Endpoint
    ) throws -> (id: Int, entrance: Endpoint) {
        let id = try add(kind, of: node, name: name, listen: listen, forward: target).integer("id")
        return (id, try entrance(id))
    }

    /// Where clients of a mapping go, once it is active.
    func entrance(_ id: Int) throws -> Endpoint { .tcp(try wait(for: id, "active").text("boundAddress")) }

    // MARK: Audit

    func audit() throws -> [JSON] { try admin("audit", "--limit", "1000").list() }
}
