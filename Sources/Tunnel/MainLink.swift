import Buffers
import Glibc
import Logging
import Mux
import Reactor
import TLS

/// Why a link ended, in one word for logs and records and a sentence for people.
package struct LinkEnd: Equatable, Sendable {
    package enum Word: String, Sendable {
        case closed
        case lost
        case timeout
        case violation
        case replaced
        case revoked
        case stopping
    }

    package let word: Word
    package let detail: String
}

/// One authenticated connection between a node and the server, with the streams on it. It dies and is replaced; the `Peer`
/// it belongs to lives on.
///
///     in:   socket ─► loop's scratch ─► records ─► frames ─► sub-connections write, straight from the scratch
///     out:  sub-connections read into records ─► sealed ─► output queue ─► socket, at the turn's end
package final class MainLink: TransportHandler, TurnWork {
    let loop: EventLoop
    let settings: TunnelSettings
    let multiplexer: Multiplexer
    unowned let peer: Peer
    package let remoteAddress: SocketAddress?
    private let transport: any StreamTransport
    private let records: any RecordLayer

    /// By slot and opener, as the multiplexer numbers them.
    private var subConnections = ContiguousArray<SubConnection?>()
    /// Over on the link, still writing to a slow socket, their slot in use again.
    private var lingering: [ObjectIdentifier: SubConnection] = [:]
    private var sparse = ReadyList()
    private var bulk = ReadyList()
    private var isScheduled = false
    /// Nothing is opened, read or sent any more but the last words.
    private var isClosing = false
    package private(set) var isOver = false
    private var lastHeard: UInt64
    private var keepalive: LoopTimer?
    private var closeTimer: LoopTimer?
    private var drainedAfterClose = 0
    private var closeEnd = LinkEnd(word: .closed, detail: "")

    /// Bytes that a sub-connection may read at a time: eight full records.
    private static let quantum = 8 * Frame.maximumPayloadBytes
    /// A first visit takes one record: what fits in it is a keystroke, a request, an answer.
    private static let sparseQuantum = Frame.maximumPayloadBytes
    /// Above this the other end is not heard until it takes what it has been sent.
    private static let outputLimit = 4 << 20

    init(
        transport: any StreamTransport, records: any RecordLayer, role: Role, peer: Peer, settings: TunnelSettings
    ) {
        self.transport = transport
        self.records = records
        self.peer = peer
        self.settings = settings
        loop = peer.loop
        multiplexer = Multiplexer(role: role, maximumStreams: settings.maximumStreams)
        remoteAddress = transport.peerAddress
        lastHeard = loop.now
    }

    /// Begins: reads what the handshake left, measures the round trip, watches for silence.
    func start() {
        transport.handler = self
        transport.tuneForLink()
        multiplexer.ping(now: loop.now)
        watch(after: settings.pingAfter)
        takeRecords()
        schedule()
    }

    package var openStreams: Int { multiplexer.ourStreams + multiplexer.theirStreams }

    var canOpen: Bool { !isOver && !isClosing && multiplexer.canOpen }

    // MARK: Opening and ending sub-connections

    /// Joins an accepted client to a new stream. False when the link takes no more.
    func open(_ client: any StreamTransport, from address: SocketAddress, mapping: UInt32) -> Bool {
        guard canOpen, let id = multiplexer.open(mapping: mapping, client: ClientAddress(address), now: loop.now) else {
            return false
        }
        let new = SubConnection(
            accepted: client, stream: id, mapping: mapping, client: ClientAddress(address), link: self)
        insert(new)
        if settings.isVerbose {
            Log.info(
                "sub-connection-opened", ("mapping", mapping), ("node", peer.name), ("client", address))
        }
        new.readIfPossible()
        schedule()
        return true
    }

    /// Ends the sub-connections of a mapping; returns how many there were.
    @discardableResult
    func endSubConnections(of mapping: UInt32, reason: CloseReason) -> Int {
        var count = 0
        for sub in subConnections where sub?.mapping == mapping {
            count += 1
            sub?.abort(reason)
        }
        return count
    }

    func consumed(_ stream: StreamID, _ count: Int) {
        multiplexer.consumed(stream, count, now: loop.now)
        schedule()
    }

    func ended(_ sub: SubConnection) {
        let place = place(of: sub.stream)
        if subConnections[place] === sub {
            subConnections[place] = nil
        } else {
            lingering[ObjectIdentifier(sub)] = nil
        }
        multiplexer.release(sub.stream)
        if !isOver { schedule() }
    }

    private func place(of id: StreamID) -> Int {
        id.slot * 2 + (multiplexer.isOurs(id) ? 0 : 1)
    }

    private func insert(_ sub: SubConnection) {
        let place = place(of: sub.stream)
        while subConnections.count <= place { subConnections.append(nil) }
        if let earlier = subConnections[place] { lingering[ObjectIdentifier(earlier)] = earlier }
        subConnections[place] = sub
    }

    private func find(_ id: StreamID) -> SubConnection? {
        let place = place(of: id)
        guard place < subConnections.count, let sub = subConnections[place], sub.stream == id else { return nil }
        return sub
    }

    // MARK: Turns

    package func transportReady(_ transport: any StreamTransport, failed: Bool) {
        if failed, let error = transport.takeError() { return end(LinkEnd(word: .lost, detail: "\(error)")) }
        schedule()
    }

    func schedule() {
        guard !isScheduled, !isOver else { return }
        isScheduled = true
        loop.atTurnEnd(self)
    }

    /// A sub-connection has something to read.
    func enqueue(_ sub: SubConnection) {
        guard !sub.isInReadyList else { return }
        sub.isInReadyList = true
        if sub.isBulk { bulk.append(sub) } else { sparse.append(sub) }
        schedule()
    }

    package func turnEnds() {
        isScheduled = false
        guard !isOver else { return }
        receive()
        guard !isOver else { return }
        if hasSaidGoodbye {
            flush()
            return finishClosing()
        }
        var stage = RecordStage(scratch: loop.scratch, records: records, multiplexer: multiplexer)
        stage.takeDueFrames()
        if !isClosing { readReady(&stage) }
        stage.takeDueFrames()
        stage.seal()
        if let failure = stage.failure { return end(LinkEnd(word: .lost, detail: failure)) }
        flush()
        guard !isOver else { return }
        if isClosing { return finishClosing() }
        if multiplexer.hasSentGoAway, openStreams == 0 { return closeOrderly() }
        let canRead = transport.isReadable && records.output.count < Self.outputLimit
        if canRead || (transport.isWritable && !(sparse.isEmpty && bulk.isEmpty)) { schedule() }
    }

    /// Those with little to say first, each for one record; then one turn of each of the others, until the link's queue
    /// is full.
    private func readReady(_ stage: inout RecordStage) {
        var bulkTurns = bulk.count
        while records.output.count < settings.linkQueueBytes, stage.failure == nil {
            if let sub = sparse.popFirst() {
                sub.isInReadyList = false
                guard sub.read(into: &stage, limit: Self.sparseQuantum) else { continue }
                sub.isBulk = true
                enqueueBulk(sub)
                bulkTurns += 1
            } else if bulkTurns > 0, let sub = bulk.popFirst() {
                bulkTurns -= 1
                sub.isInReadyList = false
                if sub.read(into: &stage, limit: Self.quantum) { enqueueBulk(sub) } else { sub.isBulk = false }
            } else {
                return
            }
        }
    }

    private func enqueueBulk(_ sub: SubConnection) {
        guard !sub.isInReadyList, !sub.isOver, multiplexer.sendBudget(sub.stream) > 0 else { return }
        sub.isInReadyList = true
        bulk.append(sub)
    }

    private func flush() {
        let output = records.output
        while !output.isEmpty, transport.isWritable {
            let used = output.describe(in: loop.scratch.vectors)
            switch transport.write(UnsafeMutableBufferPointer(rebasing: loop.scratch.vectors[..<used])) {
            case .bytes(let count): output.discard(count)
            case .wouldBlock, .end: return
            case .failed(let error): return end(LinkEnd(word: .lost, detail: "\(error)"))
            }
        }
    }

    // MARK: What arrives

    private func receive() {
        guard transport.isReadable, records.output.count < Self.outputLimit else { return }
        let scratch = loop.scratch
        scratch.vectors[0] = iovec(iov_base: scratch.input.baseAddress, iov_len: scratch.input.count)
        switch transport.read(into: UnsafeMutableBufferPointer(rebasing: scratch.vectors[..<1])) {
        case .bytes(let count):
            lastHeard = loop.now
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
            end(LinkEnd(word: truncated == nil ? .closed : .lost, detail: truncated?.description ?? "closed by the other end"))
        case .failed(let error): end(isClosing ? closeEnd : LinkEnd(word: .lost, detail: "\(error)"))
        }
    }

    /// Opens records into the plain scratch, one behind the other, and gathers runs of DATA of one stream, so that a
    /// socket gets them in one system call.
    private func takeRecords() {
        let plain = loop.scratch.plain
        var offset = 0
        var run = Run(vectors: loop.scratch.run)
        while !isOver {
            if offset + Frame.maximumBytes > plain.count {
                run.deliver()
                offset = 0
            }
            switch records.read(into: UnsafeMutableRawBufferPointer(rebasing: plain[offset..<offset + Frame.maximumBytes])) {
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
                return end(isClosing ? closeEnd : LinkEnd(word: .closed, detail: "closed by the other end"))
            case .failed(let failure):
                run.deliver()
                return end(LinkEnd(word: .lost, detail: failure.description))
            }
        }
    }

    private func takeFrames(_ record: UnsafeRawBufferPointer, _ run: inout Run) throws(Violation) {
        var reader = FrameReader(record)
        while let frame = try reader.next() {
            let event = try multiplexer.receive(frame, now: loop.now)
            if case .data(let id, let bytes) = event {
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
        case .closed(let id, let reason): find(id)?.aborted(reason)
        case .control(let message): try peer.received(message, on: self)
        case .pong: break
        case .goAway(let reason, let milliseconds): peer.goingAway(self, reason, retryAfterMilliseconds: milliseconds)
        }
    }

    private func opened(_ id: StreamID, _ mapping: UInt32, _ client: ClientAddress) throws(Violation) {
        let target = try peer.target(of: mapping)
        let new = SubConnection(dialing: id, mapping: mapping, client: client, link: self)
        insert(new)
        guard let target, !isClosing else { return new.abort(.mappingRemoved) }
        if settings.isVerbose {
            Log.info(
                "sub-connection-opened", ("mapping", mapping), ("node", peer.name), ("client", client.text),
                ("target", target))
        }
        new.startDial(to: target, allow: peer.allow, timeout: settings.connectTimeout)
    }

    // MARK: Signs of life

    /// Looks again after `nanoseconds`. The other end is asked after 15 s of silence and given up after 45.
    private func watch(after nanoseconds: UInt64) {
        let due = loop.now + nanoseconds
        keepalive = loop.schedule(after: nanoseconds) { [weak self] in self?.look(due: due) }
    }

    private func look(due: UInt64) {
        records.tick(nowNanoseconds: loop.now)
        for sub in subConnections { sub?.sweep(now: loop.now, halfClosedIdle: settings.halfClosedIdle) }
        // This program itself was stopped (a suspended machine, a debugger): the silence is ours. Ask, and give 3 s.
        if loop.now - due > 3_000_000_000 {
            lastHeard = max(lastHeard, loop.now - settings.deadAfter + 3_000_000_000)
        }
        let silence = loop.now - min(lastHeard, loop.now)
        if silence >= settings.deadAfter {
            return end(LinkEnd(word: .timeout, detail: "nothing heard for \(silence / 1_000_000_000) s"))
        }
        if silence >= settings.pingAfter {
            multiplexer.ping(now: loop.now)
            schedule()
            watch(after: min(settings.deadAfter - silence, settings.pingAfter))
        } else {
            watch(after: settings.pingAfter - silence)
        }
    }

    // MARK: Control and the end

    func send(_ message: ControlMessage) {
        guard !isOver, !isClosing else { return }
        multiplexer.send(control: message.encoded)
        schedule()
    }

    /// Opens no more and asks the other end not to; closes when the last sub-connection has ended.
    func drain(_ reason: GoAwayReason, retryAfterMilliseconds: UInt32) {
        closeEnd = LinkEnd(word: .stopping, detail: "this end stops")
        multiplexer.goAway(reason, retryAfterMilliseconds: retryAfterMilliseconds)
        schedule()
    }

    /// Says why, ends every sub-connection, and closes so that the last words arrive.
    func close(_ reason: GoAwayReason, retryAfterMilliseconds: UInt32, sub closeReason: CloseReason, as end: LinkEnd) {
        guard !isOver, !isClosing else { return }
        closeEnd = end
        multiplexer.goAway(reason, retryAfterMilliseconds: retryAfterMilliseconds)
        for sub in subConnections { sub?.abort(closeReason) }
        closeOrderly()
    }

    private func violated(_ violation: Violation) {
        peer.violated(self, violation)
        guard !isOver else { return }
        close(
            .violation, retryAfterMilliseconds: 60_000, sub: .linkLost,
            as: LinkEnd(word: .violation, detail: violation.description))
    }

    private func closeOrderly() {
        isClosing = true
        // Long enough for the last words to arrive; a peer that does not close by then is left.
        closeTimer = loop.schedule(after: 2_000_000_000) { [weak self] in
            guard let self else { return }
            end(closeEnd)
        }
        schedule()
    }

    /// `close(2)` with unread bytes sends RST, which can destroy our last words on their way: the sending half is shut,
    /// and the rest is read to the end, 64 KiB or 2 s.
    private func finishClosing() {
        guard !isOver else { return }
        if !multiplexer.hasPending, !hasSaidGoodbye {
            hasSaidGoodbye = true
            records.sendCloseNotify()
            flush()
        }
        guard !isOver else { return }
        if hasSaidGoodbye, records.output.isEmpty, !hasShutDown {
            hasShutDown = true
            transport.shutdownWrite()
        }
        if drainedAfterClose > 64 << 10 { return end(closeEnd) }
        if transport.isReadable { schedule() }
    }

    private var hasSaidGoodbye = false
    private var hasShutDown = false

    /// At once: the socket is closed and every sub-connection sees a reset.
    func end(_ reason: LinkEnd) {
        guard !isOver else { return }
        isOver = true
        loop.cancel(keepalive)
        loop.cancel(closeTimer)
        transport.close()
        let open = openStreams
        let subReason: CloseReason = reason.word == .stopping ? peer.stopReason : .linkLost
        for sub in subConnections { sub?.aborted(subReason) }
        for sub in lingering.values { sub.aborted(subReason) }
        sparse.removeAll()
        bulk.removeAll()
        records.output.removeAll()
        peer.ended(self, reason, openStreams: open)
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
        vectors[used] = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
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

/// A list through the sub-connections themselves: joining and leaving it allocates nothing.
private struct ReadyList {
    private var first: SubConnection?
    private var last: SubConnection?
    private(set) var count = 0

    var isEmpty: Bool { first == nil }

    mutating func append(_ sub: SubConnection) {
        if let last { last.nextReady = sub } else { first = sub }
        last = sub
        count += 1
    }

    mutating func popFirst() -> SubConnection? {
        guard let sub = first else { return nil }
        first = sub.nextReady
        if first == nil { last = nil }
        sub.nextReady = nil
        count -= 1
        return sub
    }

    mutating func removeAll() {
        while popFirst() != nil {}
    }
}
