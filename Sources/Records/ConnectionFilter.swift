/// Which connections of the history are meant; nil and empty ask for all.
package struct ConnectionFilter: Equatable, Sendable {
    /// Opened at this time or later.
    package var since: Timestamp?
    /// Opened before this time.
    package var until: Timestamp?
    /// Open at this moment.
    package var at: Timestamp?
    /// A node as an operator names it: as it is called now, with all names that it had, or as it was called then. A node that
    /// was removed is found by its whole name or id.
    package var node: String?
    /// A mapping's id, its name, or `node/name`, as it was called then.
    package var listener: String?
    package var client: ClientRange?
    /// `host:port` as it stands in the mapping, or the host alone.
    package var target: String?
    /// One of these ends; empty: any, or none yet.
    package var results: [EndReason] = []
    /// In both directions together.
    package var minBytes: Int64?
    package var isOpen: Bool?
    /// Those that are open now, with the bytes that have passed; nil where nobody knows. The history itself says this only
    /// at the end of a connection.
    package var open: [Int64: PassedBytes]?

    package init() {}
}

/// What has passed so far.
package struct PassedBytes: Equatable, Sendable {
    package let up: Int64
    package let down: Int64

    package init(up: Int64, down: Int64) {
        self.up = up
        self.down = down
    }
}

/// In which order connections come: by their ids, which are given in the order in which they were opened.
package enum ConnectionOrder: String, CaseIterable, Sendable {
    case newest
    case oldest
}

/// What one page may cost. The first is for tests; the second holds whatever the disk does.
package struct PageBudget: Sendable {
    /// Rows looked at.
    package var rows = 400_000
    /// Time after which the page ends with what it has. A part of the work that has begun is finished, which takes about as
    /// long again at most.
    package var nanoseconds: UInt64 = 20_000_000

    package init() {}
}
