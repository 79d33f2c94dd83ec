import Foundation
import Support

/// What one program has allocated and retained since it began, as Tests/Counting keeps it in a file.
struct Counts {
    var allocations = 0
    /// OpenSSL's and SQLite's.
    var librariesAllocations = 0
    var bytes = 0
    var frees = 0
    var retains = 0
    var releases = 0

    static func - (left: Counts, right: Counts) -> Counts {
        Counts(
            allocations: left.allocations - right.allocations,
            librariesAllocations: left.librariesAllocations - right.librariesAllocations,
            bytes: left.bytes - right.bytes,
            frees: left.frees - right.frees, retains: left.retains - right.retains,
            releases: left.releases - right.releases)
    }
}

/// The counting of a tunnel's two programs: what they need to be started with, and their counts while they run.
struct Counting {
    static let preloaded = "\(Program.buildDirectory)/libCounting.so"
    private static let lineWords = 8

    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    var environment: [String: String] { ["LD_PRELOAD": Self.preloaded, "GOPROXY_COUNTS": directory.path] }

    /// The words of Counting.h: of the file first, then of each thread.
    private func words(of program: Program) throws -> [UInt64] {
        let data = try Data(contentsOf: URL(filePath: directory.file("\(program.pid)")))
        return data.withUnsafeBytes { Array($0.bindMemory(to: UInt64.self)) }
    }

    /// Not in a program that the Swift runtime is linked into.
    func countsRetains(of program: Program) throws -> Bool {
        let words = try words(of: program)
        guard words[0] == 1 else { throw Failure("\(program.name) does not count\n\(program.transcript)") }
        return words[1] == 1
    }

    /// Of all its threads.
    func counts(of program: Program) throws -> Counts {
        let words = try words(of: program)
        let lines = stride(from: Self.lineWords, to: words.count, by: Self.lineWords)
        return lines.reduce(into: Counts()) { sum, line in
            sum.allocations += Int(words[line + 1])
            sum.librariesAllocations += Int(words[line + 2])
            sum.bytes += Int(words[line + 3])
            sum.frees += Int(words[line + 4])
            sum.retains += Int(words[line + 5])
            sum.releases += Int(words[line + 6])
        }
    }
}
