import Support

/// What the records ought to hold, and how each change changes it. Two ledgers that are equal say the same.
struct Ledger: Equatable, Sendable {
    struct Node: Equatable, Sendable {
        var tags: [String: String] = [:]
        var isEnabled = true
        /// How many rows of the audit name it: a change without its entry, or an entry without its change, shows.
        var entries = 1
    }

    struct Mapping: Equatable, Sendable {
        var node: String
        var kind: Kind
        var listen: String
        var forward: String
        var isEnabled = true
    }

    /// By names, which a run gives once only.
    var nodes: [String: Node] = [:]
    var mappings: [String: Mapping] = [:]

    enum Change: Sendable {
        case addNode(String)
        case tag(String, String)
        case setNode(String, isEnabled: Bool)
        case removeNode(String)
        case addMapping(String, Mapping)
        case forward(String, String)
        case listen(String, String)
        case setMapping(String, isEnabled: Bool)
        case removeMapping(String)
    }

    mutating func apply(_ change: Change) {
        switch change {
        case .addNode(let name): nodes[name] = Node()
        case .tag(let name, let value):
            nodes[name]?.tags["k"] = value
            note(name)
        case .setNode(let name, let isEnabled):
            if nodes[name]?.isEnabled != isEnabled { note(name) }
            nodes[name]?.isEnabled = isEnabled
        case .removeNode(let name):
            nodes[name] = nil
            mappings = mappings.filter { $0.value.node != name }
        case .addMapping(let name, let mapping):
            mappings[name] = mapping
            note(mapping.node)
        case .forward(let name, let address):
            mappings[name]?.forward = address
            note(mappings[name]?.node)
        case .listen(let name, let address):
            mappings[name]?.listen = address
            note(mappings[name]?.node)
        case .setMapping(let name, let isEnabled):
            if mappings[name]?.isEnabled != isEnabled { note(mappings[name]?.node) }
            mappings[name]?.isEnabled = isEnabled
        case .removeMapping(let name): note(mappings.removeValue(forKey: name)?.node)
        }
    }

    private mutating func note(_ node: String?) { if let node { nodes[node]?.entries += 1 } }

    func after(_ change: Change) -> Ledger {
        var copy = self
        copy.apply(change)
        return copy
    }

    /// Any change that the records would accept. Addresses and names come from `number`, which is used once.
    func randomChange(_ number: Int, _ random: inout SeededRandom) -> Change {
        let node = nodes.keys.sorted().randomElement(using: &random)
        let mapping = mappings.keys.sorted().randomElement(using: &random)
        guard let node, nodes.count > 1 || number > 3 else { return .addNode("n\(number)") }
        let isEnabled = Bool.random(using: &random)
        switch Int.random(in: 0..<20, using: &random) {
        case 0, 1: return .addNode("n\(number)")
        case 2: return nodes.count > 3 ? .removeNode(node) : .tag(node, "v\(number)")
        case 3: return .tag(node, "v\(number)")
        case 4: return .setNode(node, isEnabled: isEnabled)
        case 5...10: break
        default:
            guard let mapping else { break }
            switch Int.random(in: 0..<6, using: &random) {
            case 0: return .removeMapping(mapping)
            case 1, 2: return .setMapping(mapping, isEnabled: isEnabled)
            case 3: return .listen(mapping, "127.0.0.1:\(20_000 + number)")
            default: return .forward(mapping, "127.0.0.1:\(20_000 + number)")
            }
        }
        let kind = Kind.allCases[number % 2]
        return .addMapping(
            "m\(number)", Mapping(node: node, kind: kind, listen: "127.0.0.1:0", forward: "127.0.0.1:9"))
    }

    /// As goproxy-admin takes it.
    func command(_ change: Change) -> [String] {
        func verb(_ name: String, _ verb: String, _ more: String...) -> [String] {
            guard let mapping = mappings[name] else { return [] }
            return [mapping.kind.rawValue, verb, "\(mapping.node)/\(name)"] + more
        }
        switch change {
        case .addNode(let name): return ["node", "add", name]
        case .tag(let name, let value): return ["node", "tag", name, "k=\(value)"]
        case .setNode(let name, let isEnabled): return ["node", isEnabled ? "enable" : "disable", name]
        case .removeNode(let name): return ["node", "remove", name]
        case .addMapping(let name, let mapping):
            return [
                mapping.kind.rawValue, "add", mapping.node, "--name", name, "--listen", mapping.listen,
                "--forward", mapping.forward,
            ]
        case .forward(let name, let address): return verb(name, "set", "--forward", address)
        case .listen(let name, let address): return verb(name, "set", "--listen", address)
        case .setMapping(let name, let isEnabled): return verb(name, isEnabled ? "enable" : "disable")
        case .removeMapping(let name): return verb(name, "remove")
        }
    }

    /// As the control socket takes it.
    func request(_ change: Change) -> (method: String, path: String, body: String) {
        func path(_ name: String, _ more: String = "") -> String {
            guard let mapping = mappings[name] else { return "" }
            return "/v1/mappings/\("\(mapping.node)/\(name)".escaped)\(more)?kind=\(mapping.kind)"
        }
        switch change {
        case .addNode(let name): return ("POST", "/v1/nodes", #"{"name":"\#(name)"}"#)
        case .tag(let name, let value): return ("PATCH", "/v1/nodes/\(name)", #"{"tags":{"k":"\#(value)"}}"#)
        case .setNode(let name, let isEnabled):
            return ("POST", "/v1/nodes/\(name)/\(isEnabled ? "enable" : "disable")", "")
        case .removeNode(let name): return ("DELETE", "/v1/nodes/\(name)", "")
        case .addMapping(let name, let mapping):
            return (
                "POST", "/v1/mappings",
                """
                {"node":"\(mapping.node)","kind":"\(mapping.kind)","name":"\(name)",
                 "listen":{"addr":"\(mapping.listen)"},"forward":{"addr":"\(mapping.forward)"}}
                """
            )
        case .forward(let name, let address):
            return ("PATCH", path(name), #"{"forward":{"addr":"\#(address)"}}"#)
        case .listen(let name, let address):
            return ("PATCH", path(name), #"{"listen":{"addr":"\#(address)"}}"#)
        case .setMapping(let name, let isEnabled):
            return ("POST", path(name, isEnabled ? "/enable" : "/disable"), "")
        case .removeMapping(let name): return ("DELETE", path(name), "")
        }
    }
}

extension ManagedFleet {
    /// What the lists show.
    func ledger() throws -> Ledger {
        var ledger = Ledger()
        var entries: [String: Int] = [:]
        for entry in try admin("audit", "--limit", "100000").list() {
            if let node = try? entry.text("nodeID"), !entry["uid"].isNull { entries[node, default: 0] += 1 }
        }
        for node in try nodes() {
            guard case .object(let tags) = node["tags"] else { throw Failure("no tags: \(node)") }
            ledger.nodes[try node.text("name")] = Ledger.Node(
                tags: tags.mapValues(\.string), isEnabled: node["state"] == .text("enabled"),
                entries: entries[try node.text("id")] ?? 0)
        }
        for mapping in try mappings() {
            ledger.mappings[try mapping.text("name")] = Ledger.Mapping(
                node: try mapping.text("node"), kind: Kind(rawValue: try mapping.text("kind"))!,
                listen: try mapping["listen"].text("addr"), forward: try mapping["forward"].text("addr"),
                isEnabled: mapping["enabled"] == .bool(true))
        }
        return ledger
    }
}
