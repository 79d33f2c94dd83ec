import Buffers
import COpenSSL
import Foundation
import Support
import TLS
import Testing

@Suite struct TLSEngineTests {
    @Test func `a client and a server with the same key agree`() throws {
        let (client, server) = try pair()
        #expect(client.isEstablished && server.isEstablished)
        #expect(client.failure == nil && server.failure == nil)
        #expect(server.engine.peerIdentity == identity)
        #expect(client.engine.peerIdentity == nil)
    }

    @Test func `the hello is small enough for the gate and the server sends nothing after the handshake`()
        throws
    {
        let client = try End.client()
        let server = try End.server()
        client.run()
        let hello = client.takeOutput()
        #expect(hello.count <= 1_024)
        #expect(hello.first == 0x16)
        server.give(hello)
        client.give(server.takeOutput())
        server.give(client.takeOutput())
        #expect(server.isEstablished)
        #expect(server.engine.output.isEmpty)  // Tickets would be here.
    }

    @Test(arguments: [1, 100, 5_000, 100_000])
    func `a megabyte goes both ways whatever the slices`(largestSlice: Int) throws {
        let (client, server) = try pair()
        for (from, to) in [(client, server), (server, client)] {
            let sent = randomBytes(1 << 20)
            var rest = sent[...]
            var stream = [UInt8]()
            while !rest.isEmpty {
                let part = rest.prefix(Int.random(in: 1...16_384))
                rest = rest.dropFirst(part.count)
                #expect(from.write(Array(part)) == nil)
                stream += from.takeOutput()
            }
            to.give(stream) { Int.random(in: 1...largestSlice) }
            #expect(to.takeReceived() == sent)
        }
    }

    @Test func `a handshake arrives one byte at a time`() throws {
        let client = try End.client()
        let server = try End.server()
        pump(client, server) { 1 }
        #expect(client.isEstablished && server.isEstablished)
    }

    @Test func `16384 bytes are one record`() throws {
        let (client, server) = try pair()
        #expect(client.write([UInt8](repeating: 1, count: 16_384)) == nil)
        let record = client.takeOutput()
        #expect(record.count == 5 + 16_384 + 1 + 16)
        #expect(Int(record[3]) << 8 | Int(record[4]) == record.count - 5)
        server.give(record)
        #expect(server.received.count == 16_384)
    }

    @Test func `what follows the last handshake message in the same input is read too`() throws {
        let client = try End.client()
        let server = try End.server()
        client.run()
        server.give(client.takeOutput())
        client.give(server.takeOutput())
        #expect(client.isEstablished)
        #expect(client.write([1, 2, 3]) == nil)
        server.give(client.takeOutput())
        #expect(server.received == [1, 2, 3])
    }

    @Test func `each direction closes by itself`() throws {
        let (client, server) = try pair()
        #expect(client.write([1]) == nil)
        client.engine.sendCloseNotify()
        client.engine.sendCloseNotify()
        server.give(client.takeOutput())
        #expect(server.isClosed && server.received == [1])
        #expect(server.engine.endOfInput() == nil)
        #expect(server.write([2, 3]) == nil)
        client.give(server.takeOutput())
        #expect(client.received == [2, 3] && !client.isClosed)
        server.engine.sendCloseNotify()
        client.give(server.takeOutput())
        #expect(client.isClosed)
        #expect(client.engine.endOfInput() == nil)
    }

    @Test func `an end of file without close_notify is a failure`() throws {
        let (client, server) = try pair()
        #expect(client.write([1]) == nil)
        server.give(client.takeOutput().dropLast())
        #expect(server.received == [])
        #expect(server.engine.endOfInput()?.kind == .truncated)
        #expect(client.engine.endOfInput()?.kind == .truncated)
        #expect(try End.server().engine.endOfInput()?.kind == .truncated)
    }

    @Test func `a changed record ends the link and nothing of it is delivered`() throws {
        for position in [0, 3, 5, 100, 121] {
            let (client, server) = try pair()
            #expect(client.write([UInt8](repeating: 7, count: 100)) == nil)
            var record = client.takeOutput()
            record[position] ^= 1
            record += [UInt8](repeating: 0, count: 300)
            server.give(record)
            #expect(server.failure?.kind == .other, "\(position)")
            #expect(server.received == [])
            // The failure stays, and the client hears of it by an alert.
            #expect(server.write([1]) == server.failure)
            client.give(server.takeOutput())
            #expect(client.failure?.kind == .alert)
        }
    }

    @Test func `a record that comes twice ends the link`() throws {
        let (client, server) = try pair()
        #expect(client.write([1, 2, 3]) == nil)
        let record = client.takeOutput()
        server.give(record + record)
        #expect(server.received == [1, 2, 3])
        #expect(server.failure?.kind == .other)
    }

    @Test func `exported keys are equal at both ends and different for each connection and label`() throws {
        var seen = Set<[UInt8]>()
        for _ in 0..<4 {
            let (client, server) = try pair()
            for label in ["goproxy v1 node auth", "goproxy v1 server auth"] {
                let key = client.engine.exportKeyingMaterial(label: label)
                #expect(key.count == 32)
                #expect(key == server.engine.exportKeyingMaterial(label: label))
                #expect(seen.insert(key).inserted)
            }
        }
    }

    @Test func `an engine and its context end with their last owner`() throws {
        weak var engine: TLSEngine?
        weak var context: TLSContext?
        do {
            let (client, _) = try pair()
            engine = client.engine
            context = client.engine.context
            #expect(context != nil)
        }
        #expect(engine == nil)
        #expect(context == nil)
    }

    /// In a process of its own, where no other test takes memory at the same time.
    @Test func `two thousand engines leave no memory behind`() throws {
        let sign = "GOPROXY_ALONE"
        guard ProcessInfo.processInfo.environment[sign] == nil else { return try checkMemory() }
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let alone = try Support.Program(
            tests, ["--testing-library", "swift-testing", "--filter", "two thousand engines"],
            environment: [sign: "1"])
        let done = try alone.finish(within: .seconds(300))
        #expect(done.end == .exit(0) && done.transcript.contains("1 test"), "\(done.transcript)")
    }

    private func checkMemory() throws {
        func makePairs(_ count: Int) throws {
            for _ in 0..<count {
                let (client, server) = try pair()
                #expect(client.write([UInt8](repeating: 0, count: 16_384)) == nil)
                server.give(client.takeOutput())
                // One of them is dropped with a half-read record inside.
                #expect(server.write([UInt8](repeating: 0, count: 16_384)) == nil)
                client.give(server.takeOutput().dropLast(100))
            }
        }
        try makePairs(100)
        // One leaked idle engine is 14 KiB, one with its record 31 KiB: every round would grow by 14 MiB and more.
        var growth: [Int] = []
        for _ in 0..<5 {
            let before = try residentBytes()
            try makePairs(1_000)
            growth.append(try residentBytes() - before)
            if growth[growth.count - 1] < 12 << 20 { return }
        }
        Issue.record("each round grew: \(growth)")
    }
}
