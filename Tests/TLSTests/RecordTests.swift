import COpenSSL
import Ciphers
import Support
import TLS
import Testing

/// Records as no peer of ours makes them, under the right keys: OpenSSL shakes hands, then we speak in its place.
@Suite struct RecordTests {
    @Test func `records made by the book are taken`() throws {
        let (server, forger) = try serverAndForger()
        server.give(forger.record([1, 2, 3]))
        server.give(forger.record([4]) + forger.record([UInt8](repeating: 5, count: 16_384)))
        #expect(server.received == [1, 2, 3, 4] + [UInt8](repeating: 5, count: 16_384))
        #expect(server.failure == nil)
    }

    @Test func `what is kept of an input is read when its memory has gone, before what is fed next`() throws {
        let (server, forger) = try serverAndForger()
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
        defer { memory.deallocate() }
        let plain = UnsafeMutableRawBufferPointer.allocate(byteCount: 16_384, alignment: 16)
        defer { plain.deallocate() }
        func read() -> [UInt8]? {
            guard case .bytes(let count) = server.engine.read(into: plain) else { return nil }
            return [UInt8](plain[..<count])
        }
        var first = forger.record([1]) + forger.record([2]) + forger.record([3])
        let last = forger.record([4, 5, 6])
        first += last.prefix(9)
        memory.copyBytes(from: first)
        server.engine.feed(UnsafeRawBufferPointer(rebasing: memory[..<first.count]))
        #expect(read() == [1])
        for expected in [[UInt8(2)], [3]] {
            #expect(server.engine.keepInput())
            memory.initializeMemory(as: UInt8.self, repeating: 0xff)
            #expect(read() == expected)
        }
        // A record that was begun is no input that is left once it has been looked at.
        #expect(read() == nil && !server.engine.keepInput())
        memory.copyBytes(from: last.dropFirst(9))
        server.engine.feed(UnsafeRawBufferPointer(rebasing: memory[..<(last.count - 9)]))
        #expect(read() == [4, 5, 6])
        #expect(read() == nil && !server.engine.keepInput())
    }

    @Test(arguments: [1, 100, 16_000])
    func `what fills a record up is taken off`(zeros: Int) throws {
        let (server, forger) = try serverAndForger()
        server.give(forger.record([0, 7, 0, 0], padding: zeros))
        #expect(server.received == [0, 7, 0, 0])
        #expect(server.failure == nil)
    }

    @Test func `OpenSSL's own padding is taken off`() throws {
        let client = ForeignPeer(isClient: true) { SSL_CTX_set_block_padding($0, 512) }
        let server = try End.server()
        client.shake(with: server)
        client.write([9, 9, 9])
        let record = client.takeOutput()
        #expect(record.count > 512)
        server.give(record)
        #expect(server.received == [9, 9, 9])
    }

    /// What each ends with, and the alert that the peer gets.
    static let breaches: [(what: String, alert: Int32, make: @Sendable (Forger) -> [UInt8])] = [
        ("an unknown content", SSL_AD_UNEXPECTED_MESSAGE, { $0.record([1], content: 99) }),
        ("heartbeat", SSL_AD_UNEXPECTED_MESSAGE, { $0.record([1], content: 24) }),
        ("change_cipher_spec inside", SSL_AD_UNEXPECTED_MESSAGE, { $0.record([1], content: 20) }),
        ("nothing but zeros", SSL_AD_UNEXPECTED_MESSAGE, { $0.record([], content: 0, padding: 500) }),
        ("change_cipher_spec outside", SSL_AD_UNEXPECTED_MESSAGE, { _ in [20, 3, 3, 0, 1, 1] }),
        ("an alert outside", SSL_AD_UNEXPECTED_MESSAGE, { _ in [21, 3, 3, 0, 2, 1, 0] }),
        ("a record too long by one", SSL_AD_RECORD_OVERFLOW, { _ in [23, 3, 3, 0x40, 0x12] }),
        ("the longest length", SSL_AD_RECORD_OVERFLOW, { _ in [23, 3, 3, 0xff, 0xff] }),
        ("no room for the content", SSL_AD_DECODE_ERROR, { _ in [23, 3, 3, 0, 16] }),
        ("no bytes at all", SSL_AD_DECODE_ERROR, { _ in [23, 3, 3, 0, 0] }),
        ("an empty alert", SSL_AD_UNEXPECTED_MESSAGE, { $0.record([], content: 21) }),
        ("one byte of an alert", SSL_AD_DECODE_ERROR, { $0.record([1], content: 21) }),
        ("three bytes of an alert", SSL_AD_DECODE_ERROR, { $0.record([1, 0, 0], content: 21) }),
        ("an empty message", SSL_AD_UNEXPECTED_MESSAGE, { $0.record([], content: 22) }),
        ("half a key update", SSL_AD_UNEXPECTED_MESSAGE, { $0.record([24, 0, 0], content: 22) }),
        ("a key update of 2", SSL_AD_ILLEGAL_PARAMETER, { $0.record([24, 0, 0, 1, 2], content: 22) }),
        ("a long key update", SSL_AD_UNEXPECTED_MESSAGE, { $0.record([24, 0, 0, 2, 0, 0], content: 22) }),
        (
            "two key updates in one", SSL_AD_UNEXPECTED_MESSAGE,
            { $0.record([24, 0, 0, 1, 0, 24, 0, 0, 1, 0], content: 22) }
        ),
        ("a hello", SSL_AD_UNEXPECTED_MESSAGE, { $0.record([1, 0, 0, 1, 0], content: 22) }),
        ("a ticket for the server", SSL_AD_UNEXPECTED_MESSAGE, { $0.record([4, 0, 0, 0], content: 22) }),
        (
            "a record left out", SSL_AD_BAD_RECORD_MAC,
            { forger in
                forger.skip(); return forger.record([1])
            }
        ),
        (
            "33 empty records", SSL_AD_UNEXPECTED_MESSAGE,
            { forger in (0..<33).flatMap { _ in forger.record([]) } }
        ),
    ]

    @Test(arguments: breaches.indices)
    func `a record that breaks the rules ends the link, once, and the peer is told`(index: Int) throws {
        let (what, alert, make) = Self.breaches[index]
        for slice in [Int.max, 1] {
            let (server, forger) = try serverAndForger()
            server.give(make(forger), slice: { slice })
            #expect(server.failure?.kind == .other, "\(what)")
            #expect(server.received == [], "\(what)")
            let told = server.takeOutput()
            #expect(forger.opened(told) == [2, UInt8(alert), 21], "\(what)")
            // Nothing more is taken, or said.
            server.give(forger.record([1]))
            #expect(
                server.write([1]) == server.failure && server.takeOutput().isEmpty && server.received == [])
        }
    }

    @Test func `thirty-two empty records are borne, as often as data comes between them`() throws {
        let (server, forger) = try serverAndForger()
        for round in UInt8(0)..<3 {
            for _ in 0..<32 { server.give(forger.record([])) }
            server.give(forger.record([round]))
        }
        #expect(server.received == [0, 1, 2] && server.failure == nil)
    }

    @Test func `a client bears another server's tickets, and no flood of them`() throws {
        let server = ForeignPeer(isClient: false)
        let client = try End.client()
        // The server's tickets are sent when it has heard the client's last word.
        client.run()
        server.give(client.takeOutput())
        server.shake(with: client)
        #expect(client.isEstablished && client.failure == nil)
        server.write([1, 2])
        client.give(server.takeOutput())
        #expect(client.received == [1, 2])
        // One ticket, which it owes to a key from outside, and one record of data.
        let ticket: [UInt8] = [4, 0, 0, 3, 1, 2, 3]
        let forger = Forger(
            sends: try #require(server.secrets["SERVER_TRAFFIC_SECRET_0"]),
            opens: try #require(server.secrets["CLIENT_TRAFFIC_SECRET_0"]), records: 2)
        for _ in 0..<32 { client.give(forger.record(ticket + ticket, content: 22)) }
        #expect(client.failure == nil)
        client.give(forger.record(ticket, content: 22))
        #expect(client.failure?.kind == .other)
    }

    @Test(arguments: [[4, 0, 0, 4, 1, 2, 3], [4, 0, 0, 3, 1, 2, 3, 4], [4, 0]] as [[UInt8]])
    func `a ticket that does not fit its record ends the link`(message: [UInt8]) throws {
        let server = ForeignPeer(isClient: false) { SSL_CTX_set_num_tickets($0, 0) }
        let client = try End.client()
        client.run()
        server.give(client.takeOutput())
        server.shake(with: client)
        let forger = Forger(
            sends: try #require(server.secrets["SERVER_TRAFFIC_SECRET_0"]),
            opens: try #require(server.secrets["CLIENT_TRAFFIC_SECRET_0"]))
        client.give(forger.record(message, content: 22))
        #expect(client.failure?.kind == .other)
    }

    /// A ticket would be sealed by OpenSSL under the key whose first number is ours.
    @Test func `a server whose OpenSSL would send tickets makes no link`() throws {
        let context = try TLSContext.server { [identity: psk][Array($0)] }
        SSL_CTX_set_num_tickets(context.handle, 1)
        let server = try End(context)
        pump(try End.client(), server)
        #expect(server.failure?.kind == .other && !server.isEstablished)
    }

    @Test func `an alert of the peer ends the link with its name, and is not answered`() throws {
        let (server, forger) = try serverAndForger()
        server.give(forger.record([2, 20], content: 21) + forger.record([1]))
        #expect(server.failure?.kind == .alert)
        #expect(server.failure?.description.contains("bad record mac") == true)
        #expect(server.received == [] && server.takeOutput().isEmpty)
    }

    @Test func `a request for a new key after our last word is obeyed, not answered`() throws {
        let (server, forger) = try serverAndForger()
        server.engine.sendCloseNotify()
        #expect(forger.opened(server.takeOutput()) == [1, 0, 21])
        server.give(forger.record([24, 0, 0, 1, 1], content: 22))
        forger.renew()
        server.give(forger.record([8]))
        #expect(server.received == [8] && server.failure == nil && server.takeOutput().isEmpty)
    }

    @Test func `what comes behind the peer's last word is dropped`() throws {
        let (server, forger) = try serverAndForger()
        server.give(
            forger.record([1, 90], content: 21) + forger.record([1, 0], content: 21) + forger.record([1]))
        #expect(server.isClosed && server.received == [] && server.failure == nil)
        server.give(forger.record([2]))
        #expect(server.received == [] && server.engine.endOfInput() == nil)
    }

    @Test func `a record under the old key is refused after a key update`() throws {
        let (server, forger) = try serverAndForger()
        server.give(forger.record([24, 0, 0, 1, 1], content: 22))
        #expect(forger.opened(server.takeOutput()) == [24, 0, 0, 1, 0, 22])
        server.give(forger.record([1]))
        #expect(server.failure?.description == "a record was changed or damaged on the way")
        // The alert is under our new key.
        forger.renewOpened()
        #expect(forger.opened(server.takeOutput()) == [2, UInt8(SSL_AD_BAD_RECORD_MAC), 21])
        #expect(server.received == [])
    }

    @Test func `seconds pass between the pieces of a record, and between records`() throws {
        let (server, forger) = try serverAndForger()
        var others = [[UInt8]]()
        for round in UInt8(0)..<4 {
            let record = forger.record([UInt8](repeating: round, count: 9_000))
            var time = UInt64(round) * 10
            for piece in [record[..<3], record[3..<5], record[5..<8_000], record[8_000...]] {
                server.give(Array(piece))
                server.engine.tick(nowNanoseconds: time)
                time += 1
                // Whatever was given back is somebody else's now.
                others.append([UInt8](repeating: 0xaa, count: 16_406 - 32))
                others.append([UInt8](repeating: 0xaa, count: 16_406))
            }
            #expect(server.takeReceived() == [UInt8](repeating: round, count: 9_000))
        }
    }

    @Test func `whatever a peer with the key sends ends in data, an end or a wait, and one alert at most`()
        throws
    {
        for _ in 0..<150 {
            let seed = UInt64.random(in: 0..<1_000_000_000)
            var random = SeededRandom(seed: seed)
            let (server, forger) = try serverAndForger()
            var sent = [UInt8]()
            var isChanged = false
            for _ in 0..<40 where server.failure == nil && !server.isClosed {
                let content: UInt8 = [23, 23, 23, 22, 21, 20, 0, .random(in: 0...255, using: &random)]
                    .randomElement(using: &random)!
                let payload = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                    UInt8.random(in: 0...30, using: &random)
                }
                var record = forger.record(
                    payload, content: content, padding: Int.random(in: 0...20, using: &random))
                // What the content is, is the last byte that is not zero.
                let inner = (payload + [content]).reversed().drop { $0 == 0 }
                if inner.first == 23 { sent += inner.dropFirst().reversed() }
                if Int.random(in: 0..<20, using: &random) == 0 {
                    record[Int.random(in: 0..<record.count, using: &random)] ^= 1
                    isChanged = true
                }
                server.give(record) { Int.random(in: 1...50, using: &random) }
                // Nothing is held back from a link that goes on.
                if server.failure == nil, !server.isClosed, !isChanged {
                    #expect(server.received == sent, "seed \(seed)")
                }
            }
            #expect(sent.starts(with: server.received), "seed \(seed)")
            // A failure's alert is the last that is said.
            var alerts = 0
            var output = server.takeOutput()[...]
            while output.count >= 5 {
                let size = 5 + (Int(output[output.startIndex + 3]) << 8 | Int(output[output.startIndex + 4]))
                if size == 5 + 3 + 16 { alerts += 1 }
                output = output.dropFirst(size)
            }
            #expect(output.isEmpty && alerts <= 1, "seed \(seed)")
            #expect(server.failure == nil || server.write([1]) == server.failure, "seed \(seed)")
        }
    }

    @Test func `what is exported is what OpenSSL exports`() throws {
        let client = ForeignPeer(isClient: true)
        let server = try End.server()
        client.shake(with: server)
        for label in ["EXPORTER-goproxy-v1-hello", "x"] {
            var key = [UInt8](repeating: 0, count: 32)
            #expect(SSL_export_keying_material(client.ssl, &key, 32, label, label.utf8.count, nil, 0, 0) == 1)
            #expect(server.engine.exportKeyingMaterial(label: label) == key)
        }
    }

    @Test func `two hundred thousand records to OpenSSL and back, with new keys between them`() throws {
        let client = ForeignPeer(isClient: true)
        let server = try End.server()
        client.shake(with: server)
        server.engine.recordsPerKey = 20_000
        for round in 0..<10 {
            server.engine.tick(nowNanoseconds: UInt64(round) * 60_000_000_000)
            SSL_key_update(client.ssl, SSL_KEY_UPDATE_NOT_REQUESTED)
            for number in 0..<20_000 {
                let text = [UInt8(truncatingIfNeeded: number), UInt8(round)]
                if let failure = server.write(text) { throw failure }
                client.write(text)
                if number % 100 == 0 {
                    client.give(server.takeOutput())
                    server.give(client.takeOutput())
                }
            }
            client.give(server.takeOutput())
            server.give(client.takeOutput())
            let expected = (0..<20_000).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(round)] }
            #expect(client.read() == expected)
            #expect(server.takeReceived() == expected)
        }
    }

    private func serverAndForger() throws -> (End, Forger) {
        let client = ForeignPeer(isClient: true)
        let server = try End.server()
        client.shake(with: server)
        #expect(server.isEstablished)
        return (
            server,
            Forger(
                sends: try #require(client.secrets["CLIENT_TRAFFIC_SECRET_0"]),
                opens: try #require(client.secrets["SERVER_TRAFFIC_SECRET_0"]))
        )
    }
}

/// Seals records by RFC 8446 alone, written apart from what is tested.
final class Forger {
    private var secret: [UInt8]
    private var opens: [UInt8]
    private var number: UInt64
    private var numberOpened: UInt64 = 0

    init(sends: [UInt8], opens: [UInt8], records: UInt64 = 0) {
        secret = sends
        self.opens = opens
        number = records
    }

    func skip() { number += 1 }

    func renew() {
        secret = Self.next(secret)
        number = 0
    }

    func renewOpened() {
        opens = Self.next(opens)
        numberOpened = 0
    }

    private static func next(_ secret: [UInt8]) -> [UInt8] {
        hkdfExpand(secret, info: "\0\u{20}\u{11}tls13 traffic upd\0", count: 32)
    }

    func record(_ payload: [UInt8], content: UInt8 = 23, padding: Int = 0) -> [UInt8] {
        let inner = payload + [content] + [UInt8](repeating: 0, count: padding)
        let length = inner.count + 16
        let header: [UInt8] = [23, 3, 3, UInt8(length >> 8), UInt8(length & 255)]
        defer { number += 1 }
        var cipher = GCMCipher(key: Self.key(secret), sealing: true, library: .openSSL)
        return header + cipher.seal(inner, nonce: Self.nonce(secret, number), header: header)
    }

    /// The one record's payload and content. Nil if it is not one.
    func opened(_ record: [UInt8]) -> [UInt8]? {
        guard record.count > 5, record.count == 5 + (Int(record[3]) << 8 | Int(record[4])) else { return nil }
        defer { numberOpened += 1 }
        var cipher = GCMCipher(key: Self.key(opens), sealing: false, library: .openSSL)
        return cipher.open(
            [UInt8](record[5...]), nonce: Self.nonce(opens, numberOpened), header: [UInt8](record[..<5]))
    }

    private static func key(_ secret: [UInt8]) -> [UInt8] {
        hkdfExpand(secret, info: "\0\u{10}\u{9}tls13 key\0", count: 16)
    }

    private static func nonce(_ secret: [UInt8], _ number: UInt64) -> [UInt8] {
        var nonce = hkdfExpand(secret, info: "\0\u{c}\u{8}tls13 iv\0", count: 12)
        for byte in 0..<8 { nonce[11 - byte] ^= UInt8(truncatingIfNeeded: number >> UInt64(8 * byte)) }
        return nonce
    }
}
