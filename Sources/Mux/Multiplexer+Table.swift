/// The slots, and the queue of those that owe a frame.
extension Multiplexer {
    /// The place of a stream that exists on the link.
    func liveIndex(_ id: StreamID) -> Int? {
        let index = id.slot * 2 + (isOurs(id) ? 0 : 1)
        guard index < states.count, states[index].isLive, states[index].generation == id.generation else {
            return nil
        }
        return index
    }

    /// The place of a stream that can still do something: it exists, and was not reset here.
    func usableIndex(_ id: StreamID) -> Int? {
        guard let index = liveIndex(id), !states[index].pending.contains(.close) else { return nil }
        return index
    }

    func id(at index: Int) -> StreamID {
        StreamID(
            opener: index & 1 == 0 ? role : role.other, slot: index >> 1, generation: states[index].generation
        )
    }

    /// The generation after this one; 0 is left out, so that no stream has the link's id.
    func generation(after generation: UInt16) -> UInt16 {
        generation == generations ? 1 : generation + 1
    }

    /// Whether a slot that is at `last` has had this generation. When one has come round, an earlier one may have a higher number, and
    /// however many lie between: who writes to somebody slow may be counted after half a circle.
    func wasOpened(_ generation: UInt16, last: UInt16) -> Bool {
        generation != 0 && generation <= (hasComeRound && last != 0 ? generations : last)
    }

    func growTable(to index: Int) {
        while states.count <= index {
            states.append(StreamState())
            if let generation = parked.popLast() { states[states.count - 1].generation = generation }
        }
    }

    /// Brings back a slot that `shrink` has put away: something names it.
    func unpark(_ index: Int) {
        if index >= states.count, index - states.count < parked.count { growTable(to: index) }
    }

    /// For when a crowd has gone: the slots at the table's end that serve no stream keep two bytes each, their generation. New
    /// streams take the lowest slots from now on, so that the table stays short.
    package func shrink() {
        var count = states.count
        while let last = states[..<count].last, !last.isLive, !last.isQueued, !last.isHeld || count & 1 == 0 {
            // A slot of theirs that is not live is nobody's: their ends are told by id.
            if last.isHeld { heldPast.insert(id(at: count - 1)) }
            parked.append(last.generation)
            count -= 1
        }
        guard count < states.count else { return }
        states = ContiguousArray(states[..<count])
        freeSlots.sort(by: >)
    }

    /// Slots with all that belongs to a stream.
    package var tableSlots: Int { states.count }

    func begin(_ index: Int, generation: UInt16, sendFirst: Int, receiveFirst: Int, now: UInt64) {
        // The place in the queue of pending frames stays: it belongs to the slot.
        let (isQueued, next) = (states[index].isQueued, states[index].nextQueued)
        // Of theirs: over on the link, and its owner still writes what came.
        if states[index].isHeld { heldPast.insert(id(at: index)) }
        if generation < states[index].generation { hasComeRound = true }
        states[index] = StreamState()
        states[index].isQueued = isQueued
        states[index].nextQueued = next
        states[index].generation = generation
        states[index].isLive = true
        states[index].isHeld = true
        states[index].isReceiving = true
        states[index].sendCredit = sendFirst
        states[index].window = ReceiveWindow(firstBytes: receiveFirst, now: now)
        firstWindowsGranted += receiveFirst
        talliesExpected += 1
    }

    /// The stream is over on this link: both FINs, or a CLOSE.
    func end(_ index: Int) {
        // After its FIN the other end may have accepted, returned credit or reset before it saw ours.
        if states[index].isFinSent { allowLate(16 * Self.lateFrameCost) }
        stopReceiving(index)
        states[index].isLive = false
        states[index].pending = []
        if index & 1 == 0, !states[index].isHeld { freeSlots.append(Int32(index >> 1)) }
    }

    /// The stream's window serves others from now on; what came and has not left is counted apart until it does.
    func stopReceiving(_ index: Int) {
        guard states[index].isReceiving else { return }
        states[index].isReceiving = false
        firstWindowsGranted -= states[index].window.firstBytes
        states[index].window.giveBackAll(&growthPool)
        orphanedBytes += states[index].window.bufferedBytes
    }

    /// Whether a stream with this first window leaves enough of the link's credit to all others, should all stall.
    func hasRoom(forFirstWindow bytes: Int) -> Bool {
        let first = firstWindowsGranted + bytes
        return first <= Credit.linkBytes - Credit.growthPoolBytes
            && first + growthPool.lentBytes + orphanedBytes <= Credit.linkBytes
    }

    /// Bounded, so that a link that lives for months does not save up the right to flood: by all DATA that can be
    /// under way, and as much again for frames without payload.
    func allowLate(_ amount: Int) {
        lateAllowance = min(lateAllowance + amount, 2 * Credit.linkBytes)
    }

    /// Credit is due: now, or when the path has been measured.
    func returnCredit(at index: Int) {
        guard roundTrip.isProbing else { return require(.window, at: index) }
        guard !states[index].isWithheld else { return }
        states[index].isWithheld = true
        withheld.append(Int32(index))
    }

    func returnWithheld() {
        for place in withheld {
            let index = Int(place)
            guard index < states.count, states[index].isWithheld else { continue }
            states[index].isWithheld = false
            if states[index].isReceiving, states[index].window.isDue { require(.window, at: index) }
        }
        withheld.removeAll(keepingCapacity: true)
    }

    func require(_ frames: PendingFrames, at index: Int) {
        states[index].pending.insert(frames)
        guard !states[index].isQueued else { return }
        states[index].isQueued = true
        states[index].nextQueued = -1
        if queueLast >= 0 {
            states[Int(queueLast)].nextQueued = Int32(index)
        } else {
            queueFirst = Int32(index)
        }
        queueLast = Int32(index)
    }
}
