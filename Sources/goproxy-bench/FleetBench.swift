// FleetBench: what a fleet costs its server. The records are made beforehand; the nodes are this process, on one loop, each
// with its own link; they only pretend to listen, because 20,000 listening sockets are more than one process may have.
import FoundationEssentials
import Fleet
import Glibc
import HTTP
import Reactor
import Records
import TLS
import Tunnel

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
        let credentials = try timed("records made: \(nodes) nodes, \(nodes * Self.mappingsEach) mappings") {
            () throws(BenchError) in try makeRecords(in: data)
        }
        let server = try timed("server started, all records loaded") { () throws(BenchError) in
            let server = try Program.start(
                "goproxy-server", path: folder.file("goproxy-server"),
                arguments: ["-host", "127.0.0.1", "-port", "0", "-data", data, "-drain", "1s"],
                echoLog: options.verbose)
            _ = try server.await("control-listening")
            return server
        }
        let port = try server.await("server-listening")["address"]?.split(separator: ":").last.flatMap {
            UInt16($0)
        }
        let client = HTTPClient.unix("\(data)/\(ManagedServer.socketName)")
        for _ in 0..<3 {
            _ = try timed("node list over the control socket") { () throws(BenchError) in
                try get(client, ["v1", "nodes"])
            }
        }
        let before = residentBytes(of: server.pid) / 1024
        let fleet = try NodeFleet(credentials, port: port ?? 0)
        try timed("all nodes connected") { () throws(BenchError) in
            try Deadline(seconds: 120).wait("fleet", "not all nodes connected") { fleet.connected == nodes }
        }
        try timed("all \(nodes * Self.mappingsEach) mappings active") { () throws(BenchError) in
            try Deadline(seconds: 120).wait("fleet", "not all mappings became active") {
                () throws(BenchError) in
                let answer = try get(client, ["v1", "status"])
                return String(decoding: answer, as: UTF8.self).contains(
                    "\"active\":\(nodes * Self.mappingsEach)")
            }
        }
        let after = residentBytes(of: server.pid) / 1024
        show(
            "server memory, KiB: before \(before), with all nodes \(after), each",
            Double(after - before) / Double(nodes), "KiB")
        let cpu = cpuNanoseconds(of: server.pid)
        pass(seconds: 5)
        show(
            "server CPU while all are idle", Double(cpuNanoseconds(of: server.pid) - cpu) / 5e9 * 100,
            "% of a core")
        try pushes(client)
        fleet.end()
    }

    /// The time from the request for a change to the node's answer, through records, plan, link and report.
    private func pushes(_ client: HTTPClient) throws(BenchError) {
        var times: [Double] = []
        for change in 0..<Self.changes {
            let id = "\(1 + change * nodes / Self.changes * Self.mappingsEach)"
            let start = monotonicNanoseconds()
            let body = Array(#"{"forward":{"domain":"tcp","addr":"127.0.0.1:\#(1_000 + change)"}}"#.utf8)
            let mapping = try send(client, "PATCH", ["v1", "mappings", id], body: body)
            guard let wanted = number("desiredRevision", in: mapping) else {
                throw BenchError(
                    subject: "push", failed: "no revision", why: String(decoding: mapping, as: UTF8.self))
            }
            _ = try send(
                client, "GET", ["v1", "mappings", id, "wait"],
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

    private func get(_ client: HTTPClient, _ path: [String]) throws(BenchError) -> [UInt8] {
        try send(client, "GET", path)
    }

    private func send(
        _ client: HTTPClient, _ method: String, _ path: [String], query: [(String, String)] = [],
        body: [UInt8]? = nil
    ) throws(BenchError) -> [UInt8] {
        let status: (Int, String)
        do throws(HTTPError) {
            let answer = try client.send(method, path, query: query, body: body)
            guard answer.status >= 300 else { return answer.body }
            status = (answer.status, String(decoding: answer.body, as: UTF8.self))
        } catch {
            throw BenchError(subject: path.joined(separator: "/"), failed: "no answer", why: "\(error)")
        }
        throw BenchError(
            subject: path.joined(separator: "/"), failed: "status \(status.0)", why: status.1)
    }

    // MARK: Records

    private func makeRecords(in path: String) throws(BenchError) -> [Credential] {
        do {
            let directory = try DataDirectory(path)
            let seal = try directory.sealingKey()
            let store = try Store.open(directory: path)
            defer { store.close() }
            let credentials = (0..<nodes).map { _ in Credential.random() }
            for start in stride(from: 0, to: nodes, by: 100) {
                let part = credentials[start..<min(start + 100, nodes)]
                try store.write(actor: .server) { (transaction) throws(RecordsError) in
                    for (number, credential) in zip(part.indices, part) {
                        try Self.add(number, credential, seal, to: &transaction)
                    }
                }
            }
            return credentials
        } catch {
            throw BenchError(subject: "records", failed: "not made", why: "\(error)")
        }
    }

    private static func add(
        _ number: Int, _ credential: Credential, _ seal: SealingKey, to transaction: inout Transaction
    ) throws(RecordsError) {
        let node = try transaction.addNode(
            name: "node-\(number)",
            credential: NewCredentialRecord(
                identity: credential.id, publicKey: SigningKey(seed: credential.signingSeed).publicKey,
                sealedPSK: seal.seal(credential.psk, context: credential.id)))
        for mapping in 0..<mappingsEach {
            _ = try transaction.addMapping(
                node.id,
                NewMapping(
                    kind: .peerListener, listen: Place(addr: "127.0.0.1:\(20_000 + mapping)"),
                    forward: Place(addr: "127.0.0.1:9")))
        }
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

    private func show(_ what: String, _ value: Double, _ unit: String) {
        let number = String(Int((value * 10).rounded()))
        let text = number.count < 2 ? "0.\(number)" : "\(number.dropLast()).\(number.suffix(1))"
        let pad = String(repeating: " ", count: max(1, 64 - what.count))
        print("\(what)\(pad)\(text) \(unit)")
    }
}
