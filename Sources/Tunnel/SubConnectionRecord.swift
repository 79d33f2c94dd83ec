import Mux
import Reactor

/// Bytes of one sub-connection as one end counted them: up is from the client to the target.
package struct ByteCounts: Equatable, Sendable {
    package var up: UInt64
    package var down: UInt64

    package init(up: UInt64, down: UInt64) {
        self.up = up
        self.down = down
    }
}

/// Keeps the records of a peer's sub-connections: the server has one, a node has none. Called on the loop's thread.
package protocol SubConnectionRecorder: AnyObject {
    /// A client has connected, here or at the other end. Nil: it cannot be recorded, and is refused.
    func opening(mapping: UInt32, client: ClientAddress, of peer: Peer) -> (any SubConnectionRecord)?

    /// So many clients were turned away before they became sub-connections.
    func refused(_ cause: RefusalCause, _ count: Int, mapping: UInt32, of peer: Peer)
}

/// The record of one sub-connection, from its opening to its end.
package protocol SubConnectionRecord: AnyObject {
    /// Set by the sub-connection. Let go of at its end.
    var connection: SubConnection? { get set }

    /// Whether bytes may pass. While it is false none does, in either direction; then `SubConnection.recorded()` or `abort` is called.
    var isDurable: Bool { get }

    /// Bytes up, bytes down, and the monotonic time of the last of them in nanoseconds: kept up to date with every read and write, in memory
    /// that may outlive this process. Valid until `ended`.
    var totals: UnsafeMutablePointer<UInt64> { get }

    /// The sub-connection is over, with these bytes. Once; `totals` is not used any more.
    func ended(_ reason: CloseReason, counts: ByteCounts)

    /// Once, after `ended`: what the other end counted, or nil if it did not say so in time.
    func settled(other: ByteCounts?)
}

/// Records whose sub-connection is over here and not yet, or not yet known to be, at the other end.
struct AwaitedTallies {
    private var records: [UInt32: any SubConnectionRecord] = [:]
    /// In the order of their deadlines. Some have been answered.
    private var deadlines: [(at: UInt64, stream: UInt32)] = []
    private var first = 0

    /// A target that takes its last bytes slowly keeps the other end from its last count; a node that never says it costs
    /// no more than this.
    static let patience: UInt64 = 5_000_000_000
    private static let most = 65_536

    var isEmpty: Bool { records.isEmpty }
    var nextDeadline: UInt64? { first < deadlines.count ? deadlines[first].at : nil }

    mutating func await(_ record: any SubConnectionRecord, _ stream: StreamID, now: UInt64) {
        // Its slot has gone round all generations: that one is not coming any more.
        records.updateValue(record, forKey: stream.rawValue)?.settled(other: nil)
        deadlines.append((now + Self.patience, stream.rawValue))
        while records.count > Self.most { dropFirst() }
    }

    mutating func take(_ stream: StreamID) -> (any SubConnectionRecord)? {
        let record = records.removeValue(forKey: stream.rawValue)
        if records.isEmpty {
            deadlines.removeAll(keepingCapacity: true)
            first = 0
        }
        return record
    }

    /// Gives up those whose time is over.
    mutating func expire(now: UInt64) {
        while let next = nextDeadline, next <= now { dropFirst() }
    }

    mutating func giveUpAll() {
        while first < deadlines.count { dropFirst() }
    }

    private mutating func dropFirst() {
        let stream = deadlines[first].stream
        first += 1
        if first > 1_024, first * 2 > deadlines.count {
            deadlines.removeFirst(first)
            first = 0
        }
        records.removeValue(forKey: stream)?.settled(other: nil)
    }
}

extension ClientAddress {
    /// The wire's form of an accepted socket's address.
    init(_ address: SocketAddress) {
        switch address.family {
        case .ipv4: self.init(family: .ipv4, port: address.port, high: address.high, low: 0)
        case .ipv6: self.init(family: .ipv6, port: address.port, high: address.high, low: address.low)
        case .unix: self.init()
        }
    }

    var text: String {
        switch family {
        case .none: "unix"
        case .ipv4: "\(SocketAddress(ipv4: UInt32(high >> 32), port: port))"
        case .ipv6: "\(SocketAddress(ipv6: high, low, port: port))"
        }
    }
}
