/// What arrives.
extension Multiplexer {
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
            // An end that only sends learns of the path when the one that receives does: its own data is not under way then.
            if let lastSent, now - min(lastSent, now) < Self.askBackNanoseconds, !hasReceivedSincePing,
                !pingInFlight, askedBack.spend(now: now)
            {
                ping(now: now)
            }
            return .none
        case .pong: return try receivePong(frame, now: now)
        case .control: return try receiveControl(frame, now: now)
        case .goaway:
            guard let reason = GoAwayReason(rawValue: frame.payload[0]) else { throw .unknownReason }
            // `goAway` sends one; more of them are free to send and each would cost the owner a line in its log.
            if hasReceivedGoAway {
                guard misdeeds.spend(now: now) else { throw .flood }
                return .none
            }
            hasReceivedGoAway = true
            return .goAway(reason, retryAfterMilliseconds: frame.payload.number(UInt32.self, at: 1))
        case .hello: throw .unexpectedHello
        case .tally: return try receiveTally(frame)
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
        (isQuiet, hasReceivedSincePing) = (false, true)
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
        guard
            increment <= Credit.maximumWindowBytes - min(states[index].sendCredit, Credit.maximumWindowBytes)
        else {
            throw .creditOverflow
        }
        let wasEmpty = states[index].sendCredit == 0
        states[index].sendCredit += increment
        return wasEmpty && !states[index].isFinishedHere ? .writable(frame.stream) : .none
    }

    private func receiveOpen(_ frame: Frame, now: UInt64) throws(Violation) -> Event {
        let id = frame.stream
        guard !isOurs(id) else { throw .wrongOpener }
        guard !hasReceivedGoAway else { throw .openAfterGoAway }
        // Slots are taken one after the other, so the table grows with what is used and not with a number on the wire.
        guard id.slot < max(maximumStreams, Self.mostSlots), id.slot <= theirSlotsUsed else {
            throw .slotBeyondTable
        }
        let index = id.slot * 2 + 1
        unpark(index)
        if index < states.count {
            guard !states[index].isLive else { throw .slotInUse }
        }
        let last = index < states.count ? states[index].generation : 0
        guard id.generation == generation(after: last) else { throw .wrongGeneration }
        let receiveFirst = Int(frame.payload.number(UInt32.self, at: 4))
        let sendFirst = Int(frame.payload.number(UInt32.self, at: 8))
        let largest = Credit.firstWindowBytes(openStreams: 0)
        guard (1...largest).contains(receiveFirst), (1...largest).contains(sendFirst) else {
            throw .badWindow
        }
        guard let family = ClientAddress.Family(rawValue: frame.payload[12]), frame.payload[13] == 0 else {
            throw .badAddress
        }
        // An id that has come round while its last stream is held waits for the next round.
        let isWithinLimits =
            theirStreams < maximumStreams && hasRoom(forFirstWindow: receiveFirst)
            && !heldPast.contains(id)
        growTable(to: index)
        theirSlotsUsed = max(theirSlotsUsed, id.slot + 1)
        begin(index, generation: id.generation, sendFirst: sendFirst, receiveFirst: receiveFirst, now: now)
        guard isWithinLimits, !hasSentGoAway else {
            states[index].isHeld = false
            let reason: CloseReason = hasSentGoAway ? .nodeAway : .limit
            reset(id, reason: reason)
            return .refused(mapping: frame.payload.number(UInt32.self, at: 0), reason)
        }
        theirStreams += 1
        states[index].mapping = frame.payload.number(UInt32.self, at: 0)
        return .opened(
            id, mapping: states[index].mapping,
            client: ClientAddress(
                family: family, port: frame.payload.number(UInt16.self, at: 14),
                high: frame.payload.number(UInt64.self, at: 16),
                low: frame.payload.number(UInt64.self, at: 24)))
    }

    private func receiveOpened(_ frame: Frame) throws(Violation) -> Event {
        guard isOurs(frame.stream) else { throw .wrongOpener }
        guard let index = try expectedIndex(frame, lateCost: Self.lateFrameCost) else { return .none }
        guard !states[index].isAccepted else { throw .openedTwice }
        states[index].isAccepted = true
        return states[index].isHeld ? .accepted(frame.stream) : .none
    }

    private func receiveFin(_ frame: Frame) throws(Violation) -> Event {
        guard let index = try expectedIndex(frame, lateCost: Self.lateFrameCost) else { return .none }
        guard !states[index].isFinishedThere else { throw .afterFin }
        guard frame.payload.number(UInt64.self, at: 0) == states[index].receivedBytes else {
            throw .countsDiffer
        }
        states[index].isFinishedThere = true
        states[index].pending.remove(.window)
        stopReceiving(index)
        if states[index].isFinSent { end(index) }
        return .finished(frame.stream)
    }

    private func receiveClose(_ frame: Frame) throws(Violation) -> Event {
        guard let reason = CloseReason(rawValue: frame.payload[0]) else { throw .unknownReason }
        guard let index = try expectedIndex(frame, lateCost: Self.lateFrameCost) else { return .none }
        guard frame.payload.number(UInt64.self, at: 1) == states[index].receivedBytes else {
            throw .countsDiffer
        }
        let isHeld = states[index].isHeld
        end(index)
        return isHeld ? .closed(frame.stream, reason) : .none
    }

    private func receivePong(_ frame: Frame, now: UInt64) throws(Violation) -> Event {
        guard pingInFlight, !pingPending, frame.payload.number(UInt64.self, at: 0) == pingNumber else {
            throw .unexpectedPong
        }
        pingInFlight = false
        let took = now - min(pingSentAt, now)
        let wasProbing = roundTrip.isProbing
        if roundTrip.answered(
            took, now: now, isQuiet: isQuiet, wasQuiet: wasQuiet, isReceiving: hasReceivedSincePing)
        {
            ping(now: now)
        } else if wasProbing {
            returnWithheld()
        }
        return .pong(roundTripNanoseconds: took)
    }

    private func receiveControl(_ frame: Frame, now: UInt64) throws(Violation) -> Event {
        guard controlIn.count + frame.payload.count <= Self.maximumControlBytes else {
            throw .controlTooLarge
        }
        let isWhole = frame.flags & Frame.moreFlag == 0
        // Pieces are counted by size, whole messages by number.
        if isWhole || frame.payload.count < Self.smallestPieceBytes {
            guard misdeeds.spend(now: now) else { throw .flood }
        }
        controlIn.append(contentsOf: frame.payload)
        guard isWhole else { return .none }
        let message = controlIn
        controlIn = []
        return .control(message)
    }

    /// Its stream is mostly over here too. One for each stream that there was, so it costs nothing of the allowance for late frames.
    private func receiveTally(_ frame: Frame) throws(Violation) -> Event {
        let id = frame.stream
        let index = id.slot * 2 + (isOurs(id) ? 0 : 1)
        unpark(index)
        guard index < states.count, wasOpened(id.generation, last: states[index].generation),
            !states[index].pending.contains(.open) || id.generation != states[index].generation
                || hasComeRound
        else { throw .neverOpened }
        guard talliesExpected > 0 else { throw .tallyTwice }
        talliesExpected -= 1
        return .tally(
            id, fromSocket: frame.payload.number(UInt64.self, at: 0),
            toSocket: frame.payload.number(UInt64.self, at: 8))
    }

    /// The place of the frame's stream; nil for a stream that is over here (the frame is late: drop it).
    private func expectedIndex(_ frame: Frame, lateCost: Int) throws(Violation) -> Int? {
        let id = frame.stream
        let index = id.slot * 2 + (isOurs(id) ? 0 : 1)
        if index >= states.count { unpark(index) }
        guard index < states.count, states[index].generation != 0 else { throw .neverOpened }
        let last = states[index].generation
        let isLast = last == id.generation && states[index].isLive
        // One whose OPEN is still due: the frame is of a stream a whole circle of generations ago, or of none.
        let isUnsaid = isLast && states[index].pending.contains(.open)
        if isLast, !isUnsaid, !states[index].pending.contains(.close) { return index }
        guard wasOpened(id.generation, last: last), !isUnsaid || hasComeRound else { throw .neverOpened }
        guard lateAllowance >= lateCost else { throw .lateFlood }
        lateAllowance -= lateCost
        if isLast, !isUnsaid { endFromThere(index, frame.kind) }
        return nil
    }

    /// A frame met a stream whose CLOSE is due here. If the stream is over for the other end with this frame, its slot
    /// may be opened anew by the very next one, so it must be over here too; nobody waits for the CLOSE.
    private func endFromThere(_ index: Int, _ kind: FrameKind) {
        if kind == .close || (kind == .fin && states[index].isFinSent) { end(index) }
    }
}
