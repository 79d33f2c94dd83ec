import CLinux
import Glibc
import Threads

/// What the kernel says of a descriptor.
package struct Readiness: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let readable = Readiness(rawValue: 1)
    package static let writable = Readiness(rawValue: 2)
    /// The other end sends no more: reading will come to the end.
    package static let hangUp = Readiness(rawValue: 4)
    /// The connection failed: reset, refused, timed out.
    package static let failed = Readiness(rawValue: 8)
    /// There is an urgent mark among what is unread.
    package static let urgent = Readiness(rawValue: 16)
}

package protocol ReadinessHandler: AnyObject {
    func ready(_ events: Readiness)
}

/// What a turn was like, for the wait after it.
package enum TurnLoad: Comparable {
    case light
    /// Much was moved. What comes next is room or more of it, and whoever makes that needs the processor: no looking without sleep.
    case bulk
    /// Somebody talks beside it and waits for each turn of each program: who waits for this processor gets it now, not at the end of a
    /// time slice.
    case bulkBesideTalk
}

/// The source of events and time.
package protocol Poller: AnyObject {
    /// Monotonic nanoseconds.
    func now() -> UInt64
    /// Waits until something happens, or until `deadline` (0: do not wait; nil: for ever). `load`: of the turn before.
    func wait(deadline: UInt64?, after load: TurnLoad)
    /// Tells the handlers what `wait` found.
    func dispatch()
    /// Lets go of memory for descriptors that are closed. Not within `dispatch`.
    func shrink()
}

extension Poller {
    package func shrink() {}
}

/// epoll(7). A descriptor and its registration's generation travel together in epoll's 64 bits, so an event for a
/// descriptor that was closed and opened again in the same turn is dropped by one comparison.
package final class EpollPoller: Poller {
    private struct Slot {
        var handler: (any ReadinessHandler)?
        var generation: UInt32 = 0
    }

    private static let batch = 256
    private let descriptor: Int32
    private var slots: [Slot] = []
    private let events = UnsafeMutableBufferPointer<epoll_event>.allocate(capacity: EpollPoller.batch)
    private var found = 0
    private var window = PollingWindow()
    /// Descriptors that are watched, and the most that others seemed to have: the lowest number that is free is given, so all below a new one
    /// are in use.
    package private(set) var watched = 0
    package private(set) var elsewhere = 0
    /// When the last wait ended.
    private var wokeAt: UInt64 = 0
    /// How often it has looked for events before sleeping.
    package private(set) var looks = 0
    /// How often it has offered the processor to who waits for it.
    package private(set) var offers = 0

    package init() throws(SystemError) {
        descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        if descriptor < 0 { throw SystemError() }
    }

    deinit {
        events.deallocate()
        close(descriptor)
    }

    package func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    package func wait(deadline: UInt64?, after load: TurnLoad) {
        if load == .bulkBesideTalk { offerProcessor() }
        guard deadline != 0 else { return found = poll(0) }
        let start = now()
        let isLight = load == .light && start - wokeAt <= PollingWindow.lightTurnNanoseconds
        found = isLight && window.isOpen ? look(from: start, deadline) : 0
        // Rounded up: waking before the deadline would turn the loop for nothing.
        if found == 0 {
            let left = deadline.map { ($0 - min($0, now()) + 999_999) / 1_000_000 }
            found = poll(left.map { Int32(min($0, 60_000)) } ?? -1)
        }
        wokeAt = now()
        // What is heavy earns nothing, but a long wait closes the window whatever was before it.
        if isLight || wokeAt - start >= PollingWindow.longNanoseconds { window.waited(wokeAt - start) }
    }

    private func offerProcessor() {
        if sched_yield() == 0 { offers += 1 }
    }

    /// Looks for events without sleeping, unless somebody else was waiting for the processor.
    private func look(from start: UInt64, _ deadline: UInt64?) -> Int {
        looks += 1
        let end = min(deadline ?? .max, start + PollingWindow.nanoseconds)
        var time = start
        while time < end {
            let found = poll(0)
            if found > 0 { return found }
            sched_yield()
            let isFirst = time == start
            time = now()
            if isFirst, time - start > PollingWindow.yieldNanoseconds { break }
        }
        let found = poll(0)
        if found == 0 { window.lookedInVain() }
        return found
    }

    private func poll(_ milliseconds: Int32) -> Int {
        max(Int(epoll_wait(descriptor, events.baseAddress, Int32(Self.batch), milliseconds)), 0)
    }

    package func dispatch() {
        for place in 0..<found {
            let event = events[place]
            let number = Int(event.data.u64 & 0xffff_ffff)
            let slot = slots[number]
            guard slot.generation == UInt32(event.data.u64 >> 32), let handler = slot.handler else {
                continue
            }
            var ready: Readiness = []
            if event.events & goproxy_EPOLLIN != 0 { ready.insert(.readable) }
            if event.events & goproxy_EPOLLOUT != 0 { ready.insert(.writable) }
            if event.events & (goproxy_EPOLLRDHUP | goproxy_EPOLLHUP) != 0 { ready.insert(.hangUp) }
            if event.events & goproxy_EPOLLERR != 0 { ready.insert(.failed) }
            if event.events & goproxy_EPOLLPRI != 0 { ready.insert(.urgent) }
            handler.ready(ready)
        }
        found = 0
    }

    /// What is told of a descriptor.
    package enum Interest {
        /// As long as there is something to read.
        case readableLevel
        /// Each time there is more to read.
        case readable
        /// And each time it can be written to again.
        case readableAndWritable

        fileprivate var events: UInt32 {
            switch self {
            case .readableLevel: goproxy_EPOLLIN
            case .readable: goproxy_EPOLLIN | goproxy_EPOLLPRI | goproxy_EPOLLRDHUP | goproxy_EPOLLET
            case .readableAndWritable:
                goproxy_EPOLLIN | goproxy_EPOLLPRI | goproxy_EPOLLOUT | goproxy_EPOLLRDHUP | goproxy_EPOLLET
            }
        }
    }

    /// Watches a descriptor; what is already the case is told at once.
    package func add(_ number: Int32, _ handler: any ReadinessHandler, _ interest: Interest) {
        let place = Int(number)
        while slots.count <= place { slots.append(Slot()) }
        elsewhere = max(elsewhere, place - watched)
        watched += 1
        slots[place].handler = handler
        slots[place].generation &+= 1
        control(EPOLL_CTL_ADD, number, interest)
    }

    /// Changes what is told.
    package func change(_ number: Int32, _ interest: Interest) { control(EPOLL_CTL_MOD, number, interest) }

    private func control(_ operation: Int32, _ number: Int32, _ interest: Interest) {
        var event = epoll_event()
        event.events = interest.events
        event.data.u64 = UInt64(slots[Int(number)].generation) << 32 | UInt64(number)
        let result = epoll_ctl(descriptor, operation, number, &event)
        precondition(result == 0, "epoll_ctl: \(SystemError())")
    }

    /// The descriptor is about to be closed, which ends its watching too; events of this turn that are not handled yet are
    /// dropped.
    package func forget(_ number: Int32) {
        watched -= 1
        slots[Int(number)].handler = nil
        slots[Int(number)].generation &+= 1
    }

    /// Nothing that was found is still to be told, so generations may begin anew.
    package func shrink() {
        precondition(found == 0, "events are being told")
        let used = (slots.lastIndex { $0.handler != nil } ?? -1) + 1
        slots = Array(slots[..<used])
    }

    /// Stops watching a descriptor that stays open.
    package func remove(_ number: Int32) {
        forget(number)
        var event = epoll_event()
        _ = epoll_ctl(descriptor, EPOLL_CTL_DEL, number, &event)
    }
}
