/// Where a client connected from, as OPEN carries it. All zero for a Unix-domain client.
package struct ClientAddress: Hashable, Sendable {
    package enum Family: UInt8, Sendable {
        case none = 0
        case ipv4 = 4
        case ipv6 = 6
    }

    package var family = Family.none
    package var port: UInt16 = 0
    /// The 16 bytes in network order, read as two big-endian numbers; an IPv4 address is the first four.
    package var high: UInt64 = 0
    package var low: UInt64 = 0

    package init() {}

    package init(family: Family, port: UInt16, high: UInt64, low: UInt64) {
        self.family = family
        self.port = port
        self.high = high
        self.low = low
    }
}

/// What this end counted of a stream that is over here.
struct Tally {
    let stream: StreamID
    let fromSocket: UInt64
    let toSocket: UInt64
}

/// Frames that a stream owes. They are coalesced here, never queued: however often one becomes due, it is sent once.
struct PendingFrames: OptionSet {
    let rawValue: UInt8
    static let open = PendingFrames(rawValue: 1)
    static let opened = PendingFrames(rawValue: 2)
    static let window = PendingFrames(rawValue: 4)
    static let fin = PendingFrames(rawValue: 8)
    static let close = PendingFrames(rawValue: 16)
}

/// One slot of the table with the stream that is in it, or was.
struct StreamState {
    /// 0: the slot was never used.
    var generation: UInt16 = 0
    /// The stream exists on this link: frames for it are expected.
    var isLive = false
    /// The owner still holds it: the slot is not given to another stream of ours.
    var isHeld = false
    var isQueued = false
    /// Credit is due to it, but not while the path is measured.
    var isWithheld = false
    /// OPENED has come (ours), or `accept` was called (theirs).
    var isAccepted = false
    var isFinishedHere = false
    var isFinSent = false
    var isFinishedThere = false
    /// Bytes of the other end still reach the owner: no FIN came, nothing was reset.
    var isReceiving = false
    var closeReason = CloseReason.limit
    var pending: PendingFrames = []

    /// Next in the queue of streams with pending frames; -1 at its end.
    var nextQueued: Int32 = -1
    var mapping: UInt32 = 0
    var client = ClientAddress()

    /// Bytes that we may still send.
    var sendCredit = 0
    var sentBytes: UInt64 = 0
    var receivedBytes: UInt64 = 0
    var window = ReceiveWindow(firstBytes: 0, now: 0)
}

/// Link-wide budget for things that cost little each and are free to send.
struct MisdeedBudget {
    let burst: UInt64
    let nanosecondsEach: UInt64
    /// Virtual time up to which the budget is spent (a leaky bucket in one number).
    private var spentUntil: UInt64 = 0

    init(burst: UInt64 = 100, nanosecondsEach: UInt64 = 30_303_030) {  // 33 a second
        self.burst = burst
        self.nanosecondsEach = nanosecondsEach
    }

    /// False when the budget is exhausted.
    mutating func spend(now: UInt64) -> Bool {
        spentUntil = max(spentUntil, now) + nanosecondsEach
        return spentUntil - now <= burst * nanosecondsEach
    }
}
