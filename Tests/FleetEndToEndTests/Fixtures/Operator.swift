import Foundation
import Support

/// What operators do. Whoever reads a test sees the verb; how it reaches the server is said here alone.
extension ManagedFleet {
    // MARK: Nodes

    /// Answers the uuid.
    @discardableResult
    func addNode(_ name: String) throws -> String {
        try control.ask("POST", "/v1/nodes", #"{"name":\#(JSON.quoted(name))}"#).text("uuid")
    }

    func node(_ reference: String) throws -> JSON { try control.ask("GET", "/v1/nodes/\(reference.escaped)") }
    func nodes() throws -> [JSON] { try control.ask("GET", "/v1/nodes").list() }

    func disable(node: String) throws -> JSON { try control.ask("POST", "/v1/nodes/\(node)/disable") }
    @discardableResult
    func enable(node: String) throws -> JSON { try control.ask("POST", "/v1/nodes/\(node)/enable") }
    func remove(node: String) throws -> JSON { try control.ask("DELETE", "/v1/nodes/\(node)") }
    func rotate(node: String, overlapSeconds: Int = 0) throws -> JSON {
        try control.ask("POST", "/v1/nodes/\(node)/rotate", #"{"overlapSeconds":\#(overlapSeconds)}"#)
    }

    // MARK: Mappings

    @discardableResult
    func add(
        _ kind: Kind, of node: String, name: String? = nil, listen: Endpoint = .anyPort, forward: Endpoint
    ) throws -> JSON {
        let name = name.map { #","name":\#(JSON.quoted($0))"# } ?? ""
        return try control.ask(
            "POST", "/v1/mappings",
            """
            {"node":\(JSON.quoted(node)),"kind":"\(kind)","listen":\(place(listen)),"forward":\(place(forward))\(name)}
            """)
    }

    @discardableResult
    func set(_ mapping: Int, listen: Endpoint? = nil, forward: Endpoint? = nil) throws -> JSON {
        let fields = [
            listen.map { #""listen":\#(place($0))"# }, forward.map { #""forward":\#(place($0))"# },
        ]
        return try control.ask(
            "PATCH", "/v1/mappings/\(mapping)", "{" + fields.compactMap { $0 }.joined(separator: ",") + "}")
    }

    @discardableResult
    func disable(mapping: Int) throws -> JSON { try control.ask("POST", "/v1/mappings/\(mapping)/disable") }
    @discardableResult
    func enable(mapping: Int) throws -> JSON { try control.ask("POST", "/v1/mappings/\(mapping)/enable") }
    @discardableResult
    func remove(mapping: Int) throws -> JSON { try control.ask("DELETE", "/v1/mappings/\(mapping)") }

    func mapping(_ id: Int) throws -> JSON { try control.ask("GET", "/v1/mappings/\(id)") }
    func mappings(of node: String? = nil) throws -> [JSON] {
        try control.ask("GET", "/v1/mappings" + (node.map { "?node=\($0.escaped)" } ?? "")).list()
    }

    private func place(_ endpoint: Endpoint) -> String {
        #"{"domain":"\#(endpoint.domain)","addr":\#(JSON.quoted(endpoint.address))}"#
    }

    // MARK: Waiting for what nodes make of it

    /// As the lists show it, when it has come to this state at its newest revision.
    @discardableResult
    func wait(for id: Int, _ state: String, within limit: Duration = .seconds(20)) throws -> JSON {
        var last = JSON.null
        return try eventually("mapping \(id) is \(state)", within: limit, evidence: { "\(last)" }) {
            guard let mapping = try mappings().first(where: { $0["id"] == .integer(id) }) else {
                throw Failure("no mapping \(id)")
            }
            last = mapping
            return mapping["state"] == .text(state) ? mapping : nil
        }
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

    func audit(limit: Int = 1_000) throws -> [JSON] {
        try control.ask("GET", "/v1/audit?limit=\(limit)").list()
    }
}
