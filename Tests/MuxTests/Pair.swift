import Mux

/// Two ends with nothing between them but what the test lets through.
final class Pair {
    let one: Multiplexer
    let other: Multiplexer
    var now: UInt64 = 1_000_000_000

    init(role: Role = .dialer, maximumStreams: Int = 16_384, generations: UInt16 = 0x7fff) {
        one = Multiplexer(role: role, maximumStreams: maximumStreams, generations: generations)
        other = Multiplexer(role: role.other, maximumStreams: maximumStreams, generations: generations)
    }

    /// Opens a stream at `one`, and lets `other` see it.
    func open() throws -> StreamID {
        let id = one.open(mapping: 1, client: ClientAddress(), now: now)!
        try exchange()
        return id
    }

    /// All due frames, both ways, until nothing is due.
    @discardableResult
    func exchange() throws -> (one: [Seen], other: [Seen]) {
        var seen: (one: [Seen], other: [Seen]) = ([], [])
        while one.hasPending || other.hasPending {
            seen.other += try other.take(bytes: one.pollAll().bytes, now: now)
            seen.one += try one.take(bytes: other.pollAll().bytes, now: now)
        }
        return seen
    }

    /// Sends up to `limit` bytes from one end to its other; answers how many went.
    @discardableResult
    func send(_ id: StreamID, from sender: Multiplexer, limit: Int = .max) throws -> Int {
        let receiver = sender === one ? other : one
        var sent = 0
        while sent < limit {
            let count = min(limit - sent, sender.sendBudget(id), Frame.maximumPayloadBytes)
            if count == 0 { break }
            try receiver.take(bytes: sender.data(id, count), now: now)
            sent += count
        }
        return sent
    }

    /// Both ends are empty again: nothing held, all credit and all pools full.
    var isIdle: Bool {
        one.isIdle && other.isIdle && one.linkSendCredit + other.unreturnedLinkBytes == Credit.linkBytes
            && other.linkSendCredit + one.unreturnedLinkBytes == Credit.linkBytes
    }
}
