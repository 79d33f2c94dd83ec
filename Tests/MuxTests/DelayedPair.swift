import Glibc
import Mux

/// Two ends with a path between them that takes time and carries so many bytes a second, all by a clock of its own.
/// `ends[1]` sends on every stream, `ends[0]` receives and has the sockets.
final class DelayedPair {
    /// A stream, and the socket that its receiver has for it.
    final class Flow {
        let id: StreamID
        /// Whoever is behind the socket reads so much, and no more.
        var reads: Int
        /// What the system takes in beyond that.
        let absorbs: Int
        var buffered = 0
        var consumed = 0

        init(_ id: StreamID, reads: Int, absorbs: Int) {
            self.id = id
            self.reads = reads
            self.absorbs = absorbs
        }
    }

    private struct Lot {
        let arrives: UInt64
        let head: [UInt8]
        let payload: Int
    }

    let ends: [Multiplexer]
    /// One way.
    var delay: UInt64
    var bytesPerSecond: UInt64
    /// What the sender lets wait for the path, as time.
    var patience: UInt64 = 4_000_000
    private(set) var now: UInt64 = 1_000_000_000
    private(set) var flows: [UInt32: Flow] = [:]
    private var lines: [[Lot]] = [[], []]
    private var heads = [0, 0]
    private var busyUntil: [UInt64] = [0, 0]
    private var ready: [Flow] = []
    private var touched: [Flow] = []
    private var nextPing: UInt64 = 0
    private let record = UnsafeMutableRawBufferPointer.allocate(byteCount: Frame.maximumBytes, alignment: 8)
    private static let tick: UInt64 = 250_000

    init(roundTrip: UInt64, bytesPerSecond: UInt64, receiver: Role = .dialer) {
        ends = [Multiplexer(role: receiver), Multiplexer(role: receiver.other)]
        delay = roundTrip / 2
        self.bytesPerSecond = bytesPerSecond
        for end in ends { end.ping(now: now) }
    }

    deinit { record.deallocate() }

    /// Opened by the receiver (a client comes, and downloads), or by the sender.
    @discardableResult
    func open(by opener: Int = 0, reads: Int = .max, absorbs: Int = 0) throws -> Flow {
        let id = ends[opener].open(mapping: 1, client: ClientAddress(), now: now)!
        let flow = Flow(id, reads: reads, absorbs: absorbs)
        flows[id.rawValue] = flow
        if opener == 1 { ready.append(flow) }
        return flow
    }

    /// How long what is sent now waits before it is under way.
    var standingNanoseconds: UInt64 { busyUntil[1] - min(now, busyUntil[1]) }

    func run(_ nanoseconds: UInt64) throws {
        let end = now + nanoseconds
        while now < end {
            now += Self.tick
            for me in 0..<2 { try deliver(to: me) }
            consume()
            for me in 0..<2 { sendDue(me) }
            sendData()
        }
    }

    /// Somebody who stopped reads on.
    func read(_ bytes: Int, of flow: Flow) {
        flow.reads += bytes
        touched.append(flow)
    }

    /// Until those that stall have taken in all that they do.
    func runUntilStalled() throws {
        func isMoving() -> Bool {
            flows.values.contains { $0.reads != .max && $0.consumed < $0.reads + $0.absorbs }
        }
        for _ in 0..<60 where isMoving() { try run(1_000_000_000) }
        try run(1_000_000_000)
    }

    private func deliver(to me: Int) throws {
        let line = 1 - me
        while heads[line] < lines[line].count, lines[line][heads[line]].arrives <= now {
            let lot = lines[line][heads[line]]
            heads[line] += 1
            let count = lot.head.count + lot.payload
            var reader: FrameReader
            if lot.payload > 0 {
                record.copyBytes(from: lot.head)
                reader = FrameReader(UnsafeRawBufferPointer(rebasing: record[..<count]))
                if let frame = try reader.next() { take(try ends[me].receive(frame, now: now)) }
            } else {
                try lot.head.withUnsafeBytes {
                    var reader = FrameReader($0)
                    while let frame = try reader.next() { take(try ends[me].receive(frame, now: now)) }
                }
            }
        }
        if heads[line] > 4_096 {
            lines[line].removeFirst(heads[line])
            heads[line] = 0
        }
    }

    private func take(_ event: Event) {
        switch event {
        case .data(let id, let bytes):
            guard let flow = flows[id.rawValue] else { return }
            if flow.buffered == 0 { touched.append(flow) }
            flow.buffered += bytes.count
        case .opened(let id, _, _), .writable(let id):
            // Bytes go one way; the receiver's own opening is heard of by the sender.
            if let flow = flows[id.rawValue], ends[1].sendBudget(id) > 0 { ready.append(flow) }
        default: break
        }
    }

    private func consume() {
        if touched.isEmpty { return }
        if now >= nextPing {
            nextPing = now + 1_000_000_000
            ends[0].ping(now: now)
        }
        for flow in touched {
            let most = flow.reads == .max ? .max : flow.reads + flow.absorbs - flow.consumed
            let count = min(flow.buffered, most)
            flow.buffered -= count
            flow.consumed += count
            ends[0].delivered(flow.id, min(flow.consumed, flow.reads))
            ends[0].consumed(flow.id, count, now: now)
        }
        touched.removeAll(keepingCapacity: true)
    }

    private func send(_ me: Int, _ head: [UInt8], payload: Int) {
        busyUntil[me] =
            max(busyUntil[me], now)
            + UInt64(head.count + payload) * 1_000_000_000 / bytesPerSecond
        // A path that becomes shorter lets nothing overtake.
        let arrives = max(busyUntil[me] + delay, lines[me].last?.arrives ?? 0)
        lines[me].append(Lot(arrives: arrives, head: head, payload: payload))
    }

    private func sendDue(_ me: Int) {
        while ends[me].hasPending {
            let count = ends[me].poll(into: record)
            if count == 0 { return }
            send(me, [UInt8](record[..<count]), payload: 0)
        }
    }

    /// A record of each in turn.
    private func sendData() {
        var turn = 0
        while !ready.isEmpty, standingNanoseconds < patience {
            if turn >= ready.count { turn = 0 }
            let flow = ready[turn]
            let count = min(ends[1].sendBudget(flow.id), Frame.maximumPayloadBytes)
            if count == 0 {
                ready.remove(at: turn)
                continue
            }
            var head = [UInt8](repeating: 0, count: Frame.headerBytes)
            head.withUnsafeMutableBytes {
                ends[1].headerForData(flow.id, count: count, at: $0.baseAddress!)
            }
            send(1, head, payload: count)
            turn += 1
        }
        // Who was first is last the next time.
        if turn > 0, turn < ready.count { ready = Array(ready[turn...] + ready[..<turn]) }
    }
}
