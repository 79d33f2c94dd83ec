// TunnelPair: a goproxy-server and a goproxy-node joined on loopback, with one listener and one peer listener
// that both lead to the origin.
import FoundationEssentials
import Glibc

/// Where the two programs are.
struct ProgramFolder {
    let path: String

    /// `-bin`, or the folder of this executable, where one build puts all programs.
    init(_ given: String?) throws(BenchError) {
        if let given { path = given } else { path = try Self.ownFolder() }
        for name in ["goproxy-server", "goproxy-node"] where access(file(name), X_OK) != 0 {
            throw BenchError(
                subject: file(name), failed: "cannot run it (\(String(cString: strerror(errno))))",
                why: "build the programs with: swift build -c release")
        }
    }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    private static func ownFolder() throws(BenchError) -> String {
        var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = bytes.withUnsafeMutableBytes { buffer in
            readlink("/proc/self/exe", buffer.baseAddress!.assumingMemoryBound(to: CChar.self), buffer.count)
        }
        guard count > 0 else { throw .system("/proc/self/exe", "cannot read") }
        let path = String(decoding: bytes[..<count], as: UTF8.self)
        return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    }
}

/// A private folder under $TMPDIR or /tmp that goes away with its owner, and with the process.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws(BenchError) {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/goproxy-bench.XXXXXX".utf8CString)
        guard template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) != nil else {
            throw .system(parent, "cannot make a folder")
        }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { remove() }

    func remove() {
        try? FileManager.default.removeItem(atPath: path)
    }
}

struct TunnelPair {
    let server: Program
    let node: Program
    /// Where clients connect: the server's listener and the node's.
    let listenerPort: UInt16
    let peerListenerPort: UInt16

    var tunnel: TunnelProcesses { TunnelProcesses(programs: [server, node]) }

    /// Starts both programs and waits until bytes can pass in both directions.
    static func start(
        from folder: ProgramFolder, in temporary: TemporaryFolder, origin: Origin, serverFlags: [String] = [],
        echoLog: Bool
    ) throws(BenchError) -> TunnelPair {
        // Of this pair alone: two may run side by side.
        let place = "\(temporary.path)/\(monotonicNanoseconds())"
        mkdir(place, 0o700)
        let credential = "\(place)/uuid"
        let data = "\(place)/data"
        try writePrivate(UUID().uuidString.lowercased() + "\n", to: credential)
        mkdir(data, 0o700)
        let mapping = """
            {"Listen":{"Domain":"tcp","Addr":"127.0.0.1:0"},\
            "Forward":{"Domain":"tcp","Addr":"127.0.0.1:\(origin.port)"}}
            """
        let common = ["-uuid-file", credential, "-drain", "1s"]
        let server = try Program.start(
            "goproxy-server", path: folder.file("goproxy-server"),
            arguments: [
                "-host", "127.0.0.1", "-port", "0", "-data", data, "-listener", mapping, "-peer_listener",
                mapping,
            ]
                + common + serverFlags, echoLog: echoLog)
        let main = try port("address", of: server.await("server-listening"), server)
        let node = try Program.start(
            "goproxy-node", path: folder.file("goproxy-node"),
            arguments: ["-host", "127.0.0.1", "-port", "\(main)"]
                + common, echoLog: echoLog)
        _ = try node.await("link-up")
        let own = try port("bound", of: server.await("listener-active", ["kind": "listener"]), server)
        let peer = try port("bound", of: server.await("listener-active", ["kind": "peer-listener"]), server)
        let pair = TunnelPair(server: server, node: node, listenerPort: own, peerListenerPort: peer)
        for entry in [own, peer] { try EchoConnection(to: entry).exchange(0) }
        return pair
    }

    func end() { tunnel.end() }

    private static func port(
        _ field: String, of fields: [String: String], _ program: Program
    ) throws(BenchError) -> UInt16 {
        guard let text = fields[field]?.split(separator: ":").last, let port = UInt16(text) else {
            throw program.failed("reported no port in \(field)=\(fields[field] ?? "")")
        }
        return port
    }
}
