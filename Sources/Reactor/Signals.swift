import CLinux
import Glibc
import Logging

/// Signals as events of a loop (signalfd(2)), instead of code that interrupts anything anywhere.
package final class Signals: ReadinessHandler {
    private let descriptor: Int32
    private let poller: EpollPoller
    private let received: (Int32) -> Void

    /// What ends a program in an orderly way: the service manager, Ctrl-C and Ctrl-\.
    private static let ending: [(Int32, StaticString)] = [
        (SIGTERM, "SIGTERM"), (SIGINT, "SIGINT"), (SIGQUIT, "SIGQUIT"),
    ]
    /// What ends nothing: the terminal or the ssh session that a program was started from has gone, or somebody means "read your
    /// files again", as one does with other programs.
    private static let noted: [(Int32, StaticString)] = [
        (SIGHUP, "SIGHUP"), (SIGUSR1, "SIGUSR1"), (SIGUSR2, "SIGUSR2"),
    ]

    /// The signals that a program has as events from now on: see `forProgram`.
    package static func blockForProgram() { block((ending + noted).map(\.0)) }

    /// `stop` for each signal that asks a program to end; a line in the log for those that it goes on after.
    package static func forProgram(on loop: EventLoop, stop: @escaping () -> Void) throws(SystemError)
        -> Signals
    {
        try Signals((ending + noted).map(\.0), on: loop) { number in
            if let name = ending.first(where: { $0.0 == number })?.1 {
                Log.info("stopping", ("signal", "\(name)"))
                stop()
            } else if let name = noted.first(where: { $0.0 == number })?.1 {
                Log.info("signal-ignored", ("signal", "\(name)"))
            }
        }
    }

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
