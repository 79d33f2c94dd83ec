import COpenSSL
import Testing

import TLS

@Suite struct KeyUpdateTests {
    @Test func `keys are renewed while data flows both ways`() throws {
        let (client, server) = try pair()
        client.engine.recordsPerKey = 3
        server.engine.recordsPerKey = 5
        var renewed = 0
        // Below the 16 a minute that a peer may do.
        for round in UInt8(0)..<40 {
            for (from, to) in [(client, server), (server, client)] {
                #expect(from.write([round, 1, 2]) == nil)
                let bytes = from.takeOutput()
                // A KeyUpdate is a record of 5 + 5 + 1 + 16 bytes before the data's 5 + 3 + 1 + 16.
                if bytes.count == 27 + 25 { renewed += 1 }
                to.give(bytes)
                #expect(to.takeReceived() == [round, 1, 2])
            }
        }
        #expect(renewed == 13 + 7)
    }

    @Test func `a key of an hour is renewed with the next record`() throws {
        let (client, server) = try pair()
        let hour: UInt64 = 3_600_000_000_000
        for (time, renews) in [(UInt64(5), false), (hour, false), (hour + 5, true), (hour + 6, false)] {
            client.engine.tick(nowNanoseconds: time)
            #expect(client.engine.output.isEmpty)
            #expect(client.write([1]) == nil)
            let bytes = client.takeOutput()
            #expect((bytes.count > 23) == renews)
            server.give(bytes)
        }
        #expect(server.received == [1, 1, 1, 1])
    }

    @Test func `seventeen key updates in a minute end the link`() throws {
        let client = ForeignPeer(isClient: true)
        let server = try End.server()
        client.shake(with: server)
        server.engine.tick(nowNanoseconds: 1)
        for count in 1...17 {
            SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED)
            client.handshake()
            server.give(client.takeOutput())
            #expect((server.failure?.kind == .keyUpdateFlood) == (count == 17))
        }
    }

    @Test func `a flood in one piece stops at the seventeenth`() throws {
        let client = ForeignPeer(isClient: true)
        let server = try End.server()
        client.shake(with: server)
        var flood = [UInt8]()
        for _ in 0..<5_000 {
            SSL_key_update(client.ssl, SSL_KEY_UPDATE_NOT_REQUESTED)
            client.handshake()
            flood += client.takeOutput()
        }
        client.write([1])
        server.give(flood + client.takeOutput())
        #expect(server.failure?.kind == .keyUpdateFlood)
        #expect(server.received == [])
        #expect(server.engine.keyUpdatesInWindow == 17)
    }

    @Test func `sixteen key updates each minute are fine, and each request is answered`() throws {
        let client = ForeignPeer(isClient: true)
        let server = try End.server()
        client.shake(with: server)
        for minute in UInt64(0)..<10 {
            server.engine.tick(nowNanoseconds: minute * 60_000_000_000)
            for _ in 0..<16 {
                SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED)
                client.write([UInt8(minute)])
                server.give(client.takeOutput())
            }
            #expect(server.failure == nil)
            #expect(server.takeReceived() == [UInt8](repeating: UInt8(minute), count: 16))
            // Answered each time: the limit bounds what a peer can make us send, too.
            #expect(server.write([7]) == nil)
            let bytes = server.takeOutput()
            #expect(bytes.count == 16 * 27 + 23)
            client.give(bytes)
            #expect(client.read() == [7])
        }
    }

    @Test func `half a key update keeps nobody from writing`() throws {
        let client = ForeignPeer(isClient: true)
        let server = try End.server()
        client.shake(with: server)
        SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED)
        client.write([5])
        for byte in client.takeOutput() {
            server.give([byte])
            #expect(server.write([6]) == nil)
        }
        #expect(server.received == [5])
        client.give(server.takeOutput())
        #expect(client.read().count == 50)
    }
}
