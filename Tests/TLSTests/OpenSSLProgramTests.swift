import TLS
import Testing

/// Against the real openssl program, over a real socket.
@Suite struct OpenSSLProgramTests {
    private let hexKey = psk.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    private let name = String(decoding: identity, as: UTF8.self)

    private func client(_ port: UInt16, _ more: [String]) throws -> Program {
        try Program(["openssl", "s_client", "-connect", "127.0.0.1:\(port)", "-nocommands"] + more)
    }

    private func acceptedPort(_ server: Program) -> UInt16? {
        server.printed { text in
            text.split(separator: "\n").first { $0.hasPrefix("ACCEPT ") && $0.contains(":") }
                .flatMap { UInt16($0.split(separator: ":").last ?? "") }
        }
    }

    @Test func `s_client with the key talks to our server`() throws {
        let door = try Door()
        let program = try client(
            door.port, ["-tls1_3", "-psk", hexKey, "-psk_identity", name, "-quiet", "-no_ign_eof"])
        let wire = try door.accept()
        let server = try End.server()
        wire.carry(server) { server.isEstablished }
        #expect(server.engine.peerIdentity == identity)
        program.type("hello from afar\n")
        wire.carry(server) { server.received.count >= 16 }
        #expect(server.received == Array("hello from afar\n".utf8))
        #expect(server.write(Array("hello back\n".utf8)) == nil)
        wire.carry(server) { server.engine.output.isEmpty }
        #expect(program.printed { $0.contains("hello back") ? true : nil } == true)
    }

    @Test(arguments: [
        (["-tls1_3"], TLSFailure.Kind.wrongCredential),
        (["-tls1_2"], .wrongVersion),
        (["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"], .noSharedCipher),
        (
            ["-tls1_3", "-psk", String(repeating: "ab", count: 32), "-psk_identity", "a node's 16 byte"],
            .wrongCredential
        ),
        (
            ["-tls1_3", "-psk", String(repeating: "ab", count: 32), "-psk_identity", "nobody"],
            .unknownCredential
        ),
    ])
    func `s_client without the right credential is refused`(arguments: [String], kind: TLSFailure.Kind) throws
    {
        let door = try Door()
        let program = try client(door.port, arguments)
        let server = try End.server()
        do {
            let wire = try door.accept()
            wire.carry(server) { false }
        }
        #expect(server.failure?.kind == kind)
        #expect(program.outcome().contains("alert"))
    }

    @Test func `our client talks to s_server with the key`() throws {
        let program = try Program([
            "openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-nocert", "-psk", hexKey,
            "-psk_identity", name, "-rev",
        ])
        let port = try #require(acceptedPort(program))
        let wire = try Wire(connectedTo: port)
        let client = try End.client()
        wire.carry(client) { client.isEstablished }
        #expect(client.write(Array("abc\n".utf8)) == nil)
        wire.carry(client) { client.received.count >= 4 }
        #expect(client.received == Array("cba\n".utf8))
    }

    @Test func `s_server with a certificate and no key is refused`() throws {
        let files = try CertificateFiles()
        let program = try Program([
            "openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-cert", files.certificate, "-key",
            files.key,
        ])
        let port = try #require(acceptedPort(program))
        let wire = try Wire(connectedTo: port)
        let client = try End.client()
        wire.carry(client) { false }
        #expect(client.failure?.kind == .certificateInsteadOfPSK)
    }
}
