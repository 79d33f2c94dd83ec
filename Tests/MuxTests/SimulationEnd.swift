import Mux

/// One end: a multiplexer, and an owner that behaves in every way that an owner may.
final class SimulationEnd {
    let mux: Multiplexer
    var streams: [StreamID: SimulationStream] = [:]
    /// The same in the order of their beginning: a dictionary's order is not the seed's.
    var order: [SimulationStream] = []
    var pingsSent = 0
    var pongs = 0
    var controlSent = 0
    var controlReceived = 0
    var talliesSent = 0
    var talliesReceived = 0
    var goAwaySent = false
    var goAwayReceived = false
    /// Set when frames on the link may be other than this owner's counterpart meant.
    let isHostile: Bool
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Frame.maximumBytes, alignment: 8)

    init(role: Role, isHostile: Bool, generations: UInt16 = 0x7fff) {
        mux = Multiplexer(role: role, generations: generations)
        self.isHostile = isHostile
    }

    deinit { buffer.deallocate() }

    // MARK: Leaving

    /// Writes due frames with buffers of this size at most so many times; true when nothing is left.
    func poll(into link: SimulationLink, bufferBytes: Int, times: Int = .max) -> Bool {
        for _ in 0..<times {
            let count = mux.poll(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<bufferBytes]))
            if count == 0 {
                // What is left is a control message, or nothing.
                if !mux.hasPending || bufferBytes == buffer.count { return true }
                return poll(into: link, bufferBytes: buffer.count, times: times)
            }
            link.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        return !mux.hasPending
    }

    /// DATA of this stream, up to `limit` bytes in frames of at most `frameBytes`.
    func send(_ stream: SimulationStream, into link: SimulationLink, limit: Int, frameBytes: Int) {
        var left = min(limit, stream.out.planned - stream.out.sent)
        while left > 0, !stream.isOver, !stream.isFinishedHere {
            let count = min(left, mux.sendBudget(stream.id), frameBytes)
            if count == 0 { break }
            let flow = stream.out
            link.appendData(count, key: flow.key, from: flow.sent) {
                mux.headerForData(stream.id, count: count, at: $0)
            }
            flow.sent += count
            left -= count
        }
        if stream.out.sent == stream.out.planned, !stream.call.isFiller { finish(stream) }
    }

    // MARK: What an owner does

    func open(_ call: SimulationCall, now: UInt64) -> SimulationStream? {
        guard let id = mux.open(mapping: UInt32(call.number), client: call.client, now: now) else {
            return nil
        }
        let stream = SimulationStream(id: id, call: call, isOurs: true)
        streams[id] = stream
        order.append(stream)
        return stream
    }

    func accept(_ stream: SimulationStream) {
        guard !stream.isOurs, !stream.isAccepted, !stream.isOver else { return }
        stream.isAccepted = true
        mux.accept(stream.id)
    }

    func finish(_ stream: SimulationStream) {
        guard !stream.isFinishedHere, !stream.isOver else { return }
        stream.isFinishedHere = true
        stream.out.isFinished = true
        mux.finish(stream.id)
    }

    func reset(_ stream: SimulationStream, reason: CloseReason) {
        guard !stream.isReleased, !stream.isOver else { return }
        stream.call.resetReasons.append(reason)
        stream.isOver = true
        mux.reset(stream.id, reason: reason)
    }

    func consume(_ stream: SimulationStream, _ amount: Int, now: UInt64) {
        let amount = min(amount, stream.buffered)
        stream.buffered -= amount
        mux.delivered(stream.id, stream.into.received - stream.buffered)
        mux.consumed(stream.id, amount, now: now)
    }

    /// Lets go of the stream if it is over and, unless it releases early, empty.
    func releaseIfDone(_ stream: SimulationStream) {
        guard stream.isDone else { return }
        if !stream.isReleased, stream.buffered == 0 || stream.releasesEarly {
            stream.isReleased = true
            let number = UInt64(stream.id.rawValue)
            mux.tally(stream.id, fromSocket: number &* 3, toSocket: ~number)
            talliesSent += 1
            mux.release(stream.id)
        }
        if stream.isReleased, stream.buffered == 0 { streams[stream.id] = nil }
    }

    func removeReleased() {
        order.removeAll { $0.isReleased && $0.buffered == 0 }
    }

    // MARK: Arriving

    func take(_ event: Event, calls: [SimulationCall]) throws(SimulationFailure) {
        switch event {
        case .none, .linkWritable: break
        case .refused(let mapping, let reason):
            guard isHostile || reason == .nodeAway else {
                calls[Int(mapping)].isRefused = true
                return
            }
        case .opened(let id, let mapping, let client): try opened(id, Int(mapping), client, calls)
        case .accepted(let id):
            let stream = try known(id)
            guard stream.isOurs, !stream.isAccepted else {
                throw SimulationFailure(description: "accepted twice")
            }
            stream.isAccepted = true
        case .data(let id, let payload): try data(known(id), payload)
        case .writable(let id):
            let stream = try known(id)
            guard !stream.isFinishedHere else {
                throw SimulationFailure(description: "writable after finish")
            }
        case .finished(let id):
            let stream = try known(id)
            guard !stream.isFinishedThere else { throw SimulationFailure(description: "finished twice") }
            stream.isFinishedThere = true
            guard isHostile || (stream.into.isFinished && stream.into.received == stream.into.sent) else {
                throw SimulationFailure(description: "finished early")
            }
        case .closed(let id, let reason):
            let stream = try known(id)
            stream.isOver = true
            let isRefused = stream.call.isRefused && reason == .limit
            let isRight = stream.call.resetReasons.contains(reason) || reason == .nodeAway || isRefused
            guard isHostile || isRight else { throw SimulationFailure(description: "closed for \(reason)") }
        case .tally(let id, let fromSocket, let toSocket):
            // The stream may be over here, and its slot serve another.
            let number = UInt64(id.rawValue)
            guard isHostile || (fromSocket == number &* 3 && toSocket == ~number) else {
                throw SimulationFailure(description: "a tally differs: \(id)")
            }
            talliesReceived += 1
        case .control(let message): try control(message)
        case .pong:
            pongs += 1
            guard isHostile || pongs <= pingsSent else {
                throw SimulationFailure(description: "a pong too many")
            }
        case .goAway(let reason, let retry):
            guard !goAwayReceived, isHostile || (reason == .stopping && retry == 1_234) else {
                throw SimulationFailure(description: "another GOAWAY than was sent")
            }
            goAwayReceived = true
        }
    }

    private func known(_ id: StreamID) throws(SimulationFailure) -> SimulationStream {
        guard let stream = streams[id], !stream.isOver, !stream.isReleased else {
            throw SimulationFailure(description: "an event for a stream that is over: \(id)")
        }
        return stream
    }

    private func opened(
        _ id: StreamID, _ mapping: Int, _ client: ClientAddress, _ calls: [SimulationCall]
    ) throws(SimulationFailure) {
        guard streams[id] == nil,
            isHostile || (calls.indices.contains(mapping) && calls[mapping].client == client)
        else { throw SimulationFailure(description: "OPEN differs from what was sent: \(id)") }
        let call =
            isHostile ? SimulationCall(number: mapping & 0xffff, there: 0, back: 5_000) : calls[mapping]
        let stream = SimulationStream(id: id, call: call, isOurs: false)
        streams[id] = stream
        order.append(stream)
    }

    private func data(_ stream: SimulationStream, _ payload: UnsafeRawBufferPointer) throws(SimulationFailure)
    {
        guard !stream.isFinishedThere else { throw SimulationFailure(description: "bytes after the last") }
        stream.buffered += payload.count
        if !isHostile, !Pattern.matches(payload, key: stream.into.key, from: stream.into.received) {
            throw SimulationFailure(
                description: "wrong byte after \(stream.into.received) of \(stream.into.key)")
        }
        stream.into.received += payload.count
    }

    // MARK: Control messages: their content follows from their number

    func sendControl(bytes: Int) {
        mux.send(control: Pattern.bytes(bytes, key: controlSent))
        controlSent += 1
    }

    private func control(_ message: [UInt8]) throws(SimulationFailure) {
        if isHostile { return }
        guard message == Pattern.bytes(message.count, key: controlReceived) else {
            throw SimulationFailure(description: "control message differs")
        }
        controlReceived += 1
    }
}
