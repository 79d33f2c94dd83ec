/// What happens to connections, in the order in which it is appended to a `HistoryLog`.
package enum HistoryEvent: Sendable {
    /// Before the first opening that names it. Boxed: it is rare and large.
    indirect case route(ConnectionRoute)
    case opened(Opened)
    case closed(Closed)
    indirect case note(Note)
}

/// What the connections of one node through one mapping have in common, as it was when they were made.
package struct ConnectionRoute: Hashable, Sendable {
    /// From `HistoryLog.newRouteID()`.
    package let id: Int64
    package let nodeID: String
    package let node: String
    /// Of the credential that the node had logged in with.
    package let identity: [UInt8]
    package let mapping: UInt32
    package let kind: MappingKind
    package let mappingName: String?
    package let listen: String
    package let target: String

    package init(
        id: Int64, nodeID: String, node: String, identity: [UInt8], mapping: UInt32, kind: MappingKind,
        mappingName: String?, listen: String, target: String
    ) {
        self.id = id
        self.nodeID = nodeID
        self.node = node
        self.identity = identity
        self.mapping = mapping
        self.kind = kind
        self.mappingName = mappingName
        self.listen = listen
        self.target = target
    }
}

package struct Opened: Hashable, Sendable {
    /// From `HistoryLog.newConnectionID()`, in ascending order.
    package let id: Int64
    package let route: Int64
    package let at: Timestamp
    /// Of the clock that counts from the machine's start.
    package let monotonicMicroseconds: Int64
    package let client: ClientPlace

    package init(
        id: Int64, route: Int64, at: Timestamp, monotonicMicroseconds: Int64, client: ClientPlace
    ) {
        self.id = id
        self.route = route
        self.at = at
        self.monotonicMicroseconds = monotonicMicroseconds
        self.client = client
    }
}

package struct Closed: Hashable, Sendable {
    package let connection: Int64
    package let at: Timestamp
    package let durationMicroseconds: Int64
    /// Bytes from the client to the target, and back.
    package let up: Int64
    package let down: Int64
    /// As the node counted them; nil when it did not say.
    package let nodeUp: Int64?
    package let nodeDown: Int64?
    package let reason: EndReason
    package let flags: ConnectionFlags

    package init(
        connection: Int64, at: Timestamp, durationMicroseconds: Int64, up: Int64, down: Int64,
        nodeUp: Int64? = nil, nodeDown: Int64? = nil, reason: EndReason, flags: ConnectionFlags = []
    ) {
        self.connection = connection
        self.at = at
        self.durationMicroseconds = durationMicroseconds
        self.up = up
        self.down = down
        self.nodeUp = nodeUp
        self.nodeDown = nodeDown
        self.reason = reason
        self.flags = flags
    }
}

package struct ConnectionFlags: OptionSet, Hashable, Sendable {
    package let rawValue: Int64

    package init(rawValue: Int64) {
        self.rawValue = rawValue
    }

    /// Closed at a start after a crash, with what the slot file held.
    package static let recovered = ConnectionFlags(rawValue: 1)
    /// The node counted other bytes than this server.
    package static let countsDiffer = ConnectionFlags(rawValue: 2)
    /// Bytes passed before the opening was on disk (`-on-audit-failure continue`).
    package static let notHeld = ConnectionFlags(rawValue: 4)
}

/// What the history must say beside the connections.
package struct Note: Hashable, Sendable {
    package enum Kind: String, CaseIterable, Codable, Sendable {
        case start, stop, gap, refusals, pruned, carried
    }

    /// Why nothing, or not everything, is known of a stretch of time: the detail of a `gap`.
    package enum Gap: String, CaseIterable, Codable, Sendable {
        case serverCrash = "server-crash"
        case serverStop = "server-stop"
        case auditFailure = "audit-failure"
        case clockStep = "clock-step"
        /// A backup was put in the place of the database.
        case restored
    }

    package let at: Timestamp
    package let kind: Kind
    package let from: Timestamp?
    package let to: Timestamp?
    package let connection: Int64?
    package let count: Int64?
    /// The cause of a gap or of refusals; else JSON.
    package let detail: String?

    package init(
        at: Timestamp, kind: Kind, from: Timestamp? = nil, to: Timestamp? = nil, connection: Int64? = nil,
        count: Int64? = nil, detail: String? = nil
    ) {
        self.at = at
        self.kind = kind
        self.from = from
        self.to = to
        self.connection = connection
        self.count = count
        self.detail = detail
    }

    package static func gap(_ cause: Gap, from: Timestamp, to: Timestamp, at: Timestamp = .now) -> Note {
        Note(at: at, kind: .gap, from: from, to: to, detail: cause.rawValue)
    }
}
