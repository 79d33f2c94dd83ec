import Records

/// What the control service needs of the running server: the links and listeners that the records describe.
///
/// Called on the threads of the control socket, several at a time, always after the change is durable. The records are what
/// is true; these calls say only where to look again, so one too many does no harm.
package protocol LiveFleet: Sendable {
    /// Nodes by their id, added, changed or removed: compare their records with what runs, and act. Returns at once.
    func changed(nodes: [String])

    /// Ends the node's links and all their sub-connections, as its credentials or its state no longer allow them, and answers
    /// how many sub-connections ended; 0 for a node that is not online. Waits for it, at most 1 s.
    ///
    /// Comes after `changed` for the same node: what that call changes of the credentials must hold before the links end, or
    /// the node would be back with the old ones.
    func disconnect(node id: String, reason: String) -> Int

    /// The nodes that have a link now, by their id. Returns at once: a copy, not a question to the loops.
    func online() -> [String: LiveNode]

    /// When the last byte of each node with a link came, by its id. Asks the loop, at most 1 s; nil when it does not answer in
    /// time.
    func heard() -> [String: Timestamp]?

    /// Of nodes whose uuid several machines use at once, those machines, the newest first. Asks the loop, at most 1 s.
    func sharing() -> [String: [SharingMachine]]

    /// The sub-connections that are open now, of all nodes, in the order of their ids. Asks the loop, at most 1 s.
    func connections() -> [LiveConnection]

    /// What has passed so far through those sub-connections whose end the history does not have yet: of these ids, or of all.
    /// Asks the loop, at most 1 s; nil when it does not answer in time.
    func passed(of ids: [Int64]?) -> [Int64: PassedBytes]?

    /// Ends one sub-connection; the history keeps it as `killed`. False when none of this id is open. `reason` is the
    /// operator's words, for the log. Waits for it, at most 1 s.
    func kill(connection id: Int64, reason: String) -> Bool

    /// Runs `record`, a change of the records after which `bar` is closed. If that does not succeed because of the disk, or has not
    /// within a second, `bar` is closed at once nevertheless, and `record` is tried again each second until it succeeds, the
    /// records refuse it, or the server ends. Waits for all of it, some seconds at most.
    func protect(_ bar: Bar, _ record: @escaping @Sendable () throws(RecordsError) -> Void) -> Protection

    /// Targets that were not reached by the last client of their mapping. Asks the loop, at most 1 s.
    func targetTroubles() -> [TargetTrouble]

    /// False where no server runs: records can be changed, and nobody applies them.
    var isLive: Bool { get }
}

extension LiveFleet {
    package func targetTroubles() -> [TargetTrouble] { [] }

    /// Where nothing is open.
    package func protect(_ bar: Bar, _ record: @escaping @Sendable () throws(RecordsError) -> Void)
        -> Protection
    {
        do throws(RecordsError) { try record() } catch { return .refused(error) }
        return .recorded
    }
}

/// A target that clients did not reach.
package struct TargetTrouble: Codable, Equatable, Sendable {
    package let mapping: UInt32
    /// Of the last.
    package var reason: EndReason
    package let since: Timestamp
    /// Of them.
    package var count: Int

    package init(mapping: UInt32, reason: EndReason, since: Timestamp, count: Int) {
        self.mapping = mapping
        self.reason = reason
        self.since = since
        self.count = count
    }
}

/// What must not be open any more, whether or not that can be recorded.
package enum Bar: Hashable, Sendable {
    /// Its link ends, and it logs in no more.
    case node(String)
    /// Its listener is unbound and its sub-connections end.
    case mapping(UInt32, node: String)
    case connection(Int64, reason: String)
}

/// What became of a change that protects.
package enum Protection: Sendable {
    case recorded
    /// The records say no; nothing was closed.
    case refused(RecordsError)
    /// It is closed, and not on record yet; how many sub-connections of a node ended, and why not, if that is known.
    case closed(ended: Int, RecordsError?)
}

/// A node that has a link.
package struct LiveNode: Equatable, Sendable {
    /// Of the link's other end, as the server sees it.
    package let address: String
    /// What the node says of itself.
    package let version: String
    package let os: String
    /// When the link was up, in microseconds since the epoch, UTC.
    package let sinceMicroseconds: Int64
    /// Open on its link, a second ago at most.
    package var subConnections: Int
    /// The uuid that the link stands on, as the history names it.
    package let credential: String?

    package init(
        address: String, version: String, os: String, sinceMicroseconds: Int64, subConnections: Int,
        credential: String? = nil
    ) {
        self.credential = credential
        self.address = address
        self.version = version
        self.os = os
        self.sinceMicroseconds = sinceMicroseconds
        self.subConnections = subConnections
    }
}

/// One of several machines that take a node's link from each other. Encodes with every key.
package struct SharingMachine: Codable, Equatable, Sendable {
    /// Drawn when its program was started; null where it does not say.
    package let instance: String?
    package let address: String
    /// As it says.
    package let hostName: String
    /// When it last had the link.
    package let at: Timestamp

    package init(instance: String?, address: String, hostName: String, at: Timestamp) {
        self.instance = instance
        self.address = address
        self.hostName = hostName
        self.at = at
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(instance, forKey: .instance)
        try values.encode(address, forKey: .address)
        try values.encode(hostName, forKey: .hostName)
        try values.encode(at, forKey: .at)
    }
}

/// A sub-connection that is open.
package struct LiveConnection: Equatable, Sendable {
    /// As in the history.
    package let id: Int64
    package let nodeID: String
    package let node: String
    package let mapping: UInt32
    /// The mapping's name, if it has one.
    package let listener: String?
    package let kind: MappingKind
    /// `203.0.113.9:51514`; `unix` for a client on a Unix socket.
    package let client: String
    package let target: String
    package let openedAt: Timestamp
    /// From the client to the target, and back, since it was opened.
    package let bytesUp: UInt64
    package let bytesDown: UInt64
    /// Of the last whole second.
    package var bytesPerSecondUp: UInt64
    package var bytesPerSecondDown: UInt64

    package init(
        id: Int64, nodeID: String, node: String, mapping: UInt32, listener: String?, kind: MappingKind,
        client: String, target: String, openedAt: Timestamp, bytesUp: UInt64, bytesDown: UInt64,
        bytesPerSecondUp: UInt64, bytesPerSecondDown: UInt64
    ) {
        self.id = id
        self.nodeID = nodeID
        self.node = node
        self.mapping = mapping
        self.listener = listener
        self.kind = kind
        self.client = client
        self.target = target
        self.openedAt = openedAt
        self.bytesUp = bytesUp
        self.bytesDown = bytesDown
        self.bytesPerSecondUp = bytesPerSecondUp
        self.bytesPerSecondDown = bytesPerSecondDown
    }
}

/// The fleet of a server that is down.
package struct OfflineFleet: LiveFleet {
    package init() {}
    package func changed(nodes: [String]) {}
    package func disconnect(node id: String, reason: String) -> Int { 0 }
    package func online() -> [String: LiveNode] { [:] }
    package func heard() -> [String: Timestamp]? { [:] }
    package func sharing() -> [String: [SharingMachine]] { [:] }
    package func connections() -> [LiveConnection] { [] }
    package func passed(of ids: [Int64]?) -> [Int64: PassedBytes]? { [:] }
    package func kill(connection id: Int64, reason: String) -> Bool { false }
    package var isLive: Bool { false }
}
