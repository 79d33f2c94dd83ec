import Foundation
import Support
import Testing

/// What a node meets instead of its server: it says what is wrong, stays, and tries again.
@Suite(.light)
struct WrongServerTests {
    @Test(arguments: [
        ("shows a certificate and knows no PSK", ["-tls1_3"], true),
        (
            "shows a certificate and has a PSK of its own",
            ["-tls1_3", "-psk", "00112233", "-psk_identity", "x"], true
        ),
        ("has only another PSK", ["-tls1_3", "-nocert", "-psk", "00112233", "-psk_identity", "x"], false),
        ("speaks TLS 1.2", ["-tls1_2"], true),
    ])
    func `a server that does not know the uuid is refused`(what: String, flags: [String], certificate: Bool)
        throws
    {
        let directory = try TemporaryDirectory()
        let key = [
            "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            directory.file("key"),
        ]
        _ = try run(
            Tool.openssl,
            ["req", "-x509", "-subj", "/CN=goproxy", "-days", "1", "-out", directory.file("cert")] + key
        ).succeeded()
        let identity = certificate ? ["-cert", directory.file("cert"), "-key", directory.file("key")] : []
        let impostor = try Program(
            Tool.openssl, ["s_server", "-accept", "127.0.0.1:0"] + flags + identity, keepInputOpen: true)
        let accepting = try impostor.waitForOutput("ACCEPT 127.0.0.1:")
        let port = try #require(Int(accepting.split(separator: ":").last ?? ""))

        let node = try startNode(directory, port: port)
        let line = try node.waitForLog("handshake-failed")
        #expect(line.level == "warn" && line["address"] == "127.0.0.1:\(port)", "\(line)")
        #expect(line["reason"].count > 5, "\(line)")
        // It tries again, and again gets nowhere.
        try node.waitForLog("handshake-failed", after: node.mark, within: .seconds(30))
        #expect(node.logged("link-up").isEmpty, "\(what)\n\(node.transcript)\n\(impostor.transcript)")
        #expect(node.isRunning)
    }

    enum Stranger: CaseIterable, Sendable { case ssh, closesAtOnce, resets, saysNothing, random }

    @Test(arguments: Stranger.allCases)
    func `a server that is not one at all is refused`(stranger: Stranger) throws {
        let server = try TargetServer { socket in
            switch stranger {
            case .ssh:
                try socket.send("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
                _ = socket.end()
            case .closesAtOnce: break
            case .resets: socket.reset()
            case .saysNothing: _ = socket.end(within: .seconds(25))
            case .random:
                try socket.send(Content(seed: runSeed), 0..<100_000)
                _ = socket.end()
            }
        }
        let directory = try TemporaryDirectory()
        let node = try startNode(directory, port: server.endpoint.port)
        let line = try node.waitForLog("handshake-failed", within: .seconds(20))
        #expect(!line["reason"].isEmpty, "\(line)")
        #expect(node.isRunning && node.logged("link-up").isEmpty)
    }

    @Test func `a generated uuid pins the server's key`() throws {
        let directory = try TemporaryDirectory()
        let uuid = try run(
            "\(Program.buildDirectory)/goproxy-server", ["-new-uuid", "-data", directory.file("ours")]
        ).succeeded()
        #expect(uuid.count == 1 && uuid[0].hasPrefix("gp1_"), "\(uuid)")
        try directory.write("uuid", uuid[0])

        // Right key: up. The same uuid in the hands of a server with another key: not.
        for (data, isRight) in [("ours", true), ("another", false)] {
            let server = try Program.goproxy(
                "goproxy-server",
                [
                    "-host", "127.0.0.1", "-port", "0", "-uuid-file", directory.file("uuid"),
                    "-data", directory.file(data),
                ])
            if isRight {
                let port = Endpoint.tcp(try server.waitForLog("server-listening")["address"]).port
                let node = try startNode(directory, port: port, uuid: uuid[0])
                try node.waitForLog("link-up")
                try server.waitForLog("link-up")
            } else if let line = try? server.waitForLog("server-listening") {
                let node = try startNode(directory, port: Endpoint.tcp(line["address"]).port, uuid: uuid[0])
                let failed = try node.waitForLog("handshake-failed")
                #expect(!failed["reason"].isEmpty, "\(failed)")
                #expect(node.logged("link-up").isEmpty)
            } else {
                #expect(try server.waitForExit() == .exit(1), "\(server.transcript)")
            }
        }
    }

    private func startNode(_ directory: TemporaryDirectory, port: Int, uuid: String? = nil) throws -> Program
    {
        try directory.write("uuid", uuid ?? UUID().uuidString)
        return try Program.goproxy(
            "goproxy-node", ["-port", "\(port)", "-uuid-file", directory.file("uuid")])
    }
}
