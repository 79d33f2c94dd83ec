// FleetServer: a server started with the records of a fleet that were made beforehand.
import FoundationEssentials
import Fleet
import Glibc
import HTTP
import Records
import TLS

/// The records of a fleet: nodes, each with as many mappings.
struct FleetRecords: Sendable {
    let nodes: Int
    let mappingsEach: Int
    let kind: MappingKind
    /// The address of a node's n-th mapping.
    let listen: @Sendable (Int) -> String
    let forward: String

    func make(in path: String) throws(BenchError) -> [Credential] {
        do {
            let directory = try DataDirectory(path)
            // A database with nodes is not served without either key.
            _ = try directory.serverKey()
            let seal = try directory.sealingKey()
            let store = try Store.open(directory: path)
            defer { store.close() }
            let credentials = (0..<nodes).map { _ in Credential.random() }
            for start in stride(from: 0, to: nodes, by: 100) {
                let part = credentials[start..<min(start + 100, nodes)]
                try store.write(actor: .server) { (transaction) throws(RecordsError) in
                    for (number, credential) in zip(part.indices, part) {
                        try add(number, credential, seal, to: &transaction)
                    }
                }
            }
            return credentials
        } catch {
            throw BenchError(subject: "records", failed: "not made", why: "\(error)")
        }
    }

    private func add(
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
                NewMapping(kind: kind, listen: Place(addr: listen(mapping)), forward: Place(addr: forward)))
        }
    }
}

struct FleetServer {
    let program: Program
    let port: UInt16
    private let client: HTTPClient

    static func start(
        from folder: ProgramFolder, data: String, echoLog: Bool
    ) throws(BenchError) -> FleetServer {
        let program = try Program.start(
            "goproxy-server", path: folder.file("goproxy-server"),
            arguments: ["-host", "127.0.0.1", "-port", "0", "-data", data, "-drain", "1s"], echoLog: echoLog)
        _ = try program.await("control-listening")
        let address = try program.await("server-listening")["address"]
        guard let port = address?.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            throw program.failed("reported no port")
        }
        return FleetServer(
            program: program, port: port, client: .unix("\(data)/\(ManagedServer.socketName)"))
    }

    /// The ports of all listeners that are active.
    func boundPorts() throws(BenchError) -> [UInt16] {
        struct Mapping: Decodable { let boundAddress: String? }
        let answer = try get(["v1", "mappings"])
        do {
            return try JSONDecoder().decode([Mapping].self, from: Data(answer)).compactMap { mapping in
                mapping.boundAddress?.split(separator: ":").last.flatMap { UInt16($0) }
            }
        } catch {
            throw BenchError(subject: "v1/mappings", failed: "not understood", why: "\(error)")
        }
    }

    func get(_ path: [String]) throws(BenchError) -> [UInt8] { try send("GET", path) }

    func send(
        _ method: String, _ path: [String], query: [(String, String)] = [], body: [UInt8]? = nil
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
}
