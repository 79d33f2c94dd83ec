/// What a frame means for the owner. Payloads lie in the record that carried them.
package enum Event {
    /// Nothing to do: bookkeeping, or a late frame.
    case none
    /// The other end opened a stream: dial, then `accept` or `reset`. In every case `release` in the end.
    case opened(StreamID, mapping: UInt32, client: ClientAddress)
    /// The other end's dial succeeded.
    case accepted(StreamID)
    /// Bytes; call `consumed` when they have left. The stream may already be over when that happens.
    case data(StreamID, UnsafeRawBufferPointer)
    /// The stream may send again; it had no credit.
    case writable(StreamID)
    /// The link may send again; it had no credit.
    case linkWritable
    /// No more bytes will come on this stream.
    case finished(StreamID)
    /// The other end ended the stream. It is over; `release` it.
    case closed(StreamID, CloseReason)
    /// A whole control message.
    case control([UInt8])
    /// The answer to a ping.
    case pong(roundTripNanoseconds: UInt64)
    case goAway(GoAwayReason, retryAfterMilliseconds: UInt32)
}

/// The protocol of one main link. See Mux.docc for the wire.
///
/// One thread uses it. Every method is constant time, none allocates per frame (the slot table grows with the highest
/// number of streams open at once and is kept). A `Violation` thrown by `receive` means: end the link.
package final class Multiplexer {
    package let role: Role
    package let maximumStreams: Int
    /// The shortest round trip seen; windows are sized by it.
    package private(set) var roundTripNanoseconds = Credit.assumedRoundTripNanoseconds
    package private(set) var hasSentGoAway = false
    package private(set) var hasReceivedGoAway = false

    /// Slots of both openers, interleaved: ours at even places, theirs at odd ones.
    var states = ContiguousArray<StreamState>()
    private var freeSlots = ContiguousArray<Int32>()
    private var ourSlotsUsed = 0
    private var theirSlotsUsed = 0
    /// Streams that an owner still holds, for each opener.
    package private(set) var ourStreams = 0
    package private(set) var theirStreams = 0

    private var queueFirst: Int32 = -1
    private var queueLast: Int32 = -1

    package private(set) var linkSendCredit = Credit.linkBytes
    private var linkGranted = Credit.linkBytes
    private var linkOwed = 0
    var growthPool = Credit.growthPoolBytes
    private var firstWindowsGranted = 0
    private var lateAllowance = 0

    private var pingInFlight = false
    private var pingSentAt: UInt64 = 0
    private var pingPending = false
    private var pingNumber: UInt64 = 0
    private var pongPending: UInt64?
    private var goAwayPending: (GoAwayReason, UInt32)?
    private var controlOut = ContiguousArray<[UInt8]>()
    private var controlOutPosition = 0
    private var controlIn = [UInt8]()
    private var misdeeds = MisdeedBudget()

    package static let maximumControlBytes = 1 << 20
    /// What a late frame without payload takes from the allowance.
    private static let lateFrameCost = 64

    package init(role: Role, maximumStreams: Int = 8_192) {
        precondition((1...65_536).contains(maximumStreams))
        self.role = role
        self.maximumStreams = maximumStreams
    }

    // MARK: Questions

    package func isOurs(_ id: StreamID) -> Bool { id.opener == role }

    package var canOpen: Bool {
        !hasReceivedGoAway && !hasSentGoAway && (!freeSlots.isEmpty || ourSlotsUsed < maximumStreams)
    }

    /// Bytes of DATA that the stream may send now; 0 when it has finished or is over.
    package func sendBudget(_ id: StreamID) -> Int {
        guard let index = liveIndex(id), !states[index].isFinishedHere, !states[index].pending.contains(.close) else {
            return 0
        }
        return min(states[index].sendCredit, linkSendCredit)
    }

    /// Whether the stream still exists on the link.
    package func isLive(_ id: StreamID) -> Bool { liveIndex(id) != nil }

    /// Whether `poll` would write anything.
    package var hasPending: Bool {
        queueFirst >= 0 || pongPending != nil || pingPending || !controlOut.isEmpty || linkOwed >= Credit.linkBytes / 4
            || goAwayPending != nil
    }

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
        let generation = StreamID.generation(after: states[index].generation)
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
        guard let index = liveIndex(id) else { return }
        precondition(!states[index].isAccepted, "a stream is accepted once")
        states[index].isAccepted = true
        require(.opened, at: index)
    }

    /// No more bytes from this end: FIN is due after the DATA already written.
    package func finish(_ id: StreamID) {
        guard let index = liveIndex(id), !states[index].isFinishedHere else { return }
        states[index].isFinishedHere = true
        require(.fin, at: index)
    }

    /// Ends both directions: CLOSE is due, everything else of the stream is dropped. Does nothing for a stream that is over.
    package func reset(_ id: StreamID, reason: CloseReason) {
        guard let index = liveIndex(id), !states[index].pending.contains(.close) else { return }
        // An OPEN that is due is still sent: the other end counts slots and generations without gaps.
        states[index].pending.formIntersection(.open)
        states[index].closeReason = reason
        // What is under way may still come; more than that is a flood.
        allowLate(states[index].window.grantedBytes + 64 * Self.lateFrameCost)
        require(.close, at: index)
    }

    /// The owner has let go of the stream; its slot may serve another. Exactly once for each opened stream,
    /// after `finish` and the other end's FIN, after `reset`, or after `closed`.
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
        }
    }

    /// `amount` bytes of `data` events have left (to the socket, or were dropped): credit goes back.
    package func consumed(_ id: StreamID, _ amount: Int, now: UInt64) {
        guard amount > 0 else { return }
        linkOwed += amount
        guard let index = liveIndex(id), !states[index].isFinishedThere, !states[index].pending.contains(.close) else {
            return
        }
        if states[index].window.consumed(amount) { require(.window, at: index) }
        lastNow = now
    }

    /// Asks for a sign of life; answered by a `pong` event. One at a time: false while one is under way.
    @discardableResult
    package func ping(now: UInt64) -> Bool {
        guard !pingInFlight else { return false }
        pingInFlight = true
        pingPending = true
        pingNumber &+= 1
        pingSentAt = now
        return true
    }

    /// Queues a control message of 1 byte to 1 MiB.
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

    // MARK: DATA, past the queue

    /// Writes the header of a DATA frame whose `count` payload bytes stand behind it, and takes them from the credit.
    /// `count` is at most `sendBudget` and 16,376. All pending frames have been polled before.
    package func headerForData(_ id: StreamID, count: Int, at target: UnsafeMutableRawPointer) {
        let index = id.slot * 2 + (isOurs(id) ? 0 : 1)
        precondition(states[index].isLive && states[index].generation == id.generation)
        precondition(states[index].pending.isDisjoint(with: [.open, .fin, .close]), "DATA would overtake its OPEN")
        precondition(count > 0 && count <= states[index].sendCredit && count <= linkSendCredit)
        states[index].sendCredit -= count
        states[index].sentBytes += UInt64(count)
        linkSendCredit -= count
        Frame.writeHeader(.data, stream: id, payloadBytes: count, at: target)
    }

    // MARK: Frames that are due

    /// Writes due frames, whole ones, as many as fit into `buffer` (call again with a fresh one while it answers
    /// anything but 0). The order is: PONG, PING, control messages, the link's WINDOW, then each stream's, GOAWAY.
    package func poll(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        var out = FrameWriter(buffer)
        if let number = pongPending, out.write(.pong, .link, number) { pongPending = nil }
        if pingPending, out.write(.ping, .link, pingNumber) { pingPending = false }
        while !controlOut.isEmpty, writeControlPiece(&out) {}
        if linkOwed >= Credit.linkBytes / 4, out.write(.window, .link, UInt32(linkOwed)) {
            linkGranted += linkOwed
            linkOwed = 0
        }
        while queueFirst >= 0 {
            let index = Int(queueFirst)
            guard writePending(of: index, &out) else { return out.position }
            queueFirst = states[index].nextQueued
            if queueFirst < 0 { queueLast = -1 }
            states[index].nextQueued = -1
            states[index].isQueued = false
        }
        if let (reason, retry) = goAwayPending, controlOut.isEmpty, out.writeGoAway(reason, retry) {
            goAwayPending = nil
        }
        return out.position
    }

    private func writeControlPiece(_ out: inout FrameWriter) -> Bool {
        let message = controlOut[0]
        let rest = message.count - controlOutPosition
        // A piece of a few bytes at a record's end is not worth its header: wait for the next record.
        let room = min(out.room - Frame.headerBytes, Frame.maximumPayloadBytes)
        guard room >= min(rest, 1_024) else { return false }
        let count = min(rest, room)
        message.withUnsafeBytes {
            out.writeControl(
                UnsafeRawBufferPointer(rebasing: $0[controlOutPosition..<controlOutPosition + count]),
                isLast: count == rest)
        }
        controlOutPosition += count
        if count == rest {
            controlOutPosition = 0
            controlOut.removeFirst()
        }
        return true
    }

    private func writePending(of index: Int, _ out: inout FrameWriter) -> Bool {
        let id = self.id(at: index)
        if states[index].pending.contains(.open) {
            guard out.writeOpen(id, states[index]) else { return false }
            states[index].pending.remove(.open)
        }
        if states[index].pending.contains(.opened) {
            guard out.write(.opened, id) else { return false }
            states[index].pending.remove(.opened)
        }
        if states[index].pending.contains(.window) {
            guard out.room >= Frame.headerBytes + 4 else { return false }
            let increment = states[index].window.takeIncrement(
                now: lastNow, roundTripNanoseconds: roundTripNanoseconds, pool: &growthPool)
            if increment > 0 { _ = out.write(.window, id, UInt32(increment)) }
            states[index].pending.remove(.window)
        }
        if states[index].pending.contains(.fin) {
            guard out.write(.fin, id, states[index].sentBytes) else { return false }
            states[index].pending.remove(.fin)
            states[index].isFinSent = true
            if states[index].isFinishedThere { end(index) }
        }
        if states[index].pending.contains(.close) {
            guard out.writeClose(id, states[index].closeReason, states[index].sentBytes) else { return false }
            states[index].pending.remove(.close)
            end(index)
        }
        return true
    }

    // MARK: The table

    /// The latest `now` that a caller gave; windows that are returned in `poll` are timed by it.
    private var lastNow: UInt64 = 0

    /// The place of a stream that exists on the link.
    func liveIndex(_ id: StreamID) -> Int? {
        let index = id.slot * 2 + (isOurs(id) ? 0 : 1)
        guard index < states.count, states[index].isLive, states[index].generation == id.generation else { return nil }
        return index
    }

    private func id(at index: Int) -> StreamID {
        StreamID(
            opener: index & 1 == 0 ? role : role.other, slot: index >> 1, generation: states[index].generation)
    }

    private func growTable(to index: Int) {
        while states.count <= index { states.append(StreamState()) }
    }

    private func begin(_ index: Int, generation: UInt16, sendFirst: Int, receiveFirst: Int, now: UInt64) {
        // The place in the queue of pending frames stays: it belongs to the slot.
        let (isQueued, next) = (states[index].isQueued, states[index].nextQueued)
        states[index] = StreamState()
        states[index].isQueued = isQueued
        states[index].nextQueued = next
        states[index].generation = generation
        states[index].isLive = true
        states[index].isHeld = true
        states[index].sendCredit = sendFirst
        states[index].window = ReceiveWindow(firstBytes: receiveFirst, now: now)
        firstWindowsGranted += receiveFirst
    }

    /// The stream is over on this link: both FINs, or a CLOSE.
    private func end(_ index: Int) {
        // After its FIN the other end may have returned credit before it saw ours.
        if states[index].isFinSent { allowLate(8 * Self.lateFrameCost) }
        states[index].isLive = false
        states[index].pending = []
        firstWindowsGranted -= states[index].window.firstBytes
        growthPool += states[index].window.limitBytes - states[index].window.firstBytes
        if index & 1 == 0, !states[index].isHeld { freeSlots.append(Int32(index >> 1)) }
    }

    /// Bounded, so that a link that lives for months does not save up the right to flood.
    private func allowLate(_ amount: Int) {
        lateAllowance = min(lateAllowance + amount, Credit.linkBytes)
    }

    private func require(_ frames: PendingFrames, at index: Int) {
        states[index].pending.insert(frames)
        guard !states[index].isQueued else { return }
        states[index].isQueued = true
        states[index].nextQueued = -1
        if queueLast >= 0 { states[Int(queueLast)].nextQueued = Int32(index) } else { queueFirst = Int32(index) }
        queueLast = Int32(index)
    }

    // MARK: Frames that arrive

    /// Takes one frame. The order of checks: kind and length (done by `FrameReader`), state, credit; only then
    /// anything changes.
    package func receive(_ frame: Frame, now: UInt64) throws(Violation) -> Event {
        lastNow = now
        switch frame.kind {
        case .data: return try receiveData(frame)
        case .window: return try receiveWindow(frame)
        case .open: return try receiveOpen(frame, now: now)
        case .opened: return try receiveOpened(frame)
        case .fin: return try receiveFin(frame)
        case .close: return try receiveClose(frame)
        case .ping:
            guard misdeeds.spend(now: now) else { throw .flood }
            pongPending = frame.payload.number(UInt64.self, at: 0)
            return .none
        case .pong: return try receivePong(frame, now: now)
        case .control: return try receiveControl(frame, now: now)
        case .goaway:
            guard let reason = GoAwayReason(rawValue: frame.payload[0]) else { throw .unknownReason }
            hasReceivedGoAway = true
            return .goAway(reason, retryAfterMilliseconds: frame.payload.number(UInt32.self, at: 1))
        case .hello: throw .unexpectedHello
        }
    }

    private func receiveData(_ frame: Frame) throws(Violation) -> Event {
        let count = frame.payload.count
        guard count <= linkGranted else { throw .beyondLinkCredit }
        guard let index = try expectedIndex(frame, lateCost: count) else {
            linkGranted -= count
            linkOwed += count
            return .none
        }
        guard !states[index].isFinishedThere else { throw .afterFin }
        guard states[index].window.arrived(count) else { throw .beyondStreamCredit }
        linkGranted -= count
        states[index].receivedBytes += UInt64(count)
        return .data(frame.stream, frame.payload)
    }

    private func receiveWindow(_ frame: Frame) throws(Violation) -> Event {
        let increment = Int(frame.payload.number(UInt32.self, at: 0))
        guard increment > 0 else { throw .creditOverflow }
        if frame.stream == .link {
            guard increment <= Credit.linkBytes - linkSendCredit else { throw .creditOverflow }
            let wasEmpty = linkSendCredit == 0
            linkSendCredit += increment
            return wasEmpty ? .linkWritable : .none
        }
        guard let index = try expectedIndex(frame, lateCost: Self.lateFrameCost) else { return .none }
        guard increment <= Credit.maximumWindowBytes - min(states[index].sendCredit, Credit.maximumWindowBytes) else {
            throw .creditOverflow
        }
        let wasEmpty = states[index].sendCredit == 0
        states[index].sendCredit += increment
        return wasEmpty ? .writable(frame.stream) : .none
    }

    private func receiveOpen(_ frame: Frame, now: UInt64) throws(Violation) -> Event {
        let id = frame.stream
        guard !isOurs(id) else { throw .wrongOpener }
        guard !hasReceivedGoAway else { throw .openAfterGoAway }
        // Slots are taken one after the other, so the table grows with what is used and not with a number on the wire.
        guard id.slot < maximumStreams, id.slot <= theirSlotsUsed else { throw .slotBeyondTable }
        let index = id.slot * 2 + 1
        if index < states.count {
            guard !states[index].isLive else { throw .slotInUse }
        }
        let last = index < states.count ? states[index].generation : 0
        guard id.generation == StreamID.generation(after: last) else { throw .wrongGeneration }
        let receiveFirst = Int(frame.payload.number(UInt32.self, at: 4))
        let sendFirst = Int(frame.payload.number(UInt32.self, at: 8))
        let largest = Credit.firstWindowBytes(openStreams: 0)
        guard (1...largest).contains(receiveFirst), (1...largest).contains(sendFirst) else { throw .badWindow }
        guard let family = ClientAddress.Family(rawValue: frame.payload[12]), frame.payload[13] == 0 else {
            throw .badAddress
        }
        growTable(to: index)
        theirSlotsUsed = max(theirSlotsUsed, id.slot + 1)
        begin(index, generation: id.generation, sendFirst: sendFirst, receiveFirst: receiveFirst, now: now)
        let isWithinLimits =
            theirStreams < maximumStreams && firstWindowsGranted <= Credit.linkBytes - Credit.growthPoolBytes
        guard isWithinLimits, !hasSentGoAway else {
            states[index].isHeld = false
            reset(id, reason: hasSentGoAway ? .nodeAway : .limit)
            return .none
        }
        theirStreams += 1
        states[index].mapping = frame.payload.number(UInt32.self, at: 0)
        return .opened(
            id, mapping: states[index].mapping,
            client: ClientAddress(
                family: family, port: frame.payload.number(UInt16.self, at: 14),
                high: frame.payload.number(UInt64.self, at: 16), low: frame.payload.number(UInt64.self, at: 24)))
    }

    private func receiveOpened(_ frame: Frame) throws(Violation) -> Event {
        guard isOurs(frame.stream) else { throw .wrongOpener }
        guard let index = try expectedIndex(frame, lateCost: Self.lateFrameCost) else { return .none }
        guard !states[index].isAccepted else { throw .openedTwice }
        states[index].isAccepted = true
        return .accepted(frame.stream)
    }

    private func receiveFin(_ frame: Frame) throws(Violation) -> Event {
        guard let index = try expectedIndex(frame, lateCost: Self.lateFrameCost) else { return .none }
        guard !states[index].isFinishedThere else { throw .afterFin }
        guard frame.payload.number(UInt64.self, at: 0) == states[index].receivedBytes else { throw .countsDiffer }
        states[index].isFinishedThere = true
        states[index].pending.remove(.window)
        if states[index].isFinSent { end(index) }
        return .finished(frame.stream)
    }

    private func receiveClose(_ frame: Frame) throws(Violation) -> Event {
        guard let reason = CloseReason(rawValue: frame.payload[0]) else { throw .unknownReason }
        guard let index = try expectedIndex(frame, lateCost: Self.lateFrameCost) else { return .none }
        guard frame.payload.number(UInt64.self, at: 1) == states[index].receivedBytes else { throw .countsDiffer }
        end(index)
        return .closed(frame.stream, reason)
    }

    private func receivePong(_ frame: Frame, now: UInt64) throws(Violation) -> Event {
        guard pingInFlight, !pingPending, frame.payload.number(UInt64.self, at: 0) == pingNumber else {
            throw .unexpectedPong
        }
        pingInFlight = false
        let took = now - min(pingSentAt, now)
        let isFirst = roundTripNanoseconds == Credit.assumedRoundTripNanoseconds
        roundTripNanoseconds = isFirst ? took : min(took, roundTripNanoseconds)
        return .pong(roundTripNanoseconds: took)
    }

    private func receiveControl(_ frame: Frame, now: UInt64) throws(Violation) -> Event {
        guard controlIn.count + frame.payload.count <= Self.maximumControlBytes else { throw .controlTooLarge }
        let isWhole = frame.flags & Frame.moreFlag == 0
        // Pieces are counted by size, whole messages by number.
        if isWhole || frame.payload.count < 1_000 {
            guard misdeeds.spend(now: now) else { throw .flood }
        }
        controlIn.append(contentsOf: frame.payload)
        guard isWhole else { return .none }
        let message = controlIn
        controlIn = []
        return .control(message)
    }

    /// The place of the frame's stream; nil for a stream that is over here (the frame is late: drop it).
    private func expectedIndex(_ frame: Frame, lateCost: Int) throws(Violation) -> Int? {
        let id = frame.stream
        let index = id.slot * 2 + (isOurs(id) ? 0 : 1)
        guard index < states.count, states[index].generation != 0 else { throw .neverOpened }
        let state = states[index].generation
        if state == id.generation, states[index].isLive, !states[index].pending.contains(.close) { return index }
        guard StreamID.generation(id.generation, isNoLaterThan: state), id.generation != 0 else { throw .neverOpened }
        if state == id.generation, states[index].pending.contains(.open) { throw .neverOpened }
        guard lateAllowance >= lateCost else { throw .lateFlood }
        lateAllowance -= lateCost
        if frame.kind == .close, state == id.generation, states[index].isLive { end(index) }
        return nil
    }
}
