/// What leaves: frames that are due, and the headers of DATA, which go past the queue.
extension Multiplexer {
    /// Writes the header of a DATA frame whose `count` payload bytes stand behind it, and takes them from the credit.
    /// `count` is at most `sendBudget` and 16,376. All pending frames have been polled before.
    package func headerForData(_ id: StreamID, count: Int, at target: UnsafeMutableRawPointer) {
        let index = id.slot * 2 + (isOurs(id) ? 0 : 1)
        precondition(states[index].isLive && states[index].generation == id.generation)
        precondition(
            states[index].pending.isDisjoint(with: [.open, .close]), "DATA would overtake its OPEN")
        precondition(!states[index].isFinishedHere, "DATA after finish")
        precondition(count > 0 && count <= states[index].sendCredit && count <= linkSendCredit)
        states[index].sendCredit -= count
        states[index].sentBytes += UInt64(count)
        isQuiet = false
        lastSent = lastNow
        linkSendCredit -= count
        Frame.writeHeader(.data, stream: id, payloadBytes: count, at: target)
    }

    /// Writes due frames, whole ones, as many as fit into `buffer` (call again with a fresh one while it answers
    /// anything but 0). 64 bytes take any frame but a control message's, which waits for a buffer that takes all of it
    /// or 1,032 bytes: the other end counts pieces that are small for no reason as a flood. The order is: PONG, PING, control messages, the link's WINDOW, then each stream's,
    /// tallies, GOAWAY.
    package func poll(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        var out = FrameWriter(buffer)
        if let number = pongPending, out.write(.pong, .link, number) { pongPending = nil }
        if pingPending, out.write(.ping, .link, pingNumber) { pingPending = false }
        while !controlOut.isEmpty, writeControlPiece(&out) {}
        if owesLinkCredit, out.write(.window, .link, UInt32(linkOwed)) {
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
        while talliesSent < tallied.count, out.writeTally(tallied[talliesSent]) { talliesSent += 1 }
        if talliesSent == tallied.count, talliesSent > 0 {
            tallied.removeAll(keepingCapacity: true)
            talliesSent = 0
        }
        if let (reason, retry) = goAwayPending, controlOut.isEmpty, out.writeGoAway(reason, retry) {
            goAwayPending = nil
        }
        return out.position
    }

    private func writeControlPiece(_ out: inout FrameWriter) -> Bool {
        let message = controlOut[0]
        let rest = message.count - controlOutPosition
        // A piece of a few bytes at a record's end is not worth its header, and counts as a message at the other end
        // (`smallestPieceBytes`): wait for the next record.
        let room = min(out.room - Frame.headerBytes, Frame.maximumPayloadBytes)
        guard room >= min(rest, Self.smallestPieceBytes) else { return false }
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
                now: lastNow, roundTripNanoseconds: max(roundTripNanoseconds, leastRoundTripNanoseconds),
                pool: &growthPool, reserved: orphanedBytes)
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
}
