import Mux
import TLS
import Testing
import Tunnel

@Suite struct HelloTests {
    private let key = SigningKey(seed: [UInt8](repeating: 7, count: 32))
    private let exporter = [UInt8](0..<32)

    private var hello: Hello {
        var hello = Hello(publicKey: key.publicKey)
        hello.features = 0x8000_0001
        hello.programVersion = "1.2.3"
        hello.system = "Linux 6.1 x86_64"
        hello.hostName = "host"
        hello.drawInstance()
        return hello
    }

    private func payload(_ hello: Hello? = nil, role: Role = .dialer) -> [UInt8] {
        Array(
            (hello ?? self.hello).frame(from: role, key: key, exporter: exporter).dropFirst(Frame.headerBytes)
        )
    }

    private func read(_ payload: [UInt8], from role: Role = .dialer, exporter: [UInt8]? = nil) -> Hello? {
        payload.withUnsafeBytes { Hello($0, from: role, exporter: exporter ?? self.exporter) }
    }

    @Test(arguments: [Role.dialer, .accepter])
    func `what is said is heard`(role: Role) {
        let said = hello
        #expect(read(payload(said, role: role), from: role) == said)
        #expect(said.instance?.count == 8 && hello.instance != said.instance, "drawn anew")
    }

    @Test func `an end that does not say which process it is is heard too`() {
        var older = Hello(publicKey: key.publicKey)
        older.hostName = "host"
        let heard = read(payload(older))
        #expect(heard == older && heard?.instance == nil)
        // It promises what does not follow.
        older.features |= Hello.namesInstance
        #expect(read(payload(older)) == nil)
    }

    @Test func `the frame is one that the multiplexer's reader takes`() throws {
        let frame = hello.frame(from: .accepter, key: key, exporter: exporter)
        try frame.withUnsafeBytes {
            var reader = FrameReader($0)
            let first = try #require(try reader.next())
            #expect(first.kind == .hello && first.stream == .link)
            #expect(try reader.next() == nil)
        }
    }

    @Test func `a message with any bit changed is refused`() {
        let right = payload()
        for place in right.indices {
            for bit in 0..<8 {
                var changed = right
                changed[place] ^= 1 << UInt8(bit)
                if read(changed) != nil { Issue.record("byte \(place), bit \(bit)") }
            }
        }
    }

    @Test func `a message that is cut anywhere, or longer, is refused`() {
        let right = payload()
        for count in 0..<right.count where read(Array(right[..<count])) != nil {
            Issue.record("\(count) bytes")
        }
        #expect(read(right + [0]) == nil)
        #expect(read(right + right) == nil)
        #expect(read([UInt8](repeating: 0, count: 1_024)) == nil)
        #expect(read([UInt8](repeating: 255, count: 1_024)) == nil)
    }

    @Test func `another direction, another connection or another key is refused`() {
        #expect(
            read(payload(role: .dialer), from: .accepter) == nil,
            "what a node said cannot be said back by a server")
        #expect(read(payload(role: .accepter), from: .dialer) == nil)
        var other = exporter
        other[31] ^= 1
        #expect(
            read(payload(), exporter: other) == nil,
            "what was said on one connection cannot be said on another")
        #expect(read(payload(), exporter: []) == nil)
        var stolen = hello
        stolen.publicKey = SigningKey(seed: [UInt8](repeating: 8, count: 32)).publicKey
        #expect(read(payload(stolen)) == nil, "the key shown is not the key that signs")
        stolen.publicKey = [UInt8](repeating: 0, count: 32)
        #expect(read(payload(stolen)) == nil)
    }

    @Test func `texts longer than 64 bytes are cut by their sender and refused from others`() throws {
        var long = hello
        long.hostName = String(repeating: "a", count: 1_000)
        let heard = try #require(read(payload(long)))
        #expect(heard.hostName == String(repeating: "a", count: 64))
        // Signed correctly, by somebody else's program.
        let fixed = [1, 1, 0, 0, 0, 0] + key.publicKey
        let texts: [UInt8] = [65] + [UInt8](repeating: 97, count: 65) + [0, 0]
        let label = Array("goproxy v1 hello node".utf8) + [0]
        let signature = key.sign(label + exporter + fixed + texts)
        #expect(read(fixed + signature + texts) == nil)
        let right: [UInt8] = [64] + [UInt8](repeating: 97, count: 64) + [0, 0]
        #expect(
            read(fixed + key.sign(label + exporter + fixed + right) + right) != nil,
            "the test signs as it should")
    }

    @Test func `bytes that are no text are heard as something that can be shown`() throws {
        let fixed = [1, 1, 0, 0, 0, 0] + key.publicKey
        let texts: [UInt8] = [3, 0xff, 0xfe, 0x80, 0, 0]
        let label = Array("goproxy v1 hello node".utf8) + [0]
        let heard = try #require(read(fixed + key.sign(label + exporter + fixed + texts) + texts))
        #expect(heard.programVersion == "\\u{fffd}\\u{fffd}\\u{fffd}")
    }

    @Test func `what is not ASCII, or does not print, is heard as its number`() throws {
        var strange = hello
        strange.hostName = "h\u{f6}st\u{1b}[2J\u{202e}"
        strange.system = "a" + String(repeating: "\u{316}\u{301}", count: 15)
        let heard = try #require(read(payload(strange)))
        #expect(heard.hostName == #"h\u{f6}st\u{1b}[2J\u{202e}"#)
        #expect(heard.system == "a" + String(repeating: #"\u{316}\u{301}"#, count: 4) + #"\u{316}"#)
    }

    @Test(
        arguments: [(1, 1, 1), (0, 9, 1), (1, 200, 1), (2, 3, nil), (0, 0, nil), (200, 100, nil), (0, 1, 1)]
            as [(UInt8, UInt8, UInt8?)])
    func `the common version is the greatest that both speak`(least: UInt8, greatest: UInt8, common: UInt8?) {
        var hello = hello
        (hello.leastVersion, hello.greatestVersion) = (least, greatest)
        #expect(hello.commonVersion() == common)
    }
}
