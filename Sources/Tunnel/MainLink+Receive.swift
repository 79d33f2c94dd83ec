import Glibc
import Logging
import Mux
import Reactor
import TLS

// What arrives on a link, up to the sub-connections.
extension MainLink {
    func receive(most: Int) {
        guard transport.isReadable, output.count < Self.outputLimit || isBroken else { return }
        let scratch = loop.scratch
        scratch.vectors[0] = iovec(iov_base: scratch.input.baseAddress, iov_len: most)
        switch transport.read(into: UnsafeMutableBufferPointer(rebasing: scratch.vectors[..<1])) {
        case .bytes(let count):
            lastHeard = loop.now
            moved(count)
            guard !isClosing else {
                drainedAfterClose += count
                return
            }
            records.feed(UnsafeRawBufferPointer(rebasing: scratch.input[..<count]))
            takeRecords()
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
    /// socket gets them in one system call.
    func takeRecords() {
        let plain = loop.scratch.plain
        var offset = 0
        var run = Run(vectors: loop.scratch.run)
        while !isOver {
            if offset + Frame.maximumBytes > plain.count {
                run.deliver()
                offset = 0
            }
            switch records.read(
                into: UnsafeMutableRawBufferPointer(rebasing: plain[offset..<offset + Frame.maximumBytes]))
            {
            case .bytes(let count):
                do throws(Violation) {
                    try takeFrames(UnsafeRawBufferPointer(rebasing: plain[offset..<offset + count]), &run)
                } catch {
                    return violated(error)
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

    private func takeFrames(_ record: UnsafeRawBufferPointer, _ run: inout Run) throws(Violation) {
        var reader = FrameReader(record)
        while let frame = try reader.next() {
            let event = try multiplexer.receive(frame, now: loop.now)
            if case .data(let id, let bytes) = event {
                hasReceivedData = true
                if run.sub?.stream != id || run.isFull {
                    run.deliver()
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
        // PONG, or credit to return.
        if multiplexer.hasPending { schedule() }
    }

    private func handle(_ event: Event) throws(Violation) {
        switch event {
        case .none, .data: break
        case .opened(let id, let mapping, let client): try opened(id, mapping, client)
        case .accepted: break
        case .writable(let id): find(id)?.readIfPossible()
        case .linkWritable: for sub in subConnections { sub?.readIfPossible() }
        case .finished(let id): find(id)?.linkEnded()
        case .closed(let id, let reason):
            find(id)?.aborted(peer.hasAuthority ? reason.asSaidByNode : reason)
        case .refused(let mapping, let reason): peer.recorder?.refused(reason, mapping: mapping, of: peer)
        case .control(let message): try peer.received(message, on: self)
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
        let refusal: CloseReason? = target == nil || isClosing ? .mappingRemoved : nil
        var record: (any SubConnectionRecord)?
        if refusal == nil { record = peer.recorder?.opening(mapping: mapping, client: client, of: peer) }
        let new = SubConnection(dialing: id, mapping: mapping, client: client, record: record, link: self)
        insert(new)
        guard let target, refusal == nil, record != nil || peer.recorder == nil else {
            let reason = refusal ?? .notRecorded
            peer.recorder?.refused(reason, mapping: mapping, of: peer)
            return new.abort(reason)
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
            .limit, .linkLost, .nodeStop, .nodeAway:
            self
        case .clientEOF, .targetEOF, .revoked, .mappingRemoved, .serverStop, .killed, .notRecorded: .nodeStop
        }
    }
}
