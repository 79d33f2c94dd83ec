import Buffers
import Glibc

/// Something that has work to do when the events of a turn have been handled.
package protocol TurnWork: AnyObject {
    func turnEnds()
}

/// One thread's loop. Not Sendable: whoever holds it is on its thread.
package final class EventLoop {
    /// Monotonic nanoseconds, read once a turn.
    package private(set) var now: UInt64
    package let mailbox: Mailbox
    package let network: any Network
    /// Buffers of the loop's connections come from here.
    package let scratch = Scratch()
    package let chunks = ChunkPool()
    private let poller: any Poller
    private var timers = TimerHeap()
    private var turnWork: [any TurnWork] = []
    private var running: [any TurnWork] = []
    private var firstWork: [any TurnWork] = []
    private var isStopped = false
    private var load = TurnLoad.light
    /// Turns begun so far.
    package private(set) var turns: UInt64 = 0
    /// When one last had work at a turn's end while another still counted, and who the last one was.
    private var lastShared: UInt64 = 0
    private var lastWorker: (id: ObjectIdentifier, at: UInt64)?
    /// Who has had work counts for so long: it may wait for another program's turn.
    private static let sharedLinger: UInt64 = 10_000_000

    /// A loop on the system's sockets and clock. `wrap` may put something between the loop and its network.
    package convenience init(wrap: (SystemNetwork) -> any Network = { $0 }) throws(SystemError) {
        let poller = try EpollPoller()
        let mailbox = try Mailbox()
        poller.add(mailbox.descriptor, WakeUp(descriptor: mailbox.descriptor), .readable)
        let system = SystemNetwork(poller: poller)
        self.init(poller: poller, network: wrap(system), mailbox: mailbox)
        system.loop = self
    }

    /// A loop on another world; used by simulations.
    package init(poller: any Poller, network: any Network, mailbox: Mailbox) {
        self.poller = poller
        self.network = network
        self.mailbox = mailbox
        now = poller.now()
    }

    /// Runs until `stop`.
    package func run() {
        while !isStopped { turn() }
        isStopped = false
    }

    /// Ends `run` after this turn.
    package func stop() {
        isStopped = true
    }

    /// One turn: waits for whatever comes first, then handles all of it.
    package func turn() {
        let isIdle = turnWork.isEmpty && firstWork.isEmpty && !mailbox.hasMessages
        let deadline: UInt64? = isIdle ? timers.nextDeadline : 0
        poller.wait(deadline: deadline, after: load)
        load = .light
        turns &+= 1
        now = poller.now()
        poller.dispatch()
        mailbox.drain(into: self)
        while let timer = timers.popDue(now) { timer.fire() }
        for place in firstWork.indices { firstWork[place].turnEnds() }
        firstWork.removeAll(keepingCapacity: true)
        swap(&turnWork, &running)
        noteWorkers()
        for place in running.indices { running[place].turnEnds() }
        running.removeAll(keepingCapacity: true)
    }

    /// This turn was no lighter than that.
    package func carried(_ load: TurnLoad) { self.load = max(self.load, load) }

    /// Several have had work at turns' ends lately: nobody may have more than its share.
    package var isShared: Bool { lastShared > 0 && now - min(lastShared, now) < Self.sharedLinger }

    private func noteWorkers() {
        guard let first = running.first else { return }
        let id = ObjectIdentifier(first)
        let isOther = lastWorker.map { $0.id != id && now - min($0.at, now) < Self.sharedLinger } ?? false
        if running.count > 1 || isOther { lastShared = now }
        lastWorker = (id, now)
    }

    /// Calls `work.turnEnds()` at the end of this turn; during the turn's end, at that of the next, which then does not
    /// wait. The caller sees to it that the same work is not added twice.
    package func atTurnEnd(_ work: any TurnWork) {
        turnWork.append(work)
    }

    /// As `atTurnEnd`, before all that is not first: for what another thread is to do meanwhile. Whoever is sent a frame may get this
    /// loop's processor at once. It does not ask for this again in its own `turnEnds`.
    package func firstAtTurnEnd(_ work: any TurnWork) {
        firstWork.append(work)
    }

    /// Calls `action` once, `nanoseconds` from now, but not in this turn: a timer that sets itself again at once must not
    /// keep the loop from everything else. Cancel it, or let go of the timer's owner in `action`.
    @discardableResult
    package func schedule(after nanoseconds: UInt64, _ action: @escaping () -> Void) -> LoopTimer {
        let (deadline, overflow) = now.addingReportingOverflow(max(nanoseconds, 1))
        return schedule(at: overflow ? .max : deadline, action)
    }

    /// As `schedule`, but at the next whole second of the clock from then on: what need not be exact shares its wake-ups, and a
    /// thousand things that happen every quarter of a minute wake the processor once a second.
    @discardableResult
    package func scheduleBySecond(after nanoseconds: UInt64, _ action: @escaping () -> Void) -> LoopTimer {
        let (late, overflow) = now.addingReportingOverflow(max(nanoseconds, 1))
        let (up, overflowUp) = late.addingReportingOverflow(Self.second - 1)
        return schedule(at: overflow || overflowUp ? .max : up / Self.second * Self.second, action)
    }

    private static let second: UInt64 = 1_000_000_000

    private func schedule(at deadline: UInt64, _ action: @escaping () -> Void) -> LoopTimer {
        let timer = LoopTimer(deadline: deadline, action: action)
        timers.insert(timer)
        return timer
    }

    /// Tables become as large as what is in them.
    func shrink() {
        timers.shrink()
        poller.shrink()
    }

    package func cancel(_ timer: LoopTimer?) {
        guard let timer else { return }
        timers.remove(timer)
    }
}

/// Memory that every connection of a loop uses for the length of one call, never longer.
package final class Scratch {
    /// 256 KiB: sixteen full records at a read.
    package static let bytes = 256 << 10
    /// What was read from a socket.
    package let input = UnsafeMutableRawBufferPointer.allocate(byteCount: Scratch.bytes, alignment: 64)
    /// What came out of the record layer.
    package let plain = UnsafeMutableRawBufferPointer.allocate(byteCount: Scratch.bytes, alignment: 64)
    /// What goes into it.
    package let outgoing = UnsafeMutableRawBufferPointer.allocate(byteCount: Scratch.bytes, alignment: 64)
    /// For one system call.
    package let vectors = UnsafeMutableBufferPointer<iovec>.allocate(capacity: 64)
    /// For what is gathered in `plain` until it is written.
    package let run = UnsafeMutableBufferPointer<iovec>.allocate(capacity: 64)

    init() {}

    deinit {
        input.deallocate()
        plain.deallocate()
        outgoing.deallocate()
        vectors.deallocate()
        run.deallocate()
    }
}

/// Empties the mailbox's eventfd; the loop drains the mailbox every turn anyway.
private final class WakeUp: ReadinessHandler {
    private let descriptor: Int32

    init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    func ready(_ events: Readiness) {
        var count: UInt64 = 0
        _ = Glibc.read(descriptor, &count, 8)
    }
}
