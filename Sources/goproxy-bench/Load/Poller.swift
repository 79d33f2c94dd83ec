// Poller: epoll, level-triggered, with a number for each descriptor.
import CLinux
import Glibc

final class Poller {
    private let epoll: Socket
    private let events = UnsafeMutableBufferPointer<epoll_event>.allocate(capacity: 256)

    init() throws(BenchError) {
        let descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw .system("load", "cannot make an epoll descriptor") }
        epoll = Socket(owning: descriptor)
    }

    deinit { events.deallocate() }

    enum Interest { case reading, writing, nothing }

    func add(_ socket: Socket, _ number: Int, _ interest: Interest) {
        control(EPOLL_CTL_ADD, socket, number, interest)
    }

    func change(_ socket: Socket, _ number: Int, _ interest: Interest) {
        control(EPOLL_CTL_MOD, socket, number, interest)
    }

    /// Only for a socket that lives on: closing ends the watching too.
    func remove(_ socket: Socket) {
        epoll_ctl(epoll.descriptor, EPOLL_CTL_DEL, socket.descriptor, nil)
    }

    /// Waits up to `milliseconds` (-1: for ever) and calls `body` with the number of each that is ready.
    func wait(milliseconds: Int, _ body: (Int) -> Void) {
        let count = epoll_wait(
            epoll.descriptor, events.baseAddress, Int32(events.count), Int32(milliseconds))
        for index in 0..<max(0, Int(count)) { body(Int(events[index].data.u64)) }
    }

    private func control(_ operation: Int32, _ socket: Socket, _ number: Int, _ interest: Interest) {
        var event = epoll_event()
        switch interest {
        case .reading: event.events = goproxy_EPOLLIN
        case .writing: event.events = goproxy_EPOLLOUT
        case .nothing: event.events = 0
        }
        event.data.u64 = UInt64(number)
        epoll_ctl(epoll.descriptor, operation, socket.descriptor, &event)
    }
}
