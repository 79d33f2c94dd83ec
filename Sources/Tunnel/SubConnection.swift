import Buffers
import Glibc
import Logging
import Mux
import Reactor

/// One stream of a main link joined to one socket: the client's at the end that listens, the target's at the end that dials.
/// The code is the same for both.
///
/// It owns no buffer but for bytes that its socket did not take, and those are bounded by the stream's window.
package final class SubConnection: TransportHandler {
    let stream: StreamID
    package let mapping: UInt32
    /// Next in the link's list of sub-connections to read.
    var nextReady: SubConnection?
    var isInReadyList = false
    /// It used up its whole turn the last time: it waits behind those that have little to say.
    var isBulk = false
    /// Bytes of its turns that it has not read yet; below zero when a first visit took some in advance.
    var allowance = 0
    /// The link's queue was full in the middle of its turn.
    var isCut = false
    private var speaker = Talk.Speaker()

    /// It holds this one until `ended`, so neither outlives the end of the other's work. Strong: an unowned one is counted at each use.
    private let link: MainLink
    package let client: ClientAddress
    private let isOpener: Bool
    private let openedAt: UInt64
    private var transport: (any StreamTransport)?
    private var dial: Dialer?
    private(set) var ownEnd: ClientAddress?
    private var waiting: ByteQueue?
    private var fromSocket: UInt64 = 0
    private var toSocket: UInt64 = 0
    private var lastMoved: UInt64
    /// The server's; bytes pass once it is durable.
    private let record: (any SubConnectionRecord)?
    private let totals: UnsafeMutablePointer<UInt64>?
    private var isHeld: Bool
    private var isKeptAlive = false
    private var isTunedForBulk = false
    private static let shortLife: UInt64 = 10_000_000_000
    private static let bulkBytes: UInt64 = 256 << 10
    /// When so much has been written it is next looked at how much of it has been taken.
    private var nextLook: UInt64 = 288 << 10
    private static let lookStep: UInt64 = 32 << 10
    /// What the other end counted.
    private var tally: ByteCounts?
    private(set) var isOver = false
    /// The socket's end of stream has been read.
    private var hasReadEnd = false
    /// FIN has come: nothing follows what waits.
    private var hasLinkEnd = false
    private var hasShutDown = false
    /// Its socket has failed: nothing can be written any more, and what was said before that is read to the failure.
    private var isBroken = false
    /// The other end's socket has failed behind what waits here.
    private var parting: Parting?
    /// Which end of the stream came first.
    private var endReason: CloseReason?

    /// The listening side's: a client has connected.
    init(
        accepted transport: any StreamTransport, stream: StreamID, mapping: UInt32, client: ClientAddress,
        record: (any SubConnectionRecord)?, link: MainLink
    ) {
        self.stream = stream
        self.mapping = mapping
        self.client = client
        self.link = link
        self.transport = transport
        isOpener = true
        openedAt = link.loop.now
        lastMoved = openedAt
        self.record = record
        totals = record?.totals
        isHeld = record?.isDurable == false
        transport.handler = self
        record?.connection = self
    }

    /// The dialling side's: the other end has opened a stream.
    init(
        dialing stream: StreamID, mapping: UInt32, client: ClientAddress, record: (any SubConnectionRecord)?,
        link: MainLink
    ) {
        self.stream = stream
        self.mapping = mapping
        self.client = client
        self.link = link
        isOpener = false
        openedAt = link.loop.now
        lastMoved = openedAt
        self.record = record
        totals = record?.totals
        isHeld = record?.isDurable == false
        record?.connection = self
    }

    /// Its record is durable: bytes may pass.
    package func recorded() {
        guard isHeld, !isOver else { return }
        isHeld = false
        writeWaiting()
        readIfPossible()
    }

    func tallied(_ counts: ByteCounts) { tally = counts }

    /// Most targets are addresses of this machine: connected, or refused, when the call returns.
    func startDial(to target: Endpoint, allow: AllowList?, timeout: UInt64) {
        guard let address = target.numeric, allow?.permits(address) != false else {
            return dialer(target, allow, timeout).start()
        }
        switch link.loop.network.connect(to: address) {
        case .success(let transport) where !transport.isWritable:
            dialer(target, allow, timeout).start(with: transport, to: address)
        case .success(let transport) where transport.isConnectedToItself(at: address):
            transport.reset()
            dialer(target, allow, timeout).start()
        // No local port is free (`Dialer` waits for one).
        case .failure(let error) where error.number == 99: dialer(target, allow, timeout).start()
        case let known: dialed(known.mapError { DialFailure($0, of: address) }, target)
        }
    }

    private func dialer(_ target: Endpoint, _ allow: AllowList?, _ timeout: UInt64) -> Dialer {
        let dialer = Dialer(target, allow: allow, timeout: timeout, loop: link.loop) { [weak self] result in
            self?.dialed(result, target)
        }
        dial = dialer
        return dialer
    }

    private func dialed(_ result: Result<any StreamTransport, DialFailure>, _ target: Endpoint) {
        dial = nil
        switch result {
        case .failure(let failure):
            Log.limited(
                .warn, "sub-connection-failed", key: "\(mapping) \(failure.reason)", ("mapping", mapping),
                ("target", target), ("reason", failure.reason), ("error", failure.description))
            abort(failure.reason)
        case .success(let transport):
            self.transport = transport
            transport.handler = self
            ownEnd = link.peer.noteDial(of: self, transport)
            // Leaves with the next frame: nobody waits for it.
            link.multiplexer.accept(stream)
            transportReady(transport, failed: false)
        }
    }

    // MARK: From the socket to the link

    /// Reads once into the link's records, `limit` bytes at most. True if there may be more.
    func read(into stage: inout RecordStage, limit: Int) -> Bool {
        guard let transport, !hasReadEnd, !isOver, !isHeld, transport.isReadable else { return false }
        let budget = min(limit, link.multiplexer.sendBudget(stream))
        guard budget > 0 else { return false }
        let vectors = link.loop.scratch.vectors
        let used = stage.describeRoom(budget, in: vectors)
        switch transport.read(into: UnsafeMutableBufferPointer(rebasing: vectors[..<used])) {
        case .bytes(let count):
            link.share.outgoing.spend(TurnCost.call + TurnCost.bytes(count))
            stage.commit(count, of: stream)
            allowance -= count
            if speaker.said(count, now: link.loop.now) { link.talk.heard(now: link.loop.now) }
            fromSocket += UInt64(count)
            lastMoved = link.loop.now
            noteTotals()
            return transport.isReadable
        case .wouldBlock: return transport.isReadable
        case .end:
            hasReadEnd = true
            if endReason == nil { endReason = isOpener ? .clientEOF : .targetEOF }
            link.multiplexer.finish(stream)
            finishIfDone()
            // It had said all, and does not hear any more: its end leaves first, and the reset behind it.
            if isBroken, !isOver { link.loop.schedule(after: 1) { [weak self] in self?.abortAsReset() } }
        case .failed: abortAsReset()
        }
        return false
    }

    // MARK: From the link to the socket

    /// Writes bytes that have just arrived; keeps a copy of what the socket does not take.
    func deliver(_ vectors: UnsafeMutableBufferPointer<iovec>, count: Int) {
        guard !isOver, !isBroken else { return link.consumed(stream, count) }
        var written = 0
        if waiting == nil, !isHeld, let transport, transport.isWritable {
            switch transport.write(vectors) {
            case .bytes(let amount): written = amount
            case .wouldBlock, .end: break
            case .failed:
                link.consumed(stream, count)
                return broke()
            }
        }
        moved(written)
        if written < count { keep(vectors, after: written) }
    }

    /// The other end sends no more on this stream.
    func linkEnded() {
        hasLinkEnd = true
        if endReason == nil { endReason = isOpener ? .targetEOF : .clientEOF }
        shutDownIfDrained()
    }

    private func keep(_ vectors: UnsafeMutableBufferPointer<iovec>, after written: Int) {
        let queue = waiting ?? ByteQueue(pool: link.loop.chunks)
        waiting = queue
        var skip = written
        for vector in vectors {
            if skip >= vector.iov_len {
                skip -= vector.iov_len
                continue
            }
            queue.append(UnsafeRawBufferPointer(start: vector.iov_base + skip, count: vector.iov_len - skip))
            skip = 0
        }
    }

    private func writeWaiting() {
        while let queue = waiting, !isHeld, let transport, transport.isWritable {
            let vectors = link.loop.scratch.vectors
            let used = queue.describe(in: vectors)
            switch transport.write(UnsafeMutableBufferPointer(rebasing: vectors[..<used])) {
            case .bytes(let count):
                queue.discard(count)
                moved(count)
                if queue.isEmpty { waiting = nil }
            case .wouldBlock, .end: return
            case .failed: return broke()
            }
        }
        if parting != nil { partIfTaken() } else { shutDownIfDrained() }
    }

    private func moved(_ count: Int) {
        guard count > 0 else { return }
        toSocket += UInt64(count)
        lastMoved = link.loop.now
        noteTotals()
        if toSocket > Self.bulkBytes, !isTunedForBulk {
            isTunedForBulk = true
            transport?.tuneForBulk()
            // 500 clients that stop reading had 1.7 GB in the kernel, which then starves every connection of the machine, links too.
            transport?.limitUnsent(256 << 10)
        }
        if toSocket >= nextLook { lookAtDelivery() }
        link.consumed(stream, count)
    }

    /// A window grows by what has reached somebody, and not by what the system has taken in for a program that does not read.
    private func lookAtDelivery() {
        let kept = UInt64(clamping: transport?.undeliveredBytes ?? 0)
        link.multiplexer.delivered(stream, Int(clamping: toSocket - min(kept, toSocket)))
        nextLook = toSocket + max(Self.lookStep, toSocket / 4)
    }

    /// Before the next system call: what has passed is known even if this is the last that the program does.
    @inline(__always)
    private func noteTotals() {
        guard let totals else { return }
        totals[isOpener ? 0 : 1] = fromSocket
        totals[isOpener ? 1 : 0] = toSocket
        totals[2] = lastMoved
    }

    private var counts: ByteCounts {
        isOpener
            ? ByteCounts(up: fromSocket, down: toSocket) : ByteCounts(up: toSocket, down: fromSocket)
    }

    private func shutDownIfDrained() {
        guard hasLinkEnd, !hasShutDown, !isHeld, waiting == nil, let transport, !isOver else { return }
        hasShutDown = true
        // With both directions at their end the close says it.
        if !hasReadEnd { transport.shutdownWrite() }
        finishIfDone()
    }

    // MARK: Readiness and ends

    package func transportReady(_ transport: any StreamTransport, failed: Bool) {
        guard !isOver else { return }
        if failed { return broke() }
        if transport.isWritable, waiting != nil || hasLinkEnd { writeWaiting() }
        readIfPossible()
    }

    /// Asks the link for a turn of reading, if the socket has something.
    func readIfPossible() {
        guard !isOver, !hasReadEnd, !isHeld, parting == nil, let transport, transport.isReadable else {
            return
        }
        link.enqueue(self)
    }

    /// Ends both directions from this side; the other end is told why.
    package func abort(_ reason: CloseReason) {
        guard !isOver else { return }
        link.multiplexer.reset(stream, reason: link.understood(reason))
        link.schedule()
        end(reason, orderly: false)
    }

    /// The other end aborted, or the link is gone: nothing is sent, the socket sees a reset. A socket's failure at the other end comes
    /// behind what was said there: that is written first.
    func aborted(_ reason: CloseReason) {
        guard !isOver, reason.isSaidBySocket, waiting != nil || (transport != nil && !isHeld), !isBroken
        else {
            return end(reason, orderly: false)
        }
        parting = Parting(reason, now: link.loop.now)
        partIfTaken()
    }

    func idle(now: UInt64) -> UInt64 { now - min(lastMoved, now) }

    /// Ended in one direction, or in both with bytes that nobody takes, and silent for longer than is allowed.
    func sweep(now: UInt64, halfClosedIdle: UInt64) {
        if !isOpener, !isKeptAlive, now - min(openedAt, now) > Self.shortLife {
            isKeptAlive = true
            let seconds = link.settings.keepAliveSeconds
            if seconds > 0 { transport?.keepAlive(every: seconds) }
        }
        // Whoever it said its last words to does not read them.
        if isBroken, idle(now: now) > Parting.patience { return abortAsReset() }
        guard hasReadEnd || hasLinkEnd, idle(now: now) > halfClosedIdle else { return }
        abort(.idle)
    }

    private func abortAsReset() { abort(isOpener ? .clientReset : .targetReset) }

    /// Nothing can be written any more.
    private func broke() {
        if let parting { return end(parting.reason, orderly: false) }
        if hasReadEnd { return abortAsReset() }
        isBroken = true
        dropWaiting()
        readIfPossible()
    }

    private func dropWaiting() {
        if let unsent = waiting?.count, unsent > 0 { link.consumed(stream, unsent) }
        waiting = nil
    }

    /// All that the other end's socket said has been written: the reset follows when it cannot overtake it.
    private func partIfTaken() {
        guard let reason = parting?.reason, !isOver, !isHeld, let transport else { return }
        if waiting == nil, hasLinkEnd, !hasShutDown {
            hasShutDown = true
            transport.shutdownWrite()
        }
        let left = (waiting?.count ?? 0) + transport.unacknowledgedBytes
        guard left > 0, let wait = parting?.next(left: left, now: link.loop.now) else {
            return end(reason, orderly: false)
        }
        guard parting?.timer == nil else { return }
        parting?.timer = link.loop.schedule(after: wait) { [weak self] in
            self?.parting?.timer = nil
            self?.partIfTaken()
        }
    }

    private func finishIfDone() {
        guard hasReadEnd, hasShutDown else { return }
        end(endReason ?? .clientEOF, orderly: true)
    }

    private func end(_ reason: CloseReason, orderly: Bool) {
        guard !isOver else { return }
        isOver = true
        link.loop.cancel(parting?.timer)
        dial?.cancel()
        dial = nil
        if orderly { transport?.close() } else { transport?.reset() }
        transport = nil
        dropWaiting()
        if link.settings.isVerbose { log(reason) }
        if let record {
            record.connection = nil
            record.ended(reason, counts: counts)
            link.settle(record, of: stream, tally)
        }
        link.ended(self, fromSocket: fromSocket, toSocket: toSocket)
    }

    private func log(_ reason: CloseReason) {
        Log.info(
            "sub-connection-closed", ("mapping", mapping), ("node", link.peer.name), ("client", client.text),
            ("target", link.peer.targetText(of: mapping)), ("reason", reason), ("up", counts.up),
            ("down", counts.down), ("duration-ms", (link.loop.now - openedAt) / 1_000_000))
    }
}
