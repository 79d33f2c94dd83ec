import Reactor

/// What a node may cost its loop's thread, and the machine. Bytes are not what a turn takes: a transfer's 256 KiB are 0.1 ms of it, the same
/// bytes full of openings half a second.
///
/// Counted in nanoseconds of the processor that the costs were measured on. While others have work a node may cost as much as time passes, and a
/// millisecond at a time: for a transfer that is no limit, 2 GB/s; for a flood it is. Alone a node has all, and gives way for whoever
/// comes meanwhile.
package struct TurnShare {
    /// At a time, beside others.
    static let beside = 1_000_000
    /// In a turn, alone.
    static let alone = 4_000_000
    /// One thing that cannot be divided may cost more than there is.
    private static let mostOwed = 4_000_000

    private var left = beside
    private var turn: UInt64 = 0
    private var since: UInt64 = 0

    package init() {}

    package var isSpent: Bool { left <= 0 }

    package mutating func begin(_ loop: EventLoop) {
        guard loop.turns != turn else { return }
        let passed = Int(clamping: loop.now - min(since, loop.now))
        (turn, since) = (loop.turns, loop.now)
        left = loop.isShared ? min(left + min(passed, Self.beside + Self.mostOwed), Self.beside) : Self.alone
    }

    package mutating func spend(_ cost: Int) { left = max(left - cost, -Self.mostOwed) }

    /// Until there is something again; 0: now, or in the next turn.
    package func delay(_ loop: EventLoop) -> UInt64 {
        isSpent && loop.isShared ? UInt64(clamping: Self.leastDelay - left) : 0
    }

    /// For some of a turn, and not for one frame.
    private static let leastDelay = 100_000
}

/// Both directions of a node's links, which come after each other: a node that takes over from itself gains nothing.
final class NodeShare {
    /// Of what comes over the links.
    var incoming = TurnShare()
    /// Of what comes from sockets of this end, clients among them.
    var outgoing = TurnShare()

    func begin(_ loop: EventLoop) {
        incoming.begin(loop)
        outgoing.begin(loop)
    }
}

/// What things cost the machine that a server runs on, rather too much than too little: the calls of the kernel, the records' threads, and what
/// wakes at the other end of a call. A stream that is opened and closed takes 30 µs of the loop, 10 of the records' threads, and as much
/// again and more of its target.
package enum TurnCost {
    /// Of a link or a socket, with the cipher and the copy: the other half is the other program's.
    static func bytes(_ count: Int) -> Int { count / 2 }
    static let frame = 2_000
    /// A system call that moves bytes, and who wakes of it.
    static let call = 2_000
    /// A stream from its opening to its end: a dial or a client, a record.
    static let stream = 200_000
    /// A client that is sent away.
    package static let refusal = 15_000
    /// From a ClientHello to an answer, and from there to a link.
    package static let handshake = 400_000
    package static let login = 1_000_000
    /// JSON.
    static func control(_ count: Int) -> Int { 5_000 + count * 20 }
}
