import Glibc
import Synchronization

/// Takes one finished line, without its newline.
package typealias LogSink = @Sendable (_ line: String) -> Void

/// What stands behind `Log`, as a value that a test can own, with its own sink and clocks.
///
/// The lock covers counting only. Lines are made and written outside it, so a reader of standard error that stops
/// reading holds up the threads that log, each in its own write, and nobody else.
package final class Logger: Sendable {
    private struct State {
        var sink: LogSink
        var limiter = LineLimiter()
    }

    private let state: Mutex<State>
    private let minimum = Atomic<Int>(LogLevel.info.rawValue)
    private let showsTime: Bool
    private let wallMilliseconds: @Sendable () -> Int64
    private let monotonicNanoseconds: @Sendable () -> Int64

    package init(
        sink: @escaping LogSink,
        showsTime: Bool,
        wallMilliseconds: @escaping @Sendable () -> Int64 = { now(CLOCK_REALTIME) / 1_000_000 },
        monotonicNanoseconds: @escaping @Sendable () -> Int64 = { now(CLOCK_MONOTONIC) }
    ) {
        state = Mutex(State(sink: sink))
        self.showsTime = showsTime
        self.wallMilliseconds = wallMilliseconds
        self.monotonicNanoseconds = monotonicNanoseconds
    }

    package var threshold: LogLevel {
        get { LogLevel(rawValue: minimum.load(ordering: .relaxed)) ?? .info }
        set { minimum.store(newValue.rawValue, ordering: .relaxed) }
    }

    package func replaceSink(_ sink: @escaping LogSink) {
        state.withLock { $0.sink = sink }
    }

    package func log(_ level: LogLevel, _ event: StaticString, limitKey: String? = nil, _ fields: [Log.Field])
    {
        guard level >= threshold else { return }
        let time = monotonicNanoseconds()
        let (sink, counts, admitted) = state.withLock { state in
            let counts = state.limiter.takeCounts(now: time)
            guard let limitKey else { return (state.sink, counts, true) }
            let admitted = state.limiter.admit(level, event, key: limitKey, now: time)
            return (state.sink, counts, admitted)
        }
        report(counts, to: sink)
        if admitted { sink(line(level, event, fields)) }
    }

    package func flush() {
        let (sink, counts) = state.withLock { ($0.sink, $0.limiter.takeCounts()) }
        report(counts, to: sink)
    }

    private func report(_ counts: [LineLimiter.Count], to sink: LogSink) {
        for count in counts {
            sink(
                line(
                    count.level, "lines-left-out",
                    [("event", count.event), ("key", count.key), ("count", count.leftOut)]))
        }
    }

    private func line(_ level: LogLevel, _ event: StaticString, _ fields: [Log.Field]) -> String {
        var line = LogLine(level, event, timeMilliseconds: showsTime ? wallMilliseconds() : nil)
        for (key, value) in fields { line.append(key, value.description) }
        return line.text
    }
}

/// The clock's reading in nanoseconds; 292 years fit.
private func now(_ clock: clockid_t) -> Int64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
}
