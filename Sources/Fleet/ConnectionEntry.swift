import Mux
import Reactor
import Records
import Tunnel

/// One sub-connection as the history sees it.
final class ConnectionEntry: SubConnectionRecord {
    let id: Int64
    let mapping: UInt32
    let client: ClientPlace
    let openedAt: Timestamp
    let openedMonotonic: UInt64
    /// Nil when the file could not grow, and bytes pass nevertheless.
    let slot: ConnectionSlots.Slot?
    weak var connection: SubConnection?
    let totals: UnsafeMutablePointer<UInt64>
    private(set) var isDurable: Bool
    /// The opening is on disk.
    private var isRecorded = false
    private var hasFailed = false
    private var flags: ConnectionFlags = []
    private var end: (reason: EndReason, counts: ByteCounts, at: Timestamp, durationMicroseconds: Int64)?
    private let kind: Records.MappingKind
    let peer: Peer
    private unowned let history: ConnectionHistory

    init(
        id: Int64, mapping: UInt32, client: ClientPlace, openedAt: Timestamp, openedMonotonic: UInt64,
        slot: ConnectionSlots.Slot?, mayPass: Bool, kind: Records.MappingKind, peer: Peer,
        history: ConnectionHistory
    ) {
        self.id = id
        self.mapping = mapping
        self.client = client
        self.openedAt = openedAt
        self.openedMonotonic = openedMonotonic
        self.slot = slot
        self.kind = kind
        self.peer = peer
        self.history = history
        isDurable = mayPass
        if let slot {
            totals = slot.counts
        } else {
            totals = .allocate(capacity: 3)
            totals.initialize(repeating: 0, count: 3)
        }
    }

    deinit {
        if slot == nil { totals.deallocate() }
    }

    var passed: PassedBytes {
        PassedBytes(up: Int64(clamping: totals[0]), down: Int64(clamping: totals[1]))
    }

    func becameDurable() {
        isRecorded = true
        // With best effort bytes may have been quicker.
        if isDurable, totals[0] > 0 || totals[1] > 0 { flags.insert(.notHeld) }
        isDurable = true
        connection?.recorded()
    }

    /// A commit that hangs, and then fails, says it twice.
    func couldNotBeRecorded(isRefused: Bool) {
        guard !hasFailed else { return }
        hasFailed = true
        guard isRefused else {
            isDurable = true
            connection?.recorded()
            return
        }
        history.count(.notRecorded)
        connection?.abort(.notRecorded)
    }

    func ended(_ reason: CloseReason, counts: ByteCounts) {
        let reason = EndReason(reason)
        let nanoseconds = history.loop.now - min(openedMonotonic, history.loop.now)
        end = (reason, counts, .now, Int64(nanoseconds / 1_000))
        history.ended(self, reason)
    }

    func settled(other: ByteCounts?) {
        guard let end else { return }
        if !isRecorded, end.counts != ByteCounts(up: 0, down: 0) { flags.insert(.notHeld) }
        if let other, !agrees(other, with: end.counts, end.reason) { flags.insert(.countsDiffer) }
        history.settled(
            self,
            Closed(
                connection: id, at: end.at, durationMicroseconds: end.durationMicroseconds,
                up: Int64(clamping: end.counts.up), down: Int64(clamping: end.counts.down),
                nodeUp: other.map { Int64(clamping: $0.up) },
                nodeDown: other.map { Int64(clamping: $0.down) },
                reason: end.reason, flags: flags))
    }

    /// More than a stream's window and the buffers of both ends can hold.
    private static let mostUnderWay: UInt64 = 64 << 20

    /// After an orderly end both have counted the same. After any other, bytes that were under way are lost, but no end can have
    /// passed on what the other never had, nor have lost more than can be under way.
    private func agrees(_ node: ByteCounts, with server: ByteCounts, _ reason: EndReason) -> Bool {
        if reason == .clientEOF || reason == .targetEOF { return node == server }
        let canBe = { (sent: UInt64, got: UInt64) in sent >= got && sent - got <= Self.mostUnderWay }
        return kind == .listener
            ? canBe(server.up, node.up) && canBe(node.down, server.down)
            : canBe(node.up, server.up) && canBe(server.down, node.down)
    }
}

extension EndReason {
    init(_ reason: CloseReason) {
        guard let same = EndReason(rawValue: reason.description) else {
            preconditionFailure("a reason without a word in the records: \(reason)")
        }
        self = same
    }
}

extension ClientPlace {
    init(_ client: ClientAddress) {
        switch client.family {
        case .none: self = .unix
        case .ipv4: self.init(length: 4, high: client.high, low: 0, port: client.port)
        case .ipv6: self.init(length: 16, high: client.high, low: client.low, port: client.port)
        }
    }
}
