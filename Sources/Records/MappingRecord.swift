/// Which side listens.
package enum MappingKind: String, Codable, Sendable, CaseIterable {
    /// The server listens, the node dials.
    case listener
    /// The node listens, the server dials.
    case peerListener = "peer-listener"

    /// In sentences.
    package var words: String { self == .listener ? "listener" : "peer listener" }
}

/// What the records and the listening side make of a mapping, in one word.
package enum MappingState: String, Codable, Sendable, CaseIterable {
    case active
    /// The listening side has not answered the newest revision yet.
    case pending
    case failed
    /// By the operator, or because its node is.
    case disabled
}

/// A kind of address, in Go's words.
package enum AddressDomain: String, Codable, Sendable, CaseIterable {
    case tcp
    case tcp4
    case tcp6
    case unix
}

/// An address as it is written: `{"domain":"tcp","addr":"127.0.0.1:80"}`. Checked when a mapping takes it.
package struct Place: Codable, Hashable, Sendable, CustomStringConvertible {
    /// As text, so that an unknown one gets a sentence instead of a decoding error.
    package let domain: String
    package let addr: String

    package init(domain: String = "tcp", addr: String) {
        self.domain = domain
        self.addr = addr
    }

    package var description: String { "\(domain) \(addr)" }
}

/// A mapping as lists show it. Encodes with every key, `null` where there is no value.
package struct MappingRecord: Codable, Equatable, Sendable, Identifiable {
    package let id: UInt32
    /// The node's name.
    package let node: String
    package let nodeID: String
    package let kind: MappingKind
    package let name: String?
    package let listen: Place
    package let forward: Place
    package let enabled: Bool
    package let origin: Origin
    package var state: MappingState
    /// Where it listens, when it does: the port behind port 0.
    package var boundAddress: String?
    /// The words of the failure.
    package var detail: String?
    /// The node's revision that last changed this mapping.
    package let desiredRevision: Int64
    /// The node's revision that the listening side last answered; null before the first answer.
    package var appliedRevision: Int64?
    package let createdAt: Timestamp

    /// `listener 14 "rdp" of node edge-07`
    package var sentenceName: String {
        "\(kind.words) \(id)\(name.map { " \"\($0)\"" } ?? "") of node \(node)"
    }
}

extension MappingRecord {
    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(id, forKey: .id)
        try values.encode(node, forKey: .node)
        try values.encode(nodeID, forKey: .nodeID)
        try values.encode(kind, forKey: .kind)
        try values.encode(name, forKey: .name)
        try values.encode(listen, forKey: .listen)
        try values.encode(forward, forKey: .forward)
        try values.encode(enabled, forKey: .enabled)
        try values.encode(origin, forKey: .origin)
        try values.encode(state, forKey: .state)
        try values.encode(boundAddress, forKey: .boundAddress)
        try values.encode(detail, forKey: .detail)
        try values.encode(desiredRevision, forKey: .desiredRevision)
        try values.encode(appliedRevision, forKey: .appliedRevision)
        try values.encode(createdAt, forKey: .createdAt)
    }
}

/// A mapping that is to be.
package struct NewMapping: Hashable, Sendable {
    package var kind: MappingKind
    package var name: String?
    package var listen: Place
    package var forward: Place

    package init(kind: MappingKind, name: String? = nil, listen: Place, forward: Place) {
        self.kind = kind
        self.name = name
        self.listen = listen
        self.forward = forward
    }
}

/// What the listening side says of one mapping.
package struct ObservedState: Hashable, Sendable {
    package let mapping: UInt32
    package let state: State
    package let appliedRevision: Int64

    package enum State: Hashable, Sendable {
        case pending
        case active(bound: String)
        case failed(detail: String)
    }

    package init(mapping: UInt32, state: State, appliedRevision: Int64) {
        self.mapping = mapping
        self.state = state
        self.appliedRevision = appliedRevision
    }
}
