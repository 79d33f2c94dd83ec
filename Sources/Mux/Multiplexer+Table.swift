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

    func id(at index: Int) -> StreamID {
        StreamID(
            opener: index & 1 == 0 ? role : role.other, slot: index >> 1, generation: states[index].generation
        )
    }

    func growTable(to index: Int) {
        while states.count <= index { states.append(StreamState()) }
    }

    func begin(_ index: Int, generation: UInt16, sendFirst: Int, receiveFirst: Int, now: UInt64) {
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
    func end(_ index: Int) {
        // After its FIN the other end may have returned credit before it saw ours.
        if states[index].isFinSent { allowLate(8 * Self.lateFrameCost) }
        states[index].isLive = false
        states[index].pending = []
        firstWindowsGranted -= states[index].window.firstBytes
        growthPool += states[index].window.limitBytes - states[index].window.firstBytes
        if index & 1 == 0, !states[index].isHeld { freeSlots.append(Int32(index >> 1)) }
    }

    /// Bounded, so that a link that lives for months does not save up the right to flood.
    func allowLate(_ amount: Int) {
        lateAllowance = min(lateAllowance + amount, Credit.linkBytes)
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
