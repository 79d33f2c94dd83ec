import CLinux
import Glibc

/// Signals as events of a loop (signalfd(2)), instead of code that interrupts anything anywhere.
package final class Signals: ReadinessHandler {
    private let descriptor: Int32
    private let poller: EpollPoller
    private let received: (Int32) -> Void

    /// Blocks `numbers` for this thread and those started after it; call it on the main thread before any other starts.
    package static func block(_ numbers: [Int32]) {
        var set = sigset_t()
        sigemptyset(&set)
        for number in numbers { sigaddset(&set, number) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Calls `received` on the loop for each signal of `numbers`, which have been blocked.
    package init(_ numbers: [Int32], on loop: EventLoop, received: @escaping (Int32) -> Void)
        throws(SystemError)
    {
        guard let network = loop.network as? SystemNetwork else {
            preconditionFailure("a simulated loop has no signals")
        }
        var set = sigset_t()
        sigemptyset(&set)
        for number in numbers { sigaddset(&set, number) }
        descriptor = signalfd(-1, &set, Int32(SFD_NONBLOCK) | Int32(SFD_CLOEXEC))
        if descriptor < 0 { throw SystemError() }
        poller = network.poller
        self.received = received
        poller.add(descriptor, self, .readableLevel)
    }

    deinit {
        close(descriptor)
    }

    package func ready(_ events: Readiness) {
        var info = signalfd_siginfo()
        while read(descriptor, &info, MemoryLayout<signalfd_siginfo>.size)
            == MemoryLayout<signalfd_siginfo>.size
        {
            received(Int32(info.ssi_signo))
        }
    }
}
