import Glibc
import Logging
import Mux
import Reactor
import TLS

// What arrives on a link, up to the sub-connections.
extension MainLink {
    func receive(most: Int) {
        guard output.count < Self.outputLimit || isBroken, isClosing || !share.incoming.isSpent else {
            return
        }
        if isHeldBack, !isClosing {
            takeRecords()
            guard !isHeldBack, !isOver, !share.incoming.isSpent else { return }
        }
        guard transport.isReadable else { return }
        let scratch = loop.scratch
        scratch.vectors[0] = iovec(iov_base: scratch.input.baseAddress, iov_len: min(most, readBytes))
        switch transport.read(into: UnsafeMutableBufferPointer(rebasing: scratch.vectors[..<1])) {
        case .bytes(let count):
            lastHeard = loop.now
            lastByte = lastHeard
            moved(count)
            share.incoming.spend(TurnCost.call + TurnCost.bytes(count))
            guard !isClosing else {
                drainedAfterClose += count
                return
            }
            records.feed(UnsafeRawBufferPointer(rebasing: scratch.input[..<count]))
            takeRecords()
            // What is held back is copied: who needs that gets less at a time.
            readBytes =
                isHeldBack ? max(readBytes / 2, Self.leastReadBytes) : min(readBytes * 2, Scratch.bytes)
        case .wouldBlock: return
        case .end:
            if isClosing { return end(closeEnd) }
            let truncated = records.endOfInput()
            end(truncated.map { LinkEnd(word: .lost, detail: $0.description) } ?? closedByOther)
        case .failed(let error): end(isClosing ? closeEnd : LinkEnd(word: .lost, detail: "\(error)"))
        }
    }

    /// A close after GOAWAY has the reason that GOAWAY gave.
    private var closedByOther: LinkEnd {
        let word: LinkEnd.Word =
            switch goAwayReceived {
            case nil: .closed
            case .stopping: .stopping
            case .replaced: .replaced
            case .revoked: .revoked
            case .violation: .violation
            }
        return LinkEnd(word: word, detail: "closed by the other end")
    }

    /// Opens records into the plain scratch, one behind the other, and gathers runs of DATA of one stream, so that a
    /// socket gets them in one system call. Stops when the node has had its share of the turn, and goes on there.
    func takeRecords() {
        isHeldBack = false
        let plain = loop.scratch.plain
        var offset = 0
        var run = Run(vectors: loop.scratch.run)
        while !isOver {
            if offset + Frame.maximumBytes > plain.count {
                run.deliver()
                offset = 0
            }
            let room = UnsafeMutableRawBufferPointer(rebasing: plain[offset..<offset + Frame.maximumBytes])
            switch heldFrames.isEmpty ? records.read(into: room) : takeHeldFrames(into: room) {
            case .bytes(let count):
                do throws(Violation) {
                    try takeFrames(UnsafeRawBufferPointer(rebasing: room[..<count]), &run)
                } catch {
                    return violated(error)
                }
                if share.incoming.isSpent, !isOver, records.keepInput() || !heldFrames.isEmpty {
                    run.deliver()
                    return isHeldBack = true
                }
                offset += (count + 15) & ~15
            case .wantsInput:
                run.deliver()
                return
            case .closed:
                run.deliver()
                return end(isClosing ? closeEnd : closedByOther)
            case .failed(let failure):
                run.deliver()
                // The alert that tells the other end.
                sendLast()
                return end(LinkEnd(word: .lost, detail: failure.description))
            }
        }
    }

    private func takeHeldFrames(into room: UnsafeMutableRawBufferPointer) -> TLSEngine.ReadResult {
        room.copyBytes(from: heldFrames)
        defer { heldFrames = [] }
        return .bytes(heldFrames.count)
    }

    private func takeFrames(_ record: UnsafeRawBufferPointer, _ run: inout Run) throws(Violation) {
        var reader = FrameReader(record)
        while !share.incoming.isSpent, let frame = try reader.next() {
            share.incoming.spend(TurnCost.frame)
            let event = try multiplexer.receive(frame, now: loop.now)
            if case .data(let id, let bytes) = event {
                hasReceivedData = true
                if run.sub?.stream != id || run.isFull {
                    run.deliver()
                    share.incoming.spend(TurnCost.call)
                    guard let sub = find(id) else {
                        consumed(id, bytes.count)
                        continue
                    }
                    run.sub = sub
                }
                run.append(bytes)
                continue
            }
            if case .none = event { continue }
            run.deliver()
            try handle(event)
            if isOver { return }
        }
        if !reader.rest.isEmpty { heldFrames = [UInt8](reader.rest) }
        // PONG, or credit to return.
        if multiplexer.hasPending { schedule() }
    }

    private func handle(_ event: Event) throws(Violation) {
        switch event {
        case .none, .data: break
        case .opened(let id, let mapping, let client):
            share.incoming.spend(TurnCost.stream)
            try opened(id, mapping, client)
        case .accepted: break
        case .writable(let id): find(id)?.readIfPossible()
        case .linkWritable: for sub in subConnections { sub?.readIfPossible() }
        case .finished(let id): find(id)?.linkEnded()
        case .closed(let id, let reason):
            find(id)?.aborted(peer.hasAuthority ? reason.asSaidByNode : reason)
        case .refused(let mapping, let reason):
            share.incoming.spend(TurnCost.refusal)
            peer.recorder?.refused(reason == .limit ? .limit : .nodeAway, 1, mapping: mapping, of: peer)
        case .control(let message):
            share.incoming.spend(TurnCost.control(message.count))
            try peer.received(message, on: self)
        case .tally(let id, let fromSocket, let toSocket): tallied(id, fromSocket, toSocket)
        case .pong:
            answered()
            let microseconds = multiplexer.roundTripNanoseconds / 1_000
            transport.tuneForDistance(roundTripMicroseconds: UInt32(clamping: microseconds))
        case .goAway(let reason, let milliseconds):
            goAwayReceived = reason
            peer.goingAway(self, reason, retryAfterMilliseconds: milliseconds)
        }
    }

    private func opened(_ id: StreamID, _ mapping: UInt32, _ client: ClientAddress) throws(Violation) {
        let target = try peer.target(of: mapping)
        var refusal: RefusalCause? = target == nil || isClosing ? .mappingRemoved : nil
        if refusal == nil, peer.isLoop(client, mapping) { refusal = .loop }
        if refusal == nil {
            refusal = peer.objection(
                to: client, mapping: mapping, isOurs: false, streams: multiplexer.theirStreams - 1)
        }
        var record: (any SubConnectionRecord)?
        if refusal == nil { record = peer.recorder?.opening(mapping: mapping, client: client, of: peer) }
        let new = SubConnection(dialing: id, mapping: mapping, client: client, record: record, link: self)
        insert(new)
        guard let target, refusal == nil, record != nil || peer.recorder == nil else {
            let cause = refusal ?? .notRecorded
            peer.refuse(cause, mapping: mapping, client: client.text)
            return new.abort(cause.closeReason)
        }
        if settings.isVerbose {
            Log.info(
                "sub-connection-opened", ("mapping", mapping), ("node", peer.name), ("client", client.text),
                ("target", target))
        }
        new.startDial(to: target, allow: peer.allow, timeout: settings.dialTimeout)
    }
}

/// DATA frames of one stream that came one behind the other.
private struct Run {
    let vectors: UnsafeMutableBufferPointer<iovec>
    var sub: SubConnection?
    private var used = 0
    private var count = 0

    init(vectors: UnsafeMutableBufferPointer<iovec>) {
        self.vectors = vectors
    }

    var isFull: Bool { used == vectors.count }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        vectors[used] = iovec(
            iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
        used += 1
        count += bytes.count
    }

    mutating func deliver() {
        guard let sub, used > 0 else { return }
        let (amount, filled) = (count, used)
        self.sub = nil
        (used, count) = (0, 0)
        sub.deliver(UnsafeMutableBufferPointer(rebasing: vectors[..<filled]), count: amount)
    }
}

extension CloseReason {
    /// Reasons become part of the server's records. A node says what its sockets did and what it did itself; what only the server
    /// and its operators do is not its to say.
    var asSaidByNode: CloseReason {
        switch self {
        case .clientReset, .targetReset, .targetRefused, .targetTimeout, .targetUnreachable, .notAllowed,
            .idle,
            .limit, .linkLost, .nodeStop, .nodeAway, .loop:
            self
        case .clientEOF, .targetEOF, .revoked, .mappingRemoved, .serverStop, .killed, .notRecorded: .nodeStop
        }
    }
}
