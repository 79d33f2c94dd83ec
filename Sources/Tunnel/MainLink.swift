import Buffers
import Glibc
import Logging
import Mux
import Reactor
import TLS

/// One authenticated connection between a node and the server, with the streams on it. It dies and is replaced; the `Peer`
/// it belongs to lives on.
///
///     in:   socket ─► loop's scratch ─► records ─► frames ─► sub-connections write, straight from the scratch
///     out:  sub-connections read into records ─► sealed ─► output queue ─► socket, at the turn's end
package final class MainLink: TransportHandler, TurnWork {
    let loop: EventLoop
    let settings: TunnelSettings
    package let multiplexer: Multiplexer
    unowned let peer: Peer
    /// The peer's.
    let share: NodeShare
    package let remoteAddress: SocketAddress?
    /// What the other end knows.
    let features: UInt32
    let transport: any StreamTransport
    let records: any RecordLayer
    /// The records' own.
    let output: ByteQueue

    /// By slot and opener, as the multiplexer numbers them.
    var subConnections = ContiguousArray<SubConnection?>()
    /// Over on the link, still writing to a slow socket, their slot in use again. The multiplexer gives no id to two.
    var lingering: [UInt32: SubConnection] = [:]
    private var lingerTimer: LoopTimer?
    /// At the end that keeps records.
    private var awaited = AwaitedTallies()
    private var awaitedTimer: LoopTimer?
    private var crowd = Crowd()
    var talk = Talk()
    /// Somebody has talked lately; looked at once in a turn.
    private var isTalking = false
    /// In this turn, in both directions of the link.
    private var movedBytes = 0
    /// When a turn last moved much.
    private var lastBulk: UInt64?
    var sparse = ReadyList()
    var bulk = ReadyList()
    private var isScheduled = false
    /// What `openStreams` was when the peer was last told that it had changed.
    private var toldStreams = 0
    var drainRate = DrainRate()
    /// What the kernel has been told to hold at most, unsent.
    var unsentLimit = 0
    /// DATA has come since the round trip was last looked at.
    var hasReceivedData = false
    private var lastMeasured: UInt64 = 0
    private static let measureInterval: UInt64 = 1_000_000_000
    /// Nothing is opened, read or sent any more but the last words.
    var isClosing = false
    package internal(set) var isOver = false
    /// The socket has failed: what the other end said before that is still taken, and then the link is lost.
    var isBroken = false
    /// From when on silence counts: the last byte, or when this program was back.
    var lastHeard: UInt64
    var lastByte: UInt64
    var keepalive: LoopTimer?
    /// A question of `look` has not been answered yet.
    var isAsking = false
    /// What is left of `pathPatience`.
    var patience: UInt64 = 0
    var closeTimer: LoopTimer?
    var drainedAfterClose = 0
    /// The node has had its share of the turn: what came has not all been taken, and nothing more is read.
    var isHeldBack = false
    private var shareTimer: LoopTimer?
    /// Behind what was taken of a record.
    var heldFrames: [UInt8] = []
    /// At a time: a link that is held back gets less.
    var readBytes = Scratch.bytes
    static let leastReadBytes = 16 << 10
    var goAwayReceived: GoAwayReason?
    var closeEnd = LinkEnd(word: .closed, detail: "")
    var hasSaidGoodbye = false
    var hasShutDown = false

    /// While somebody talks: what is sealed at a time. What comes must be quicker to go than to come, or an answer waits behind all of a
    /// window: twice as much is taken from the link.
    static let shortTurn = 48 << 10
    /// A turn that moves more than this is a transfer's, or many's. An answer of two full records and what goes with it is not.
    private static let bulkTurn = 40 << 10
    /// After such a turn the next one is expected: a turn takes 0.1 ms, and a program may have to wait for the processor for a
    /// time slice or two.
    private static let bulkLinger: UInt64 = 5_000_000
    /// Windows are sized by no shorter round trip while nobody talks. Below it they wait for the programs' turns and not for
    /// the path: with 256 KiB a transfer had no credit in a fifth of them.
    private static let leastRoundTrip: UInt64 = 1_000_000
    /// For the last words to arrive; a revoked link is gone within this time whatever the other end does.
    static let closeTimeout: UInt64 = 1_000_000_000
    /// Above this the other end is not heard until it takes what it has been sent.
    static let outputLimit = 4 << 20

    init(
        transport: any StreamTransport, records: any RecordLayer, role: Role, features: UInt32, peer: Peer,
        settings: TunnelSettings
    ) {
        self.features = features
        self.transport = transport
        self.records = records
        output = records.output
        self.peer = peer
        share = peer.share
        self.settings = settings
        loop = peer.loop
        multiplexer = Multiplexer(role: role, maximumStreams: settings.maximumStreams)
        remoteAddress = transport.peerAddress
        lastHeard = loop.now
        lastByte = lastHeard
        transport.tuneForLink(giveUpAfter: settings.deadAfter)
    }

    deinit {
        loop.cancel(keepalive)
        loop.cancel(awaitedTimer)
        loop.cancel(closeTimer)
        loop.cancel(lingerTimer)
        loop.cancel(shareTimer)
    }

    /// Begins: reads what the handshake left, measures the round trip, watches for silence.
    func start() {
        transport.handler = self
        multiplexer.ping(now: loop.now)
        watch()
        takeRecords()
        schedule()
    }

    package var openStreams: Int { multiplexer.ourStreams + multiplexer.theirStreams }

    package var canOpen: Bool { !isOver && !isClosing && multiplexer.canOpen }

    // MARK: Opening and ending sub-connections

    /// Joins an accepted client to a new stream. Nil, or why it cannot.
    func open(_ client: any StreamTransport, from address: SocketAddress, mapping: UInt32) -> RefusalCause? {
        guard canOpen else { return .limit }
        let place = ClientAddress(address)
        if let cause = peer.objection(
            to: place, mapping: mapping, isOurs: true, streams: multiplexer.ourStreams)
        {
            return cause
        }
        var record: (any SubConnectionRecord)?
        if let recorder = peer.recorder {
            record = recorder.opening(mapping: mapping, client: place, of: peer)
            if record == nil { return .notRecorded }
        }
        guard let id = multiplexer.open(mapping: mapping, client: place, now: loop.now) else {
            preconditionFailure("the multiplexer could open")
        }
        let new = SubConnection(
            accepted: client, stream: id, mapping: mapping, client: place, record: record, link: self)
        insert(new)
        if settings.isVerbose {
            Log.info(
                "sub-connection-opened", ("mapping", mapping), ("node", peer.name), ("client", address),
                ("target", peer.targetText(of: mapping)))
        }
        new.readIfPossible()
        schedule()
        return nil
    }

    /// Ends the sub-connections of a mapping; returns how many there were.
    @discardableResult
    func endSubConnections(of mapping: UInt32, reason: CloseReason) -> Int {
        var count = 0
        for sub in Array(subConnections) + Array(lingering.values) {
            guard let sub, sub.mapping == mapping else { continue }
            count += 1
            sub.abort(reason)
        }
        return count
    }

    func consumed(_ stream: StreamID, _ count: Int) {
        multiplexer.consumed(stream, count, now: loop.now)
        schedule()
    }

    func ended(_ sub: SubConnection, fromSocket: UInt64, toSocket: UInt64) {
        let place = place(of: sub.stream)
        if place < subConnections.count, subConnections[place] === sub {
            subConnections[place] = nil
        } else {
            lingering[sub.stream.rawValue] = nil
        }
        peer.shares.giveBack(shareholder(sub), mapping: sub.mapping)
        if let place = sub.ownEnd { peer.forgetDial(from: place) }
        // The end with the authority keeps the records; it has two counts of each.
        if !peer.hasAuthority, !isOver {
            multiplexer.tally(sub.stream, fromSocket: fromSocket, toSocket: toSocket)
        }
        multiplexer.release(sub.stream)
        if crowd.hasLeft(remaining: openStreams) {
            loop.giveBackMemory(after: Crowd.restNanoseconds) { [weak self] in self?.shrink() }
        }
        if !isOver { schedule() } else if lingering.isEmpty { peer.finished(self) }
    }

    /// A crowd has gone: what is kept by slot goes too.
    private func shrink() {
        multiplexer.shrink()
        let used = (subConnections.lastIndex { $0 != nil } ?? -1) + 1
        subConnections = ContiguousArray(subConnections[..<used])
    }

    /// Its sub-connection is over; `tally` is what the other end has said of it.
    func settle(_ record: any SubConnectionRecord, of stream: StreamID, _ tally: ByteCounts?) {
        guard tally == nil, !isOver, !isClosing else { return record.settled(other: tally) }
        awaited.await(record, stream, now: loop.now)
        if awaitedTimer == nil { watchAwaited() }
    }

    /// What a node counted: its socket is the target's for a stream that was opened here, the client's for one of its own.
    func tallied(_ id: StreamID, _ fromSocket: UInt64, _ toSocket: UInt64) {
        let counts =
            multiplexer.isOurs(id)
            ? ByteCounts(up: toSocket, down: fromSocket) : ByteCounts(up: fromSocket, down: toSocket)
        if let sub = find(id) ?? lingering[id.rawValue] {
            sub.tallied(counts)
        } else {
            awaited.take(id)?.settled(other: counts)
            // It may have been what a link that is to close waited for.
            schedule()
        }
    }

    private func watchAwaited() {
        guard let deadline = awaited.nextDeadline else { return awaitedTimer = nil }
        awaitedTimer = loop.schedule(after: deadline - min(loop.now, deadline)) { [unowned self] in
            awaited.expire(now: loop.now)
            watchAwaited()
            schedule()
        }
    }

    func giveUpAwaited() {
        loop.cancel(awaitedTimer)
        awaited.giveUpAll()
    }

    func place(of id: StreamID) -> Int {
        id.slot * 2 + (multiplexer.isOurs(id) ? 0 : 1)
    }

    /// As the other end knows it.
    func understood(_ reason: CloseReason) -> CloseReason {
        reason == .loop && features & Hello.namesLoops == 0 ? .limit : reason
    }

    private func shareholder(_ sub: SubConnection) -> Shares.Client {
        Shares.Client(sub.client, isOurs: multiplexer.isOurs(sub.stream))
    }

    func insert(_ sub: SubConnection) {
        peer.shares.take(shareholder(sub), mapping: sub.mapping)
        let place = place(of: sub.stream)
        while subConnections.count <= place { subConnections.append(nil) }
        if let earlier = subConnections[place] { linger(earlier) }
        subConnections[place] = sub
    }

    func linger(_ sub: SubConnection) {
        lingering[sub.stream.rawValue] = sub
    }

    /// On a link that is over: no question is asked over it any more, whose time could be used.
    func watchLingering() {
        lingerTimer = loop.schedule(after: settings.lingerIdle / 2) { [unowned self] in
            // The last one that goes takes the link with it.
            let link = self
            for sub in Array(link.lingering.values) where sub.idle(now: loop.now) >= settings.lingerIdle {
                sub.aborted(.idle)
            }
            if !link.lingering.isEmpty { link.watchLingering() }
        }
    }

    func find(_ id: StreamID) -> SubConnection? {
        let place = place(of: id)
        guard place < subConnections.count, let sub = subConnections[place], sub.stream == id else {
            return nil
        }
        return sub
    }

    // MARK: Turns

    package func transportReady(_ transport: any StreamTransport, failed: Bool) {
        if failed, transport.takeError() != nil { isBroken = true }
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
        defer { tellStreams() }
        share.begin(loop)
        isTalking = talk.isOn(now: loop.now)
        movedBytes = 0
        multiplexer.leastRoundTripNanoseconds = isTalking ? 0 : Self.leastRoundTrip
        if isTalking, isBusy, !sparse.isEmpty, !isClosing { sendFirst() }
        guard !isOver else { return }
        receive(most: isTalking ? 2 * Self.shortTurn : Scratch.bytes)
        guard !isOver else { return }
        measureRoundTrip()
        if hasSaidGoodbye {
            flush()
            return finishClosing()
        }
        var stage = RecordStage(scratch: loop.scratch, records: records, multiplexer: multiplexer)
        stage.takeDueFrames()
        if !isClosing { readReady(&stage, most: isTalking ? Self.shortTurn : settings.linkQueueBytes) }
        stage.takeDueFrames()
        stage.seal()
        if let failure = stage.failure { return end(LinkEnd(word: .lost, detail: failure)) }
        flush()
        guard !isOver else { return }
        if isClosing { return finishClosing() }
        if multiplexer.hasSentGoAway, openStreams == 0, awaited.isEmpty { return closeOrderly() }
        goOn()
    }

    /// Another turn, when there is something to do and something left of the node's share.
    private func goOn() {
        let canRead = transport.isReadable && (output.count < Self.outputLimit || isBroken)
        let canSend = transport.isWritable && !(sparse.isEmpty && bulk.isEmpty)
        guard canRead || isHeldBack || canSend else { return }
        let delay = min(
            canRead || isHeldBack ? share.incoming.delay(loop) : .max,
            canSend ? share.outgoing.delay(loop) : .max)
        guard delay > 0 else { return schedule() }
        guard shareTimer == nil else { return }
        shareTimer = loop.schedule(after: delay) { [unowned self] in
            shareTimer = nil
            schedule()
        }
    }

    /// For the loop, whose next wait depends on it.
    func moved(_ count: Int) {
        movedBytes += count
        guard movedBytes > Self.bulkTurn else { return }
        lastBulk = loop.now
        loop.carried(isTalking ? .bulkBesideTalk : .bulk)
    }

    /// A transfer is under way.
    private var isBusy: Bool { lastBulk.map { loop.now - $0 < Self.bulkLinger } ?? false }

    /// Whatever opens or ends a stream has a turn after it.
    private func tellStreams() {
        guard openStreams != toldStreams else { return }
        toldStreams = openStreams
        peer.onStreams?()
    }

    /// Windows are sized by the shortest round trip. One taken at the link's start may be ten times too long (a busy machine
    /// is all it takes), and windows would grow as much too large; so it is looked for while data flows.
    private func measureRoundTrip() {
        guard hasReceivedData, loop.now - lastMeasured >= Self.measureInterval else { return }
        hasReceivedData = false
        lastMeasured = loop.now
        multiplexer.ping(now: loop.now)
    }
}
