/// By what connections are counted together.
package enum TotalsKey: String, CaseIterable, Sendable {
    case client, node, listener, target
}

/// Connections of one key, and what passed through them.
package struct ConnectionTotals: Equatable, Sendable {
    package var connections: Int64 = 0
    package var up: Int64 = 0
    package var down: Int64 = 0

    package init(connections: Int64 = 0, up: Int64 = 0, down: Int64 = 0) {
        (self.connections, self.up, self.down) = (connections, up, down)
    }

    package static func += (one: inout ConnectionTotals, other: ConnectionTotals) {
        one.connections = one.connections.adding(other.connections)
        one.up = one.up.adding(other.up)
        one.down = one.down.adding(other.down)
    }
}

/// What was counted in a part of the history.
package struct TotalsPart: Equatable, Sendable {
    /// By an address, a node's name, `node/listener` or a target.
    package var totals: [String: ConnectionTotals] = [:]
    /// The cursor of the next part; nil at the end.
    package var next: Int64?
    /// When the oldest connection was opened that was looked at.
    package var reached: Timestamp?
}

/// The history in numbers.
package struct HistoryNumbers: Equatable, Sendable {
    package struct Head: Equatable, Sendable {
        package let table: String
        package let id: Int64
        /// Of the chain's hash after that row, in hexadecimal.
        package let hash: String
    }

    package var connections: Int64 = 0
    package var closed: Int64 = 0
    package var up: Int64 = 0
    package var down: Int64 = 0
    /// By cause.
    package var refusals: [String: Int64] = [:]
    package var gaps: Int64 = 0
    package var oldest: Timestamp?
    package var newest: Timestamp?
    package var rows: [String: Int64] = [:]
    package var heads: [Head] = []
}
