import Glibc
import Logging
import SQLite

/// Keeps the log of writes from growing for as long as somebody reads. On the writer's thread, between two transactions.
///
/// SQLite takes the log into the database after every 8 MB, as far as the oldest reader lets it, and begins at its start again
/// when nobody reads from it. Above a size the gate is closed: who reads is let end, nobody begins, and nobody who writes waits.
struct LogWatch {
    /// `journal_size_limit` and a half: it was not begun anew when it should have been.
    static let limitBytes: Int64 = 24 * 1_024 * 1_024
    private static let lookNanoseconds: UInt64 = 100_000_000
    /// A page of the history takes a tenth of this.
    private static let patienceNanoseconds: UInt64 = 500_000_000
    /// After one that did not end.
    private static let againNanoseconds: UInt64 = 5_000_000_000

    private let path: String
    private let database: Database
    private let gate: ReaderGate
    private var nextLook: UInt64 = 0
    private var closedSince: UInt64?

    init(path: String, database: Database, gate: ReaderGate) {
        self.path = path
        self.database = database
        self.gate = gate
    }

    /// Whether it wants to look again soon, though nothing is written.
    mutating func look() -> Bool {
        let now = Monotonic.nanoseconds
        if let since = closedSince {
            guard let reading = gate.oldest else {
                finish(now)
                return false
            }
            guard now - since > Self.patienceNanoseconds else { return true }
            open(now, wait: Self.againNanoseconds)
            warn(reading.name, seconds: (now - min(reading.sinceNanoseconds, now)) / 1_000_000_000)
            return false
        }
        guard now >= nextLook else { return false }
        nextLook = now + Self.lookNanoseconds
        guard fileBytes > Self.limitBytes, usedBytes > Self.limitBytes else { return false }
        gate.close()
        closedSince = now
        return true
    }

    /// Nobody of this process reads: the next write begins at the log's start, unless somebody else is there.
    private mutating func finish(_ now: UInt64) {
        if (try? database.restartLog()) == true {
            gate.holds(nil)
            return open(now, wait: Self.lookNanoseconds)
        }
        open(now, wait: Self.againNanoseconds)
        warn(strangers ?? "another connection", seconds: nil)
    }

    private mutating func open(_ now: UInt64, wait: UInt64) {
        gate.open()
        closedSince = nil
        nextLook = now + wait
    }

    private func warn(_ reader: String, seconds: UInt64?) {
        gate.holds(reader)
        Log.limited(
            .warn, "log-held", key: "", ("bytes", fileBytes), ("reader", reader),
            ("seconds", seconds.map { "\($0)" } ?? "-"),
            ("hint", "the log of writes grows while it reads"))
    }

    private var fileBytes: Int64 {
        var status = stat()
        return stat("\(path)-wal", &status) == 0 ? Int64(status.st_size) : 0
    }

    /// The file keeps its size when the log begins anew. Takes into the database what nobody needs in the log, and waits for nobody.
    private var usedBytes: Int64 {
        let pages = try? database.first("PRAGMA wal_checkpoint(PASSIVE)") { (row) throws(SQLiteError) in
            try row.integer(1)
        }
        return (pages ?? nil).map { $0 * 4_096 } ?? 0
    }

    /// Other processes that read: the kernel knows who has locked a mark of the log's index (sqlite.org/walformat.html, 2.3.1).
    private var strangers: String? {
        var status = stat()
        guard stat("\(path)-shm", &status) == 0 else { return nil }
        var pids: Set<Int32> = []
        // 12: POSIX  ADVISORY  READ 812 fe:01:131085 124 124
        for line in Self.text(of: "/proc/locks").split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count >= 8, words[1] == "POSIX", words[5].hasSuffix(":\(status.st_ino)"),
                let first = Int(words[6]), (123...127).contains(first), let pid = Int32(words[4]),
                pid != getpid()
            else { continue }
            pids.insert(pid)
        }
        let names = pids.sorted().map { pid in
            "process \(pid) (\(Self.text(of: "/proc/\(pid)/comm").filter { $0 != "\n" }))"
        }
        return names.isEmpty ? nil : names.joined(separator: ", ")
    }

    private static func text(of file: String) -> String {
        let descriptor = Glibc.open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { Glibc.close(descriptor) }
        var all: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 16_384)
        while case let count = read(descriptor, &part, part.count), count > 0, all.count < 1 << 20 {
            all += part[..<count]
        }
        return String(decoding: all, as: UTF8.self)
    }
}
