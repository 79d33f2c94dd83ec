import FoundationEssentials
import Mux
import Reactor

/// What the two ends tell each other beside sub-connections: JSON in CONTROL frames.
///
///     plan    authority → other   the whole set of the other end's parts; replaces the one before
///     report  other → authority   what became of its listening parts, each time that changes
///
/// A message that is not understood, too long, or from the wrong end is a violation. Unknown keys are passed over, so that
/// an older end understands a newer one.
package enum ControlMessage: Equatable, Sendable {
    case plan(revision: UInt64, parts: [Part])
    case report(revision: UInt64, states: [UInt32: ListenerState])

    package var encoded: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Only strings and numbers of our own: encoding them cannot fail.
        guard let data = try? encoder.encode(Envelope(self)) else { preconditionFailure("a message that is not JSON") }
        return [UInt8](data)
    }

    package init(_ bytes: [UInt8], maximumMappings: Int) throws(Violation) {
        guard let envelope = try? JSONDecoder().decode(Envelope.self, from: Data(bytes)),
            envelope.mappings.count <= maximumMappings,
            Set(envelope.mappings.map(\.id)).count == envelope.mappings.count
        else { throw .badControl }
        switch envelope.type {
        case "plan":
            var parts: [Part] = []
            for entry in envelope.mappings {
                guard let part = entry.part else { throw .badControl }
                parts.append(part)
            }
            self = .plan(revision: envelope.revision, parts: parts)
        case "report":
            var states: [UInt32: ListenerState] = [:]
            for entry in envelope.mappings {
                guard let state = entry.listenerState else { throw .badControl }
                states[entry.id] = state
            }
            self = .report(revision: envelope.revision, states: states)
        default: throw .badControl
        }
    }
}

/// The JSON form.
private struct Envelope: Codable {
    var type: String
    var revision: UInt64
    var mappings: [Entry]

    init(_ message: ControlMessage) {
        switch message {
        case .plan(let revision, let parts):
            (type, self.revision) = ("plan", revision)
            mappings = parts.map(Entry.init)
        case .report(let revision, let states):
            (type, self.revision) = ("report", revision)
            mappings = states.sorted { $0.key < $1.key }.map(Entry.init)
        }
    }
}

private struct Entry: Codable {
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

    var part: Part? {
        switch (kind, listen, forward) {
        case (.peerListener?, let place?, nil):
            guard let endpoint = place.endpoint else { return nil }
            return Part(id: id, kind: .peerListener, task: .listen(endpoint))
        case (.listener?, nil, let place?):
            guard let endpoint = place.endpoint else { return nil }
            return Part(id: id, kind: .listener, task: .forward(endpoint))
        default: return nil
        }
    }

    /// The texts come from the other end: bounded here, escaped where they are shown.
    var listenerState: ListenerState? {
        switch state {
        case "pending": .pending
        case "active": .active(bound: String((bound ?? "").prefix(128)))
        case "failed": .failed(error: String((detail ?? "").prefix(256)), retrySeconds: min(max(retrySeconds ?? 0, 0), 3_600))
        default: nil
        }
    }
}

private struct Place: Codable {
    var domain: String
    var addr: String

    init(_ endpoint: Endpoint) {
        domain = endpoint.domain.rawValue
        addr = endpoint.address
    }

    var endpoint: Endpoint? {
        Domain(rawValue: domain).flatMap { try? Endpoint(domain: $0, address: addr) }
    }
}
