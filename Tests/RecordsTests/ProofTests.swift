import Foundation
import Records
import SQLite
import Testing

/// Two verifiers, and whoever changes files. The programs of the folder Proof are written from Proof.md alone.
@Suite(.serialized) struct ProofTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let tamperings = environment["GOPROXY_TAMPERINGS"].flatMap(Int.init) ?? 300
    private static let firstSeed = environment["GOPROXY_TAMPER_SEED"].flatMap(Int.init) ?? 1

    /// A folder that is attacked, and what was seen in it before.
    private struct Target {
        let name: String
        let history: HonestHistory
        let shown: Shown
        let sealed: Sealed
        let unsealed: Int64
        /// Whether its server had stopped.
        let ends: Bool
        /// After a start of a server, as an attack on what a start reads shows then.
        let restarted: Shown
        let exposed: Int64
        let anchors: [String]
    }

    private struct Verdict {
        let library: String?
        let other: String?
        var unsealed: Int64 = 0
        var exposed: Int64 = 0
    }

    private struct Question: Encodable {
        let path: String
        let keys: [String]
        let anchors: [String]
        let next: Int64?
        let restored: [Int64]
    }

    private struct Answer: Decodable {
        let fault: String?
        let unsealed: Int64
        let unchained: Int64
        let exposed: Int64
    }

    private struct Attack: Encodable {
        let seed: Int
        let directory: String
    }

    private struct Done: Decodable {
        let what: String
        let starts: Bool
    }

    private let other: Companion
    private let adversary: Companion

    init() throws {
        other = try Companion("verify.py")
        adversary = try Companion("tamper.py")
    }

    /// By both, with the key, and the number of the next seal as the key's file has it.
    private func verdict(_ folder: Scratch, anchors: [String] = []) throws -> Verdict {
        let path = folder.path(Store.fileName)
        let key = [UInt8](try Data(contentsOf: URL(filePath: folder.path(SealKey.verifyName))))
        let next = SealKey.next(in: folder.directory)
        let answer: Answer = try other.ask(
            Question(path: path, keys: [hexadecimal(key)], anchors: anchors, next: next, restored: []))
        var verifier = ChainVerifier(path: path)
        verifier.keys = [key]
        verifier.nextSeal = next
        verifier.anchors = anchors.compactMap { Anchor(line: $0) }
        do throws(RecordsError) {
            let report = try verifier.run()
            let unsealed = report.tables.reduce(0) { $0 + $1.unsealed }
            if report.fault == nil, answer.fault == nil {
                #expect(
                    [unsealed, report.unchained, report.exposed]
                        == [answer.unsealed, answer.unchained, answer.exposed], "\(answer) \(report)")
            }
            return Verdict(
                library: report.fault?.description, other: answer.fault, unsealed: unsealed,
                exposed: report.exposed)
        } catch {
            return Verdict(library: error.message, other: answer.fault)
        }
    }

    private func started(_ folder: Scratch) -> Bool {
        guard let store = try? Store.open(directory: folder.directory, server: "1.0.0") else { return false }
        store.close()
        return true
    }

    private func target(_ seed: UInt64) throws -> Target {
        let ends = seed % 3 != 0
        let history = try HonestHistory(seed: seed, steps: 12 + Int(seed % 5) * 6, ends: ends)
        let folder = history.folder
        let name = "history \(seed)\(ends ? "" : ", killed"): \(history.done.joined(separator: ", "))"
        let anchors = try folder.anchors()
        let verdict = try verdict(folder, anchors: anchors)
        #expect(verdict.library == nil && verdict.other == nil, "\(name): \(verdict)")
        let copy = try folder.killed()
        #expect(started(copy), "\(name)")
        return Target(
            name: name, history: history, shown: Shown(folder.directory),
            sealed: try Sealed(folder.directory),
            unsealed: verdict.unsealed, ends: ends, restarted: Shown(copy.directory),
            exposed: try self.verdict(copy).exposed, anchors: anchors)
    }

    @Test func `nothing honest is accused, by either verifier`() throws {
        let count = UInt64(max(12, Self.tamperings / 20))
        var (seals, unsealed) = (0, 0 as Int64)
        for seed in 1_000..<(1_000 + count) {
            let history = try HonestHistory(seed: seed, steps: 40, ends: seed % 2 == 0)
            let anchors = try history.folder.anchors()
            let verdict = try verdict(history.folder, anchors: seed % 3 == 0 ? [] : anchors)
            #expect(
                verdict.library == nil && verdict.other == nil,
                "history \(seed): \(history.done): \(verdict)")
            #expect(Shown(history.folder.directory).failure == nil)
            seals += anchors.count
            unsealed += verdict.unsealed
        }
        print("\(count) honest histories with \(seals) seals, and \(unsealed) rows that none holds")
        #expect(seals > Int(count) && unsealed > 0)
    }

    @Test func `what somebody changes who has no key is found by both verifiers, if anybody can see it`()
        throws
    {
        let targets = try (1...8).map { try target(UInt64($0)) }
        var (found, shown, told) = (0, 0, 0)
        for seed in Self.firstSeed..<(Self.firstSeed + Self.tamperings) {
            let target = targets[seed % targets.count]
            let folder = try target.history.folder.killed()
            let done: Done = try adversary.ask(Attack(seed: seed, directory: folder.directory))
            // A start that refuses has found it.
            if done.starts, !started(folder) { continue }
            let verdict = try verdict(folder, anchors: seed % 4 == 0 ? target.anchors : [])
            let words = Comment(rawValue: "seed \(seed), \(target.name): \(done.what)\n\(verdict)")
            #expect((verdict.library == nil) == (verdict.other == nil), words)
            let now = Shown(folder.directory)
            if verdict.library != nil { found += 1 }
            guard done.starts || now != target.shown else { continue }
            shown += 1
            guard verdict.library == nil else { continue }
            // What no seal holds is told of by its number; what one holds must be as it was.
            told += 1
            #expect(now.holds(target.shown, through: target.sealed), words)
            if done.starts {
                let isMore = now.count > target.restarted.count
                // A start takes a dead server's openings: where one had stopped, a forged start of another is told of too.
                #expect(!isMore || verdict.exposed > target.exposed, words)
            } else {
                #expect(verdict.unsealed > 0, words)
            }
        }
        print(
            "\(Self.tamperings) tamperings: \(shown) could be seen, \(found) found, \(told) in what no seal holds"
        )
        #expect(shown > Self.tamperings / 3 && found > Self.tamperings / 3)
    }
}

/// A program of the folder Proof that answers questions, a line of JSON each.
private final class Companion {
    private let process = Process()
    private let questions = Pipe()
    private let answers = Pipe()
    private var rest = Data()

    init(_ name: String) throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Proof")
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", "-B", folder.appending(path: name).path]
        process.standardInput = questions
        process.standardOutput = answers
        try process.run()
    }

    deinit {
        try? questions.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    func ask<Answer: Decodable>(_ question: some Encodable) throws -> Answer {
        try questions.fileHandleForWriting.write(contentsOf: JSONEncoder().encode(question) + Data("\n".utf8))
        while !rest.contains(10) {
            let more = answers.fileHandleForReading.availableData
            try #require(!more.isEmpty, "\(process.arguments ?? []) has ended")
            rest += more
        }
        let line = rest.prefix { $0 != 10 }
        rest = Data(rest.dropFirst(line.count + 1))
        return try JSONDecoder().decode(Answer.self, from: line)
    }
}

extension Scratch {
    /// The lines `history-head` that a server would have logged.
    fileprivate func anchors() throws -> [String] {
        try database().query("SELECT * FROM seals ORDER BY id") { (row) throws(SQLiteError) in
            var line = "info history-head seal=\(try row.integer(0))"
            for (place, table) in ["routes", "opened", "closed", "notes", "audit"].enumerated() {
                line += " \(table)=\(try row.integer(Int32(2 + 2 * place))):"
                line += hexadecimal(try row.blob(Int32(3 + 2 * place)))
            }
            return line
        }
    }
}

private func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { String(repeating: "0", count: $0 < 16 ? 1 : 0) + String($0, radix: 16) }.joined()
}
