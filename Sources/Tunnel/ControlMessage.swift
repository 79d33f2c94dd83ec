import FoundationEssentials
import JSON
import Mux
import Reactor

/// What the two ends tell each other beside sub-connections: JSON in CONTROL frames.
///
///     plan    authority → other   the whole set of the other end's parts; replaces the one before. With what the
///                                 authority calls the other end
///     report  other → authority   what became of its listening parts, each time that changes
///
/// A revision is what the records count with: no number that they cannot hold becomes one. A message that is not understood, too long, or from the wrong end is a violation. Unknown keys are passed over, so that
/// an older end understands a newer one.
package enum ControlMessage: Equatable, Sendable {
    case plan(revision: Int64, parts: [Part], node: NodeName? = nil)
    case report(revision: Int64, states: [UInt32: ListenerState])

    package var encoded: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Only strings and numbers of our own: encoding them cannot fail.
        guard let data = try? encoder.encode(Envelope(self)) else {
            preconditionFailure("a message that is not JSON")
        }
        return [UInt8](data)
    }

    /// - Parameter maximumMappings: how many the message may name. What it can need follows, and is all that is read of it.
    package init(_ bytes: [UInt8], maximumMappings: Int) throws(Violation) {
        guard bytes.count <= Self.most(for: maximumMappings) else { throw .controlTooLarge }
        let limits = JSONLimits(
            bytes: bytes.count, depth: 8, values: 32 + Self.valuesEach * maximumMappings, textBytes: 1_024)
        guard let message = try? JSONValue(bytes, limits), let envelope = message.object,
            let revision = envelope["revision"]?.integer, revision >= 0,
            let entries = envelope["mappings"]?.array, entries.count <= maximumMappings
        else { throw .badControl }
        var seen: Set<UInt32> = []
        switch envelope["type"]?.word {
        case "plan":
            var parts: [Part] = []
            for entry in entries {
                guard let part = Part(entry), seen.insert(part.id).inserted else { throw .badControl }
                parts.append(part)
            }
            self = .plan(revision: revision, parts: parts, node: NodeName(envelope))
        case "report":
            var states: [UInt32: ListenerState] = [:]
            for entry in entries {
                guard let (id, state) = ListenerState.read(entry), seen.insert(id).inserted else {
                    throw .badControl
                }
                states[id] = state
            }
            self = .report(revision: revision, states: states)
        default: throw .badControl
        }
    }

    /// A path of 107 bytes that are all escaped takes 642; an address and a reason take less. The rest is for keys of a later
    /// version.
    static let bytesEach = 1_024
    /// A part has twelve, its keys among them.
    private static let valuesEach = 24

    /// The most that a message about so many mappings can need.
    package static func most(for mappings: Int) -> Int {
        min(1_024 + bytesEach * mappings, Multiplexer.maximumControlBytes)
    }
}

/// What the records of the authority call the other end: a name for people, and the id that stays.
package struct NodeName: Equatable, Sendable {
    package let name: String
    package let id: String

    package init(name: String, id: String) {
        self.name = name
        self.id = id
    }

    /// Of a plan; nil where an older authority says nothing of it.
    fileprivate init?(_ envelope: [String: JSONValue]) {
        guard let name = envelope["node"]?.text, let id = envelope["nodeID"]?.text, !name.isEmpty else {
            return nil
        }
        self.init(name: String(ofStranger: name, most: 64), id: String(ofStranger: id, most: 64))
    }
}

extension Part {
    fileprivate init?(_ json: JSONValue) {
        guard let entry = json.object, let id = entry["id"]?.integer.flatMap(UInt32.init(exactly:)),
            let kind = entry["kind"]?.word.flatMap(MappingKind.init)
        else { return nil }
        let (listen, forward) = (entry["listen"] ?? .null, entry["forward"] ?? .null)
        switch (kind, listen, forward) {
        case (.peerListener, _, .null):
            guard let endpoint = Endpoint(listen) else { return nil }
            self.init(id: id, kind: kind, task: .listen(endpoint))
        case (.listener, .null, _):
            guard let endpoint = Endpoint(forward) else { return nil }
            self.init(id: id, kind: kind, task: .forward(endpoint))
        default: return nil
        }
    }
}

extension Endpoint {
    fileprivate init?(_ json: JSONValue) {
        guard let place = json.object, let domain = place["domain"]?.word.flatMap(Domain.init),
            let address = place["addr"]?.text
        else { return nil }
        try? self.init(domain: domain, address: address)
    }
}

extension ListenerState {
    /// What a report says of one mapping.
    fileprivate static func read(_ json: JSONValue) -> (id: UInt32, state: ListenerState)? {
        guard let entry = json.object, let id = entry["id"]?.integer.flatMap(UInt32.init(exactly:)) else {
            return nil
        }
        switch entry["state"]?.word {
        case "pending": return (id, .pending)
        case "active":
            guard let bound = text(entry["bound"], most: 128) else { return nil }
            return (id, .active(bound: bound))
        case "failed":
            guard let detail = text(entry["detail"], most: 256) else { return nil }
            switch entry["retrySeconds"] ?? .null {
            case .null: return (id, .failed(error: detail, retrySeconds: 0))
            case .integer(let seconds):
                return (id, .failed(error: detail, retrySeconds: Int(min(max(seconds, 0), 3_600))))
            default: return nil
            }
        default: return nil
        }
    }

    /// Empty where it is left out; nil where it is no text.
    private static func text(_ json: JSONValue?, most: Int) -> String? {
        switch json ?? .null {
        case .null: ""
        case .string(let text): String(ofStranger: text, most: most)
        default: nil
        }
    }
}

/// The JSON form.
private struct Envelope: Encodable {
    var type: String
    var revision: Int64
    var mappings: [Entry]
    var node: String?
    var nodeID: String?

    init(_ message: ControlMessage) {
        switch message {
        case .plan(let revision, let parts, let node):
            (self.node, nodeID) = (node?.name, node?.id)
            (type, self.revision) = ("plan", revision)
            mappings = parts.map(Entry.init)
        case .report(let revision, let states):
            (type, self.revision) = ("report", revision)
            mappings = states.sorted { $0.key < $1.key }.map(Entry.init)
        }
    }
}

private struct Entry: Encodable {
    var id: UInt32
    var kind: MappingKind?
    var listen: Place?
    var forward: Place?
    var state: String?
    var bound: String?
    var detail: String?
    var retrySeconds: Int?

    init(_ part: Part) {
        id = part.id
        kind = part.kind
        switch part.task {
        case .listen(let endpoint): listen = Place(endpoint)
        case .forward(let endpoint): forward = Place(endpoint)
        }
    }

    init(_ id: UInt32, _ listenerState: ListenerState) {
        self.id = id
        switch listenerState {
        case .pending: state = "pending"
        case .active(let bound): (state, self.bound) = ("active", bound)
        case .failed(let error, let seconds): (state, detail, retrySeconds) = ("failed", error, seconds)
        }
    }
}

private struct Place: Encodable {
    var domain: String
    var addr: String

    init(_ endpoint: Endpoint) {
        domain = endpoint.domain.rawValue
        addr = endpoint.address
    }
}
