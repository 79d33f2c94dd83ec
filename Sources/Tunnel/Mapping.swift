import Reactor

package enum MappingKind: String, Codable, Sendable {
    /// The end with the authority (the server) listens, the other (the node) dials.
    case listener
    /// The other way round.
    case peerListener = "peer-listener"
}

/// One address to listen on at one end, and the address to forward to from the other.
package struct Mapping: Equatable, Sendable {
    /// Names the mapping on the wire and in records; never used again for another.
    package let id: UInt32
    package let kind: MappingKind
    package let listen: Endpoint
    package let forward: Endpoint

    package init(id: UInt32, kind: MappingKind, listen: Endpoint, forward: Endpoint) {
        self.id = id
        self.kind = kind
        self.listen = listen
        self.forward = forward
    }

    /// What the end with the authority does for it.
    package var ownPart: Part {
        Part(id: id, kind: kind, task: kind == .listener ? .listen(listen) : .forward(forward))
    }

    /// What the other end does for it.
    package var otherPart: Part {
        Part(id: id, kind: kind, task: kind == .listener ? .forward(forward) : .listen(listen))
    }
}

/// One end's share of a mapping. Both ends run their parts with the same code.
package struct Part: Equatable, Sendable {
    package enum Task: Equatable, Sendable {
        case listen(Endpoint)
        /// Where this end dials when the other opens a sub-connection of this mapping: its own copy of the address.
        case forward(Endpoint)
    }

    package let id: UInt32
    package let kind: MappingKind
    package let task: Task

    package init(id: UInt32, kind: MappingKind, task: Task) {
        self.id = id
        self.kind = kind
        self.task = task
    }
}

/// What a listening part does right now.
package enum ListenerState: Equatable, Sendable {
    case pending
    case active(bound: String)
    case failed(error: String, retrySeconds: Int)
}
