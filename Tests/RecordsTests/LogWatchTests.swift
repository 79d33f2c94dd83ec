import Foundation
import Logging
import Records
import SQLite
import Synchronization
import Testing

@Suite(.serialized) struct LogWatchTests {
    let scratch = Scratch()

    private var logBytes: Int {
        let attributes = try? FileManager.default.attributesOfItem(
            atPath: scratch.path("\(Store.fileName)-wal"))
        return attributes?[.size] as? Int ?? 0
    }

    /// 4 KB of the log for each row.
    private func write(_ store: Store, rows: Int) throws {
        let detail = String(repeating: "x", count: 4_000)
        try store.write(actor: .server) { (t) throws(RecordsError) in
            for _ in 0..<rows { try t.audit("event", detail: detail) }
        }
    }

    @Test func `readers that overlap, each short, do not keep the log of writes growing`() throws {
        let store = try scratch.server()
        let begun = Atomic<Int>(0)
        let isOver = Atomic<Bool>(false)
        let ended = DispatchGroup()
        for _ in 0..<3 {
            ended.enter()
            Thread.detachNewThread {
                while !isOver.load(ordering: .relaxed) {
                    _ = try? store.read { (r) throws(RecordsError) in
                        // From here on it has its moment.
                        _ = try r.newestAudit(limit: 1)
                        let mine = begun.add(1, ordering: .relaxed).newValue
                        // Until another one has its own, or as long as a page of the history may take.
                        let end = ContinuousClock.now + .milliseconds(20)
                        while begun.load(ordering: .relaxed) == mine, ContinuousClock.now < end {
                            sched_yield()
                        }
                    }
                }
                ended.leave()
            }
        }
        var most = 0
        // Small commits: at each, somebody reads from before it.
        for _ in 0..<1_500 {
            try write(store, rows: 20)
            most = max(most, logBytes)
        }
        isOver.store(true, ordering: .relaxed)
        ended.wait()
        print(
            "120 MB written beside \(begun.load(ordering: .relaxed)) readers; the log had \(most) bytes at most"
        )
        #expect(most < 60_000_000)
        store.close()
    }

    @Test func `another process that keeps the log from beginning anew is named by its number and program`()
        throws
    {
        let lines = Mutex<[String]>([])
        let found = DispatchSemaphore(value: 0)
        Log.replaceSink { line in
            guard line.contains("log-held") else { return }
            lines.withLock { $0.append(line) }
            found.signal()
        }
        defer { Log.replaceSink(StandardError.write) }
        let store = try scratch.server()
        let (said, held) = (Pipe(), Pipe())
        let other = Process()
        other.executableURL = URL(filePath: "/usr/bin/env")
        other.arguments = [
            "python3", "-c",
            """
            import os, sqlite3, sys
            database = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True, isolation_level=None)
            database.execute("BEGIN")
            database.execute("SELECT count(*) FROM audit").fetchone()
            print(os.getpid(), end="", flush=True)
            sys.stdin.read()
            """, scratch.path(Store.fileName),
        ]
        (other.standardOutput, other.standardInput) = (said, held)
        try other.run()
        // What was started may be a script that starts it.
        let number = String(decoding: said.fileHandleForReading.availableData, as: UTF8.self)
        try #require(Int(number) != nil)
        for _ in 0..<10 { try write(store, rows: 1_000) }
        #expect(found.wait(timeout: .now() + 60) == .success)
        let line = lines.withLock { $0.first ?? "" }
        #expect(line.contains(#"reader="process \#(number) (python3"#), "\(line)")
        try held.fileHandleForWriting.close()
        other.waitUntilExit()
        store.close()
    }

    @Test func `who keeps the log from beginning anew is named, and it begins when they have gone`() throws {
        let lines = Mutex<[String]>([])
        let found = DispatchSemaphore(value: 0)
        Log.replaceSink { line in
            guard line.contains("log-held") else { return }
            lines.withLock { $0.append(line) }
            found.signal()
        }
        defer { Log.replaceSink(StandardError.write) }
        let store = try scratch.server()
        let (isInside, mayLeave, left) =
            (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        Thread.detachNewThread {
            ReaderGate.$name.withValue("GET /v1/history/top of alice") {
                _ = try? store.read { (r) throws(RecordsError) in
                    _ = try r.newestAudit(limit: 1)
                    isInside.signal()
                    mayLeave.wait()
                }
            }
            left.signal()
        }
        isInside.wait()
        for _ in 0..<10 { try write(store, rows: 1_000) }
        #expect(found.wait(timeout: .now() + 30) == .success)
        let line = lines.withLock { $0.first ?? "" }
        #expect(line.contains(#"reader="GET /v1/history/top of alice""#), "\(line)")
        // Others are not kept waiting for it.
        #expect(try store.audit().count > 0)
        mayLeave.signal()
        left.wait()
        let end = ContinuousClock.now + .seconds(30)
        while logBytes > 17_000_000, ContinuousClock.now < end { try store.addNodeTag() }
        #expect(logBytes <= 17_000_000)
        store.close()
    }

    @Test func `another program that reads is named too`() throws {
        let lines = Mutex<[String]>([])
        let found = DispatchSemaphore(value: 0)
        Log.replaceSink { line in
            guard line.contains("log-held") else { return }
            lines.withLock { $0.append(line) }
            found.signal()
        }
        defer { Log.replaceSink(StandardError.write) }
        let store = try scratch.server()
        try write(store, rows: 1)
        let (python, input, output) = (Process(), Pipe(), Pipe())
        python.executableURL = URL(filePath: "/usr/bin/env")
        let words = """
            import sqlite3, sys
            database = sqlite3.connect(sys.argv[1])
            database.execute("BEGIN")
            database.execute("SELECT count(*) FROM audit").fetchone()
            print("reads", flush=True)
            sys.stdin.read()
            """
        python.arguments = ["python3", "-c", words, scratch.path(Store.fileName)]
        (python.standardInput, python.standardOutput) = (input, output)
        try python.run()
        #expect(!output.fileHandleForReading.availableData.isEmpty, "it reads")
        for _ in 0..<10 { try write(store, rows: 1_000) }
        #expect(found.wait(timeout: .now() + 60) == .success)
        let line = lines.withLock { $0.first ?? "" }
        #expect(line.contains("reader=\"process \(python.processIdentifier) (python"), "\(line)")
        try input.fileHandleForWriting.close()
        python.waitUntilExit()
        store.close()
    }
}
