// Options: what the command line asks for.
import Flags

/// One part of the run that `-only` can select.
enum Section: String, CaseIterable {
    case memory, throughput, echo, short, stall, growth

    /// Growth takes a minute and is asked for.
    static let standard: [Section] = [.memory, .throughput, .echo, .short, .stall]
    static let names = allCases.map(\.rawValue).joined(separator: ", ")
}

struct Options {
    var rounds = 5
    var seconds = 0.8
    var connections = [1, 8, 64]
    var short = [1, 32]
    var comparesAudit = false
    var idle = 10_000
    var only = Section.standard
    var growth = false
    var against: [Rival] = []
    var svg: String?
    var markdown: String?
    var retries = 0
    var direct = false
    var fleet: Int?
    var history: Int?
    var bin: String?
    var json: String?
    var verbose = false

    static let table = FlagTable<Options>(
        program: "goproxy-bench",
        summary: """
            Starts a goproxy-server and a goproxy-node on loopback, sends real traffic through a listener and
            a peer listener, and compares it with a direct connection measured in the same run.
            """,
        flags: [
            .int("rounds", help: "rounds; every figure is the median over them", default: "5", in: 1...1_000)
            {
                $0.rounds = $1
            },
            .custom(
                "seconds", value: "number", help: "length of one measurement", default: "0.8",
                parse: parseSeconds,
                set: { $0.seconds = $1 }),
            .int(
                "retries",
                help: "times to repeat a measurement while others use the machine; the quietest counts",
                default: "0", in: 0...100
            ) { $0.retries = $1 },
            .custom(
                "connections", value: "list", help: "numbers of bulk connections at once", default: "1,8,64",
                parse: parseCounts, set: { $0.connections = $1 }),
            .custom(
                "short", value: "list", help: "numbers of short connections at once", default: "1,32",
                parse: parseCounts, set: { $0.short = $1 }),
            .int(
                "idle", help: "idle connections held for the memory figures, if descriptors suffice",
                default: "10000",
                in: 1...1_000_000
            ) { $0.idle = $1 },
            .custom(
                "only", value: "list", help: "sections to run: \(Section.names)",
                default: "memory,throughput,echo,short,stall",
                parse: parseSections, set: { $0.only = $1 }),
            .bool(
                "growth",
                help: "also 1 to 10,000 connections over one link, and 1 to 1,000 nodes (about a minute)"
            ) { $0.growth = $1 },
            .custom(
                "against", value: "list",
                help:
                    "other tunnels to measure in the same rounds: ssh (OpenSSH, both ways), haproxy (two of them)",
                parse: parseRivals, set: { $0.against = $1 }),
            .string("svg", value: "file", help: "draw the figures into it") { $0.svg = $1 },
            .string(
                "markdown", value: "file",
                help: """
                    put the tables between its lines \(MarkdownFile.begin) and \(MarkdownFile.end); \
                    - prints them so
                    """
            ) { $0.markdown = $1 },
            .int(
                "fleet", help: "instead of traffic: a server with this many nodes of 20 mappings each",
                in: 1...5_000
            ) { $0.fleet = $1 },
            .int(
                "history", help: "instead of traffic: pages of a history of this many connections",
                in: 1_000...100_000_000
            ) { $0.history = $1 },
            .bool(
                "audit",
                help: "also a server whose connections do not wait for their record (-audit best-effort)"
            ) {
                $0.comparesAudit = $1
            },
            .bool("direct", help: "only the direct connection: what this machine and the load can do") {
                $0.direct = $1
            },
            .string("bin", value: "folder", help: "where the programs are, if not beside this one") {
                $0.bin = $1
            },
            .string("json", value: "file", help: "write all raw figures to it") { $0.json = $1 },
            .bool("verbose", help: "copy the logs of both programs to stderr") { $0.verbose = $1 },
        ])
}

/// Up to a minute; below 50 ms nothing is measured but noise.
@Sendable private func parseSeconds(_ text: String) throws(FlagError) -> Double {
    guard let seconds = Double(text), (0.05...60).contains(seconds) else {
        throw FlagError("not a number from 0.05 to 60")
    }
    return seconds
}

/// More than a process has descriptors for on most systems.
@Sendable private func parseCounts(_ text: String) throws(FlagError) -> [Int] {
    var counts: [Int] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        guard let count = Int(part), (1...10_000).contains(count) else {
            throw FlagError("not numbers from 1 to 10,000, separated by commas")
        }
        counts.append(count)
    }
    return counts
}

@Sendable private func parseSections(_ text: String) throws(FlagError) -> [Section] {
    var sections: [Section] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        guard let section = Section(rawValue: String(part)) else {
            throw FlagError("not out of \(Section.names)")
        }
        sections.append(section)
    }
    return sections
}

@Sendable private func parseRivals(_ text: String) throws(FlagError) -> [Rival] {
    var rivals: [Rival] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        guard let rival = Rival(rawValue: String(part)) else {
            throw FlagError("not out of \(Rival.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        if !rivals.contains(rival) { rivals.append(rival) }
    }
    return rivals
}
