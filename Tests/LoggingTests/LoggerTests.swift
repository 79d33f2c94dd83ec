import Synchronization
import Testing

import Logging

struct LoggerTests {
    /// A logger whose lines and clocks the test owns.
    private final class Bench: Sendable {
        let lines = Mutex<[String]>([])
        let nanoseconds = Atomic<Int64>(5)

        var written: [String] { lines.withLock { $0 } }

        func makeLogger() -> Logger {
            Logger(
                sink: { line in self.lines.withLock { $0.append(line) } }, showsTime: false,
                wallMilliseconds: { 0 }, monotonicNanoseconds: { self.nanoseconds.load(ordering: .relaxed) })
        }
    }

    private struct Costly: CustomStringConvertible {
        var description: String {
            Issue.record("described, though the line is not written")
            return ""
        }
    }

    @Test func `debug is silent until asked for, and its fields are not even described`() {
        let bench = Bench()
        let logger = bench.makeLogger()
        logger.log(.debug, "detail", [("value", Costly())])
        logger.log(.info, "start", [("port", 925)])
        logger.threshold = .debug
        logger.log(.debug, "detail", [])
        #expect(bench.written == ["info start port=925", "debug detail"])
    }

    @Test func `repeated lines are counted exactly and the count is told after the window`() {
        let bench = Bench()
        let logger = bench.makeLogger()
        for _ in 0..<1_000 { logger.log(.warn, "refused", limitKey: "10.0.0.1", []) }
        for _ in 0..<10 { logger.log(.warn, "refused", limitKey: "10.0.0.2", []) }
        #expect(bench.written == Array(repeating: "warn refused", count: 20))
        bench.nanoseconds.add(LineLimiter.windowNanoseconds - 1, ordering: .relaxed)
        logger.log(.info, "other", [])
        #expect(bench.written.count == 21)
        bench.nanoseconds.add(1, ordering: .relaxed)
        logger.log(.info, "other", [])
        #expect(
            bench.written.suffix(2) == [
                "warn lines-left-out event=refused key=10.0.0.1 count=990", "info other",
            ])
        logger.log(.warn, "refused", limitKey: "10.0.0.1", [])
        #expect(bench.written.last == "warn refused")
    }

    @Test func `flush tells the counts at once and only once`() {
        let bench = Bench()
        let logger = bench.makeLogger()
        for _ in 0..<12 { logger.log(.error, "full", limitKey: "a b", []) }
        logger.flush()
        logger.flush()
        #expect(bench.written.count == 11)
        #expect(bench.written.last == #"error lines-left-out event=full key="a b" count=2"#)
    }

    @Test func `a million keys cost a bounded table and no count is lost`() {
        var limiter = LineLimiter()
        var written = 0
        for number in 0..<1_000_000 where limiter.admit(.warn, "scan", key: "\(number)", now: 0) {
            written += 1
        }
        #expect(limiter.keyCount == LineLimiter.keyLimit + 1)
        let counts = limiter.takeCounts()
        #expect(counts.map(\.key) == [LineLimiter.otherKeys])
        #expect(written + counts.reduce(0) { $0 + $1.leftOut } == 1_000_000)
        #expect(limiter.keyCount == 0)
    }

    @Test func `a key of a megabyte is kept short`() {
        var limiter = LineLimiter()
        for _ in 0..<11 { _ = limiter.admit(.warn, "x", key: String(repeating: "k", count: 1 << 20), now: 0) }
        #expect(limiter.takeCounts().map(\.key.utf8.count) == [128])
    }

    @Test func `lines of many threads stay whole and every one is written or counted`() async {
        let bench = Bench()
        let logger = bench.makeLogger()
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for _ in 0..<500 { logger.log(.info, "tick", limitKey: "k", [("task", task)]) }
                    for _ in 0..<500 { logger.log(.info, "tock", [("task", task)]) }
                }
            }
        }
        logger.flush()
        let lines = bench.written
        #expect(lines.count { $0.hasPrefix("info tock task=") } == 4_000)
        #expect(lines.count { $0.hasPrefix("info tick task=") } == 10)
        #expect(lines.last == "info lines-left-out event=tick key=k count=3990")
    }

    @Test func `the sink can be replaced`() {
        let first = Bench()
        let second = Bench()
        let logger = first.makeLogger()
        logger.log(.info, "one", [])
        logger.replaceSink { line in second.lines.withLock { $0.append(line) } }
        logger.log(.info, "two", [])
        #expect(first.written == ["info one"])
        #expect(second.written == ["info two"])
    }
}
