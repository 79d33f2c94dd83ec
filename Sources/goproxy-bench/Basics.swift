// What every file of the benchmark leans on: errors of one shape, monotonic time, deadlines,
// threads.
import Glibc

/// An error in the house's shape, *subject: what failed: why*.
struct BenchError: Error, CustomStringConvertible {
    let subject: String
    let failed: String
    let why: String
    /// 2 for wrong usage, 1 for everything else.
    var exitCode: Int32 = 1

    var description: String {
        [subject, failed, why].filter { !$0.isEmpty }.joined(separator: ": ")
    }

    /// The last system call failed; must be called before anything else can change `errno`.
    static func system(_ subject: String, _ failed: String) -> BenchError {
        let number = errno
        let why =
            number == EAGAIN
            ? "nothing moved within \(Deadline.patienceSeconds) s" : String(cString: strerror(number))
        return BenchError(subject: subject, failed: failed, why: why)
    }
}

/// Monotonic time in nanoseconds.
func monotonicNanoseconds() -> Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// A moment after which waiting is an error.
struct Deadline {
    /// How long one wait may take before the run is given up: far above any stall that is not a fault, and
    /// the reason why the benchmark ends whatever the tunnel does.
    static let patienceSeconds = 10

    private let nanoseconds: Int

    init(seconds: Double = Double(patienceSeconds)) {
        nanoseconds = monotonicNanoseconds() + Int(seconds * 1e9)
    }

    var isPast: Bool { monotonicNanoseconds() >= nanoseconds }

    /// Asks `condition` every millisecond until it holds.
    func wait(_ subject: String, _ failed: String, until condition: () throws(BenchError) -> Bool)
        throws(BenchError)
    {
        while try !condition() {
            if isPast { throw BenchError(subject: subject, failed: failed, why: "deadline passed") }
            usleep(1_000)
        }
    }
}

/// Lets measured time pass.
func pass(seconds: Double) {
    usleep(UInt32(seconds * 1e6))
}

/// A thread that blocks in system calls. `join` must be called once.
struct WorkThread: Sendable {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private let handle: pthread_t

    init(_ run: @escaping @Sendable () -> Void) throws(BenchError) {
        var handle = pthread_t()
        let body = Unmanaged.passRetained(Body(run))
        let code = pthread_create(
            &handle, nil,
            { context in
                Unmanaged<Body>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, body.toOpaque())
        guard code == 0 else {
            body.release()
            throw BenchError(
                subject: "load", failed: "cannot start a thread", why: String(cString: strerror(code)))
        }
        self.handle = handle
    }

    func join() { pthread_join(handle, nil) }

    func detach() { pthread_detach(handle) }
}
