import Glibc
import Mux
import Reactor

// What leaves on a link: who reads, in which order, and how much of it waits.
extension MainLink {
    /// Bytes that a sub-connection may read in its turn: eight full records.
    private static let quantum = 8 * Frame.maximumPayloadBytes
    /// A first visit takes one record: what fits in it is a keystroke, a request, an answer.
    private static let sparseQuantum = Frame.maximumPayloadBytes
    /// In the kernel, on a fast link.
    private static let mostUnsent = 128 << 10

    /// What those with little to say have said while the last turn went on leaves before this one begins.
    func sendFirst() {
        var stage = RecordStage(scratch: loop.scratch, records: records, multiplexer: multiplexer)
        // An OPEN of theirs may be among them.
        stage.takeDueFrames()
        readSparse(&stage, queueBytes: queueBytes(most: Self.shortTurn))
        stage.seal()
        if let failure = stage.failure { return end(LinkEnd(word: .lost, detail: failure)) }
        flush()
    }

    /// Those with little to say first, each for one record; then one turn of each of the others, until the link's queue
    /// is full. By bytes, not by turns: what the queue's end cut off a turn, or an empty socket, is still owed.
    func readReady(_ stage: inout RecordStage, most: Int) {
        let queueBytes = queueBytes(most: most)
        readSparse(&stage, queueBytes: queueBytes)
        var bulkTurns = bulk.count
        while bulkTurns > 0, output.count < queueBytes, stage.failure == nil, !share.outgoing.isSpent,
            let sub = bulk.popFirst()
        {
            sub.isInReadyList = false
            readTurn(of: sub, &stage, room: max(queueBytes - output.count, Self.sparseQuantum))
            if !sub.isCut { bulkTurns -= 1 }
        }
    }

    /// What may wait for the link before more is read.
    private func queueBytes(most: Int) -> Int {
        drainRate.queueBytes(most: min(most, settings.linkQueueBytes))
    }

    /// Who fills a whole record has a turn with the others instead.
    private func readSparse(_ stage: inout RecordStage, queueBytes: Int) {
        while output.count < queueBytes, stage.failure == nil, !share.outgoing.isSpent,
            let sub = sparse.popFirst()
        {
            sub.isInReadyList = false
            let hasMore = sub.read(into: &stage, limit: Self.sparseQuantum)
            sub.allowance = max(sub.allowance, -Self.sparseQuantum)
            guard hasMore else { continue }
            sub.isBulk = true
            enqueueBulk(sub)
        }
    }

    private func readTurn(of sub: SubConnection, _ stage: inout RecordStage, room: Int) {
        // What an empty socket left is not saved up beyond one turn.
        if !sub.isCut { sub.allowance = min(sub.allowance, Self.quantum) + Self.quantum }
        sub.isCut = false
        let limit = min(sub.allowance, room)
        guard sub.read(into: &stage, limit: limit) else { return sub.isBulk = false }
        // Less than a record is not worth a read of its own: it is owed.
        sub.isCut = limit == room && sub.allowance >= Self.sparseQuantum
        enqueueBulk(sub)
    }

    private func enqueueBulk(_ sub: SubConnection) {
        guard !sub.isInReadyList, !sub.isOver, multiplexer.sendBudget(sub.stream) > 0 else {
            return sub.isCut = false
        }
        sub.isInReadyList = true
        if sub.isCut { bulk.prepend(sub) } else { bulk.append(sub) }
    }

    func flush() {
        var written = 0
        if let error = send(&written) {
            guard transport.isReadable else { return end(LinkEnd(word: .lost, detail: "\(error)")) }
            isBroken = true
            return schedule()
        }
        moved(written)
        drainRate.note(written, isFull: !transport.isWritable, now: loop.now)
        limitUnsent()
    }

    /// What is said before an end; whether it arrives changes nothing.
    func sendLast() {
        var written = 0
        _ = send(&written)
    }

    private func send(_ written: inout Int) -> SystemError? {
        while !output.isEmpty, transport.isWritable, !isBroken {
            let used = output.describe(in: loop.scratch.vectors)
            switch transport.write(UnsafeMutableBufferPointer(rebasing: loop.scratch.vectors[..<used])) {
            case .bytes(let count):
                output.discard(count)
                written += count
            case .wouldBlock, .end: return nil
            case .failed(let error): return error
            }
        }
        return nil
    }

    /// The kernel's share of what waits, by powers of two: it is told seldom.
    private func limitUnsent() {
        let wanted = drainRate.queueBytes(most: Self.mostUnsent)
        guard wanted < unsentLimit || wanted >= 2 * unsentLimit else { return }
        var limit = Self.mostUnsent
        while limit > wanted { limit /= 2 }
        guard limit != unsentLimit else { return }
        unsentLimit = limit
        transport.limitUnsent(limit)
    }
}
