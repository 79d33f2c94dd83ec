import Reactor

/// What a node may cost its loop's thread in a turn: deficit round robin by cost. Bytes are not what a turn takes: a transfer's 256 KiB
/// are 0.1 ms of it, the same bytes full of openings half a second.
///
/// Counted in nanoseconds of the processor that the costs were measured on; what counts is how they compare. Who has cost more than its
/// share waits for as many turns as that takes. When nobody else has work these come one right after the other: nothing is lost but
/// some microseconds.
package struct TurnShare {
    /// Beside others: half of a transfer's full turn, 128 KiB. Less than what most have to do in a turn, so that all get the same.
    static let beside = 64_000
    /// Alone: for whoever comes meanwhile, and so that openings still come in batches.
    static let alone = 4_000_000
    /// One thing that cannot be divided may cost more than a turn.
    private static let mostOwed = 32 * beside

    private var left = beside
    private var turn: UInt64 = 0

    package init() {}

    package var isSpent: Bool { left <= 0 }

    /// What a turn did not use is not saved up.
    package mutating func begin(_ loop: EventLoop) {
        guard loop.turns != turn else { return }
        let most = loop.isShared ? Self.beside : Self.alone
        let turns = Int(min(loop.turns - min(turn, loop.turns), UInt64(Self.mostOwed / Self.beside)))
        turn = loop.turns
        left = min(left + turns * most, most)
    }

    package mutating func spend(_ cost: Int) { left = max(left - cost, -Self.mostOwed) }
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
    static let frame = 1_000
    /// A system call that moves bytes, and who wakes of it.
    static let call = 2_000
    /// A stream from its opening to its end: a dial or a client, a record.
    static let stream = 300_000
    /// A client that is sent away.
    package static let refusal = 15_000
    /// From a ClientHello to an answer, and from there to a link.
    package static let handshake = 400_000
    package static let login = 1_000_000
    /// JSON.
    static func control(_ count: Int) -> Int { 5_000 + count * 20 }
}
