// FleetBench: what a fleet costs its server. The records are made beforehand; the nodes are this process, on one loop, each
// with its own link; they only pretend to listen, because 20,000 listening sockets are more than one process may have.
import Charts
import FoundationEssentials
import Glibc

struct FleetBench {
    let nodes: Int
    let options: Options
    let temporary: TemporaryFolder
    private static let mappingsEach = 20
    private static let changes = 20

    init(nodes: Int, options: Options, in temporary: TemporaryFolder) {
        self.nodes = nodes
        self.options = options
        self.temporary = temporary
    }

    func run() throws(BenchError) {
        let folder = try ProgramFolder(options.bin)
        let data = "\(temporary.path)/fleet"
        let records = FleetRecords(
            nodes: nodes, mappingsEach: Self.mappingsEach, kind: .peerListener,
            listen: { "127.0.0.1:\(20_000 + $0)" }, forward: "127.0.0.1:9")
        let credentials = try timed("records made: \(nodes) nodes, \(nodes * Self.mappingsEach) mappings") {
            () throws(BenchError) in try records.make(in: data)
        }
        let server = try timed("server started, all records loaded") { () throws(BenchError) in
            try FleetServer.start(from: folder, data: data, echoLog: options.verbose)
        }
        for _ in 0..<3 {
            _ = try timed("node list over the control socket") { () throws(BenchError) in
                try server.get(["v1", "nodes"])
            }
        }
        let pid = server.program.pid
        let before = residentBytes(of: pid) / 1024
        let fleet = try NodeFleet(credentials, port: server.port)
        try timed("all nodes connected") { () throws(BenchError) in
            try Deadline(seconds: 120).wait("fleet", "not all nodes connected") { fleet.connected == nodes }
        }
        try timed("all \(nodes * Self.mappingsEach) mappings active") { () throws(BenchError) in
            try Deadline(seconds: 120).wait("fleet", "not all mappings became active") {
                () throws(BenchError) in
                let answer = try server.get(["v1", "status"])
                return String(decoding: answer, as: UTF8.self).contains(
                    "\"active\":\(nodes * Self.mappingsEach)")
            }
        }
        let after = residentBytes(of: pid) / 1024
        show(
            "server memory, KiB: before \(before), with all nodes \(after), each",
            Double(after - before) / Double(nodes), "KiB")
        let rest = FleetRest(of: server.program)
        show("server CPU while all rest", rest.percent, "% of a core", digits: 3, rest.verdict(nodes: nodes))
        show("  wake-ups of the server", rest.wakeUps, "a second")
        try pushes(server)
        fleet.end()
    }

    /// The time from the request for a change to the node's answer, through records, plan, link and report.
    private func pushes(_ server: FleetServer) throws(BenchError) {
        var times: [Double] = []
        for change in 0..<Self.changes {
            let id = "\(1 + change * nodes / Self.changes * Self.mappingsEach)"
            let start = monotonicNanoseconds()
            let body = Array(#"{"forward":{"domain":"tcp","addr":"127.0.0.1:\#(1_000 + change)"}}"#.utf8)
            let mapping = try server.send("PATCH", ["v1", "mappings", id], body: body)
            guard let wanted = number("desiredRevision", in: mapping) else {
                throw BenchError(
                    subject: "push", failed: "no revision", why: String(decoding: mapping, as: UTF8.self))
            }
            _ = try server.send(
                "GET", ["v1", "mappings", id, "wait"],
                query: [("revision", "\(wanted)"), ("timeout", "10")])
            times.append(Double(monotonicNanoseconds() - start) / 1e6)
        }
        times.sort()
        show("a change pushed and answered, median of \(times.count)", times[times.count / 2], "ms")
        show("  the slowest", times[times.count - 1], "ms")
    }

    private func number(_ key: String, in json: [UInt8]) -> Int64? {
        struct Revision: Decodable {
            let desiredRevision: Int64
        }
        return try? JSONDecoder().decode(Revision.self, from: Data(json)).desiredRevision
    }

    // MARK: Report

    private func timed<Result>(_ what: String, _ body: () throws(BenchError) -> Result) throws(BenchError)
        -> Result
    {
        let start = monotonicNanoseconds()
        let result = try body()
        show(what, Double(monotonicNanoseconds() - start) / 1e6, "ms")
        return result
    }

    private func show(
        _ what: String, _ value: Double, _ unit: String, digits: Int = 1, _ remark: String = ""
    ) {
        let pad = String(repeating: " ", count: max(1, 64 - what.count))
        print("\(what)\(pad)\(shown(value, digits)) \(unit)\(remark)")
    }
}
