import Foundation
import Records
import SQLite
import Testing

struct CrashTests {
    let scratch = Scratch()

    /// Built beside the tests.
    private static func helper() throws -> URL {
        let bundles =
            [Bundle.main.bundleURL, URL(filePath: CommandLine.arguments[0])]
            + Bundle.allBundles.map(\.bundleURL)
        let places = bundles.flatMap { [$0, $0.deletingLastPathComponent()] }.map {
            $0.appending(path: "records-writer")
        }
        return try #require(
            places.first { FileManager.default.isExecutableFile(atPath: $0.path) }, "\(places)")
    }

    @Test(.timeLimit(.minutes(5)))
    func `killed at 50 moments, every acknowledged write is there and the file is sound`() throws {
        try scratch.store().addNode("crash")
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = seed
        var acknowledged = 0
        for round in 0..<50 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            // Some die while they open the database, most while they write.
            let lines = Int(random >> 33) % 120
            let marks = try runAndKill(afterLines: lines)
            acknowledged += marks.count
            let store = try scratch.store()
            let kept = try written(store)
            let lost = marks.filter { !kept.contains($0) }
            #expect(lost == [], "round \(round) of seed \(seed)")
            // Nothing between old and new: a mapping is added and removed in one write.
            #expect(try store.node("crash").mappings == 0, "round \(round) of seed \(seed)")
            store.close()
            let database = try Database(path: scratch.path(Store.fileName), mode: .readWrite)
            #expect(try database.integrityFaults() == [], "round \(round) of seed \(seed)")
        }
        print("\(acknowledged) writes acknowledged by 50 processes that were killed")
        #expect(acknowledged > 1_000)
    }

    /// What it printed before it died.
    private func runAndKill(afterLines count: Int, _ arguments: String...) throws -> [String] {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = try Self.helper()
        process.arguments = [scratch.directory] + arguments
        process.standardOutput = pipe
        try process.run()
        var output = Data()
        while output.count(where: { $0 == 10 }) < count {
            let more = pipe.fileHandleForReading.availableData
            if more.isEmpty { break }
            output += more
        }
        kill(process.processIdentifier, SIGKILL)
        output += pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationReason == .uncaughtSignal)
        // A line may be cut by the end; only a whole one is a promise.
        let whole = output.lastIndex(of: 10).map { output[...$0] } ?? Data()
        return String(decoding: whole, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// The history's promise: what was told durable is there, and what a slot held is recovered, with at most the one store
    /// that the kill came into.
    @Test(.timeLimit(.minutes(5)))
    func `killed at 50 moments, no connection is lost and every count is right`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = seed
        var opened: Set<Int64> = []
        var closed: Set<Int64> = []
        var moved: [Int64: Int64] = [:]
        for round in 0..<50 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            for line in try runAndKill(afterLines: Int(random >> 33) % 3_000, "history") {
                let words = line.split(separator: " ")
                let id = try #require(Int64(words[1]))
                switch words[0] {
                case "opened": opened.insert(id)
                case "closed": closed.insert(id)
                default: moved[id] = Int64(words[2])
                }
            }
            try scratch.store().close()
            var kept: Set<Int64> = []
            try scratch.database().forEach("SELECT id, up, down, flags, reason FROM history") {
                (row) throws(SQLiteError) in
                let id = try row.integer(0)
                kept.insert(id)
                // NULL, where a connection is not closed, is an error here.
                let (up, down) = (try row.integer(1), try row.integer(2))
                let told = moved[id] ?? 0
                let isRecovered = try row.integer(3) == 1
                if closed.contains(id), isRecovered { Issue.record("\(id) was closed, seed \(seed)") }
                // A closing may be on disk before the line of its last store was said.
                let isRight =
                    isRecovered
                    ? [told, told + 1_000].contains(up) && [3 * up, 3 * up - 3_000].contains(down)
                    : (up == told || up == told + 1_000 && !closed.contains(id)) && down == 3 * up
                if !isRight {
                    Issue.record("\(id): \(up) and \(down), told \(told), round \(round) of seed \(seed)")
                }
            }
            #expect(opened.subtracting(kept) == [], "round \(round) of seed \(seed)")
            #expect(try scratch.chainFaults() == [], "round \(round) of seed \(seed)")
        }
        let recovered = try scratch.rows("SELECT count(*) FROM closed WHERE flags = 1", columns: 1)[0]
        print("\(opened.count) connections durable in 50 processes that were killed, \(recovered) recovered")
        #expect(opened.count > 100)
    }

    private func written(_ store: Store) throws -> Set<String> {
        var marks: Set<String> = []
        var cursor: Int64 = 0
        while true {
            let page = try store.read { [cursor] (r) throws(RecordsError) in try r.audit(cursor: cursor) }
            guard let last = page.last else { return marks }
            cursor = last.id
            for entry in page where entry.action == "written" { marks.insert(entry.detail ?? "") }
        }
    }
}
