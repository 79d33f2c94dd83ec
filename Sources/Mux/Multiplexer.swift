/// The protocol of one main link. See Mux.docc for the wire.
///
/// One thread uses it. Every method is constant time, none allocates per frame (the slot table grows with the highest
/// number of streams open at once, and is kept until `shrink`). A `Violation` thrown by `receive` means: end the link.
package final class Multiplexer {
    package let role: Role
    package let maximumStreams: Int
    /// What a slot's generations count to before they begin again at 1: all of their 15 bits, but in tests.
    let generations: UInt16
    /// The shortest round trip of late; windows are sized by it.
    package var roundTripNanoseconds: UInt64 { roundTrip.shortest }
    var roundTrip = RoundTrip()
    /// Windows are sized by no shorter one than this: the owner's word on what the path is not the reason for.
    package var leastRoundTripNanoseconds: UInt64 = 0
    package internal(set) var hasSentGoAway = false
    package internal(set) var hasReceivedGoAway = false

    /// Slots of both openers, interleaved: ours at even places, theirs at odd ones.
    var states = ContiguousArray<StreamState>()
    /// Generations of the slots behind the table's end, the nearest last: what is left of them when a crowd has gone.
    var parked = ContiguousArray<UInt16>()
    var freeSlots = ContiguousArray<Int32>()
    var ourSlotsUsed = 0
    var theirSlotsUsed = 0
    /// Streams that an owner still holds, for each opener.
    package internal(set) var ourStreams = 0
    package internal(set) var theirStreams = 0
    /// Streams of theirs that the owner still holds while their slot serves others: an id that comes round is not given to two.
    var heldPast = Set<StreamID>()
    /// A slot has been through all generations.
    var hasComeRound = false

    var queueFirst: Int32 = -1
    var queueLast: Int32 = -1

    package internal(set) var linkSendCredit = Credit.linkBytes
    var linkGranted = Credit.linkBytes
    var linkOwed = 0
    var growthPool = GrowthPool()
    /// First windows of the streams that still receive.
    var firstWindowsGranted = 0
    /// Bytes that came on streams that receive no more, and have not left.
    var orphanedBytes = 0
    /// What late frames may still cost.
    var lateAllowance = 0

    var pingInFlight = false
    var pingSentAt: UInt64 = 0
    var pingPending = false
    var pingNumber: UInt64 = 0
    var pongPending: UInt64?
    /// DATA has been sent, or has come, since this end last asked, and when that was a question before it.
    var isQuiet = true
    var wasQuiet = true
    var hasReceivedSincePing = false
    var lastSent: UInt64?
    static let askBackNanoseconds: UInt64 = 2_000_000_000
    var askedBack = MisdeedBudget(burst: 8, nanosecondsEach: 200_000_000)
    /// Those that credit is due to when the path has been measured.
    var withheld = ContiguousArray<Int32>()
    var goAwayPending: (GoAwayReason, UInt32)?
    /// Those of `tallied` before `talliesSent` have left.
    var tallied = ContiguousArray<Tally>()
    var talliesSent = 0
    /// Streams of both ends so far, less the tallies that came: each stream has one at most.
    var talliesExpected = 0
    var controlOut = ContiguousArray<[UInt8]>()
    var controlOutPosition = 0
    var controlIn = [UInt8]()
    var misdeeds = MisdeedBudget()
    /// The latest `now` that a caller gave; windows that are returned in `poll` are timed by it.
    var lastNow: UInt64 = 0

    /// Of an opener that takes more streams than this end serves: those beyond are closed, not a violation.
    static let mostSlots = 16_384
    package static let maximumControlBytes = 1 << 20
    /// A control message is cut into pieces no smaller than this, but for its last; smaller ones count as messages.
    static let smallestPieceBytes = 1_024
    /// What a late frame without payload takes from the allowance.
    static let lateFrameCost = 64

    package init(role: Role, maximumStreams: Int = 16_384, generations: UInt16 = 0x7fff) {
        precondition((1...65_536).contains(maximumStreams) && (2...0x7fff).contains(generations))
        self.role = role
        self.maximumStreams = maximumStreams
        self.generations = generations
    }

    // MARK: Questions

    package func isOurs(_ id: StreamID) -> Bool { id.opener == role }

    package var canOpen: Bool {
        !hasReceivedGoAway && !hasSentGoAway && (!freeSlots.isEmpty || ourSlotsUsed < maximumStreams)
            && hasRoom(forFirstWindow: Credit.firstWindowBytes(openStreams: ourStreams + theirStreams))
    }

    /// Bytes of DATA that the stream may send now; 0 when it has finished or is over.
    package func sendBudget(_ id: StreamID) -> Int {
        guard let index = usableIndex(id), !states[index].isFinishedHere else { return 0 }
        return min(states[index].sendCredit, linkSendCredit)
    }

    /// Whether the stream still exists on the link.
    package func isLive(_ id: StreamID) -> Bool { liveIndex(id) != nil }

    /// Whether `poll` has anything to do.
    package var hasPending: Bool {
        queueFirst >= 0 || pongPending != nil || pingPending || !controlOut.isEmpty || owesLinkCredit
            || goAwayPending != nil || !tallied.isEmpty
    }

    /// A quarter of what is not held by stalled streams, however little that is: with a fixed share, streams that hold
    /// the rest would keep the owed bytes from ever reaching it, and the link would stand.
    var owesLinkCredit: Bool { linkOwed > 0 && linkOwed >= linkGranted / 3 }

    // MARK: Commands

    /// Opens a stream; OPEN is due at the next `poll`, and DATA may follow it at once. Nil when `canOpen` is false.
    package func open(mapping: UInt32, client: ClientAddress, now: UInt64) -> StreamID? {
        guard canOpen else { return nil }
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = Int(free)
        } else {
            slot = ourSlotsUsed
            ourSlotsUsed += 1
        }
        let index = slot * 2
        growTable(to: index)
        let first = Credit.firstWindowBytes(openStreams: ourStreams + theirStreams)
        let generation = generation(after: states[index].generation)
        begin(index, generation: generation, sendFirst: first, receiveFirst: first, now: now)
        states[index].mapping = mapping
        states[index].client = client
        ourStreams += 1
        require(.open, at: index)
        return StreamID(opener: role, slot: slot, generation: generation)
    }

    /// The dial succeeded: OPENED is due.
    package func accept(_ id: StreamID) {
        precondition(!isOurs(id))
        guard let index = usableIndex(id) else { return }
        precondition(!states[index].isAccepted, "a stream is accepted once")
        states[index].isAccepted = true
        require(.opened, at: index)
    }

    /// No more bytes from this end: FIN is due after the DATA already written.
    package func finish(_ id: StreamID) {
        guard let index = usableIndex(id), !states[index].isFinishedHere else { return }
        states[index].isFinishedHere = true
        require(.fin, at: index)
    }

    /// Ends both directions: CLOSE is due, everything else of the stream is dropped. Does nothing for a stream that is over.
    package func reset(_ id: StreamID, reason: CloseReason) {
        guard let index = usableIndex(id) else { return }
        // An OPEN that is due is still sent: the other end counts slots and generations without gaps.
        states[index].pending.formIntersection(.open)
        states[index].closeReason = reason
        // What is under way may still come; more than that is a flood.
        allowLate(states[index].window.grantedBytes + 64 * Self.lateFrameCost)
        stopReceiving(index)
        require(.close, at: index)
    }

    /// Tells the other end what this one counted of a stream. At most once for each, before `release`.
    package func tally(_ id: StreamID, fromSocket: UInt64, toSocket: UInt64) {
        tallied.append(Tally(stream: id, fromSocket: fromSocket, toSocket: toSocket))
    }

    /// The owner has let go of the stream; its slot may serve another. Exactly once for each opened stream,
    /// after `finish` and the other end's FIN, after `reset`, or after `closed`. No event names it from then on, and its id
    /// may serve again: what is still to be consumed of it is before anything else is received or opened.
    package func release(_ id: StreamID) {
        if isOurs(id) {
            let index = id.slot * 2
            precondition(states[index].isHeld && states[index].generation == id.generation, "released twice")
            states[index].isHeld = false
            ourStreams -= 1
            if !states[index].isLive { freeSlots.append(Int32(id.slot)) }
        } else {
            precondition(theirStreams > 0, "released twice")
            theirStreams -= 1
            let index = id.slot * 2 + 1
            if heldPast.isEmpty || heldPast.remove(id) == nil, index < states.count,
                states[index].generation == id.generation
            {
                states[index].isHeld = false
            }
        }
    }

    /// `amount` bytes of `data` events have left (to the socket, or were dropped): credit goes back.
    package func consumed(_ id: StreamID, _ amount: Int, now: UInt64) {
        guard amount > 0 else { return }
        linkOwed += amount
        guard let index = liveIndex(id), states[index].isReceiving else {
            orphanedBytes -= amount
            precondition(orphanedBytes >= 0, "more consumed than came")
            return
        }
        states[index].window.consumed(amount)
        if states[index].window.isDue { returnCredit(at: index) }
        lastNow = now
    }

    /// So many bytes of the stream in all have not only left, but have reached whoever is behind the socket, as far as its owner can
    /// know. A window grows by what its stream delivers.
    package func delivered(_ id: StreamID, _ total: Int) {
        guard let index = liveIndex(id), states[index].isReceiving else { return }
        states[index].window.delivered(total, &growthPool)
    }

    /// Asks for a sign of life; answered by a `pong` event. One at a time: false while one is under way.
    @discardableResult
    package func ping(now: UInt64) -> Bool {
        guard !pingInFlight else { return false }
        pingInFlight = true
        pingPending = true
        pingNumber &+= 1
        pingSentAt = now
        (wasQuiet, isQuiet) = (isQuiet, true)
        hasReceivedSincePing = false
        return true
    }

    /// Queues a control message of 1 byte to 1 MiB. The other end counts messages (100 at once, 33 a second, see
    /// Mux.docc): one that says much, not many that say little.
    package func send(control message: [UInt8]) {
        precondition((1...Self.maximumControlBytes).contains(message.count))
        controlOut.append(message)
    }

    /// The other end shall open no more streams and go; open ones live on until they end or the owner ends them.
    package func goAway(_ reason: GoAwayReason, retryAfterMilliseconds: UInt32) {
        guard !hasSentGoAway else { return }
        hasSentGoAway = true
        goAwayPending = (reason, retryAfterMilliseconds)
    }
}
