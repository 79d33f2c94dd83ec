import Buffers
import COpenSSL
import Testing

import TLS

@Suite struct WrongPeerTests {
    /// What the server answers to a client, and how it fails.
    private func answer(to client: End, _ server: End) -> [UInt8] {
        client.run()
        server.give(client.takeOutput())
        return server.takeOutput()
    }

    @Test func `every wrong credential gets the same alert`() throws {
        var wrongKey = psk
        wrongKey[31] ^= 1
        let clients = try [
            End.client(psk: wrongKey), End.client(identity: Array("nobody".utf8)),
            End.client(identity: [0]), End.client(identity: identity + [0]),
            End.client(identity: [UInt8](repeating: 1, count: 500), psk: wrongKey),
        ]
        var alerts = Set<[UInt8]>()
        for (place, client) in clients.enumerated() {
            let server = try End.server()
            let alert = answer(to: client, server)
            alerts.insert(alert)
            // Known here alone; the alert does not tell.
            #expect(server.failure?.kind == (place == 0 ? .wrongCredential : .unknownCredential))
            #expect(server.engine.peerIdentity == nil)
            client.give(alert)
            #expect(client.failure?.kind == .wrongCredential)
        }
        #expect(alerts.count == 1)
        #expect(alerts.first?.count == 7)
        #expect(alerts.first?.first == 0x15)
    }

    @Test func `the log can tell an unknown credential from a wrong key`() throws {
        let unknown = try End.server([:])
        _ = answer(to: try End.client(), unknown)
        #expect(unknown.failure?.description == "unknown credential")
        let known = try End.server()
        _ = answer(to: try End.client(psk: [UInt8](repeating: 0, count: 32)), known)
        #expect(known.failure?.description == "wrong key for a known credential")
    }

    @Test func `a foreign client with the key is served, and gets no ticket`() throws {
        let client = ForeignPeer(isClient: true)
        let server = try End.server()
        client.shake(with: server)
        #expect(server.isEstablished)
        client.write([1, 2, 3])
        server.give(client.takeOutput())
        #expect(server.received == [1, 2, 3])
        #expect(server.write([4]) == nil)
        client.give(server.takeOutput())
        #expect(client.read() == [4])
        #expect(client.ticketsSeen == 0)
    }

    @Test func `a hello whose key share is of another group is asked for again`() throws {
        // P-384 first, so that the server sends a HelloRetryRequest and asks the lookup twice.
        let client = ForeignPeer(isClient: true) {
            SSL_CTX_ctrl($0, SSL_CTRL_SET_GROUPS_LIST, 0, cString("P-384:X25519"))
        }
        let server = try End.server()
        client.shake(with: server)
        #expect(server.isEstablished)
        #expect(server.engine.peerIdentity == identity)
    }

    @Test func `our client answers a request for another key share`() throws {
        let server = ForeignPeer(isClient: false) {
            SSL_CTX_ctrl($0, SSL_CTRL_SET_GROUPS_LIST, 0, cString("P-256"))
        }
        let client = try End.client()
        client.run()
        server.shake(with: client)
        #expect(client.isEstablished)
    }

    @Test func `other versions are refused`() throws {
        for version in [TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION] {
            let client = ForeignPeer(isClient: true) {
                SSL_CTX_set_security_level($0, 0)
                SSL_CTX_ctrl($0, SSL_CTRL_SET_MIN_PROTO_VERSION, Int(version), nil)
                SSL_CTX_ctrl($0, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(version), nil)
            }
            let server = try End.server()
            client.shake(with: server)
            #expect(server.failure?.kind == .wrongVersion)
        }
        let certificate = try CertificateFiles()
        let server = ForeignPeer(isClient: false) {
            SSL_CTX_use_certificate_file($0, certificate.certificate, SSL_FILETYPE_PEM)
            SSL_CTX_use_PrivateKey_file($0, certificate.key, SSL_FILETYPE_PEM)
            SSL_CTX_ctrl($0, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(TLS1_2_VERSION), nil)
        }
        let client = try End.client()
        client.run()
        server.shake(with: client)
        #expect(client.failure?.kind == .wrongVersion)
    }

    @Test(arguments: ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
    func `other ciphers are refused, whoever insists on them`(cipher: String) throws {
        let client = ForeignPeer(isClient: true) { SSL_CTX_set_ciphersuites($0, cipher) }
        if cipher.hasSuffix("384") { client.psk = psk + psk[..<16] }
        let server = try End.server()
        client.shake(with: server)
        #expect(server.failure?.kind == .noSharedCipher)

        let foreignServer = ForeignPeer(isClient: false) { SSL_CTX_set_ciphersuites($0, cipher) }
        let ourClient = try End.client()
        ourClient.run()
        foreignServer.shake(with: ourClient)
        #expect(ourClient.failure?.kind == .noSharedCipher)
    }

    @Test func `a client without a key is refused`() throws {
        let client = ForeignPeer(isClient: true)
        client.psk = nil
        let server = try End.server()
        client.shake(with: server)
        #expect(server.failure?.kind == .wrongCredential)
        #expect(server.failure?.description == "the peer offers no credential")
    }

    @Test func `keys are exchanged even with a client that could do without`() throws {
        let client = ForeignPeer(isClient: true) {
            SSL_CTX_set_options($0, goproxy_SSL_OP_ALLOW_NO_DHE_KEX)
        }
        let server = try End.server()
        client.shake(with: server)
        #expect(server.isEstablished)
        #expect(SSL_ctrl(client.ssl, SSL_CTRL_GET_NEGOTIATED_GROUP, 0, nil) == NID_X25519)
    }

    @Test func `a server with a certificate in place of the key is refused`() throws {
        let certificate = try CertificateFiles()
        func impostor() -> ForeignPeer {
            let server = ForeignPeer(isClient: false) {
                SSL_CTX_use_certificate_file($0, certificate.certificate, SSL_FILETYPE_PEM)
                SSL_CTX_use_PrivateKey_file($0, certificate.key, SSL_FILETYPE_PEM)
            }
            server.psk = nil
            return server
        }
        let client = try End.client()
        client.run()
        impostor().shake(with: client)
        #expect(client.failure?.kind == .certificateInsteadOfPSK)

        // The second lock: with the verification of certificates broken, the unused key is still noticed.
        let context = try TLSContext.client(identity: identity, psk: psk)
        SSL_CTX_set_verify(context.handle, SSL_VERIFY_NONE, nil)
        let careless = try End(context)
        careless.run()
        impostor().shake(with: careless)
        #expect(careless.failure?.kind == .certificateInsteadOfPSK)
        #expect(!careless.isEstablished)
    }

    @Test func `a server that takes the identity but has another key is refused`() throws {
        // It cannot check the binder, so it would have to skip that check; a man in the middle of ours can.
        let server = ForeignPeer(isClient: false)
        server.psk = [UInt8](repeating: 9, count: 32)
        let client = try End.client()
        client.run()
        server.shake(with: client)
        #expect(client.failure?.kind == .wrongCredential)
    }

    @Test func `bytes that are not TLS are named so`() throws {
        let strangers = [
            Array("GET / HTTP/1.1\r\nHost: example\r\n\r\n".utf8), Array("CONNECT a:1 HTTP/1.1\r\n\r\n".utf8),
            Array("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".utf8), [UInt8](repeating: 0, count: 64),
            [UInt8](repeating: 0xff, count: 64),
            Array("\u{16}\u{03}".utf8) + [UInt8](repeating: 0xff, count: 40_000),
            [0x16, 0x03, 0x01, 0x00, 0x04, 0x63, 0, 0, 0],
        ]
        for bytes in strangers {
            let server = try End.server()
            server.give(bytes)
            #expect(server.failure?.kind == .notTLS, "\(bytes.prefix(8))")
            let client = try End.client()
            client.run()
            client.give(bytes)
            #expect(client.failure?.kind == .notTLS, "\(bytes.prefix(8))")
        }
    }

    @Test func `random bytes end in a failure or wait for more, and never in a link`() throws {
        for round in 0..<500 {
            let server = try End.server()
            var bytes = randomBytes(Int.random(in: 1...2_000))
            if round % 2 == 0 { bytes = [0x16, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3] + bytes }
            server.give(bytes) { Int.random(in: 1...50) }
            #expect(!server.isEstablished)
            #expect(server.engine.endOfInput() != nil)
        }
    }

    @Test func `a hello with one byte changed never makes a link`() throws {
        let client = try End.client()
        client.run()
        let hello = client.takeOutput()
        for position in hello.indices {
            let server = try End.server()
            var changed = hello
            changed[position] ^= UInt8.random(in: 1...255)
            server.give(changed)
            #expect(!server.isEstablished)
            // Either refused, or the server believes that more is to come. The record's legacy minor version is
            // the one byte that the key does not cover; it means nothing (RFC 8446, 5.1).
            #expect(position == 2 || server.failure != nil || server.engine.output.isEmpty, "\(position)")
        }
    }

    @Test func `the settings are the recipe, whatever openssl.cnf says`() throws {
        for context in [
            try TLSContext.server { _ in nil }, try TLSContext.client(identity: identity, psk: psk),
        ] {
            let handle = context.handle
            let options = SSL_CTX_get_options(handle)
            let wanted = [
                goproxy_SSL_OP_NO_TICKET, goproxy_SSL_OP_NO_COMPRESSION, goproxy_SSL_OP_NO_RENEGOTIATION,
            ]
            #expect(wanted.allSatisfy { options & $0 != 0 })
            #expect(options & (goproxy_SSL_OP_ALLOW_NO_DHE_KEX | goproxy_SSL_OP_IGNORE_UNEXPECTED_EOF) == 0)
            #expect(SSL_CTX_get_num_tickets(handle) == 0)
            #expect(SSL_CTX_get_max_early_data(handle) == 0 && SSL_CTX_get_recv_max_early_data(handle) == 0)
            #expect(goproxy_SSL_CTX_get_session_cache_mode(handle) == 0)
            #expect(SSL_CTX_get_verify_mode(handle) == (context.isClient ? SSL_VERIFY_PEER : SSL_VERIFY_NONE))
            let mode = goproxy_SSL_CTX_get_mode(handle)
            #expect(mode & Int(SSL_MODE_RELEASE_BUFFERS) != 0)
        }
    }
}

/// A constant text as `SSL_CTX_ctrl` takes it; never freed.
private func cString(_ text: StaticString) -> UnsafeMutableRawPointer {
    UnsafeMutableRawPointer(mutating: text.utf8Start)
}
