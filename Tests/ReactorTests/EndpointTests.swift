import Reactor
import Testing

@Suite struct EndpointTests {
    @Test(arguments: [
        ("0.0.0.0:1080", "0.0.0.0", 1_080), (":1080", "", 1_080), ("[::]:80", "::", 80),
        ("[::1]:0", "::1", 0), ("localhost:65535", "localhost", 65_535), ("db.local:5432", "db.local", 5_432),
        ("[fe80::1%lo]:22", "fe80::1%lo", 22), ("example.com:http", "example.com", 80), (":ssh", "", 22),
        ("127.0.0.1:00080", "127.0.0.1", 80), ("a_b-c.d:1", "a_b-c.d", 1),
        ("bücher.example:80", "bücher.example", 80),
    ])
    func `what Go's net.Dial takes is taken`(text: String, host: String, port: Int) throws {
        let endpoint = try Endpoint(domain: .tcp, address: text)
        #expect(endpoint.host == host)
        #expect(endpoint.port == UInt16(port))
        #expect(endpoint.address == text)
        #expect(endpoint.description == "tcp \(text)")
    }

    @Test(arguments: [
        ("", "an empty address"), ("1.2.3.4", "missing port"), ("1.2.3.4:", "missing port"),
        ("host:65536", "not in 0...65535"), ("host:-1", "unknown port"),
        ("host:99999999999999999999", "not in 0...65535"),
        ("host:nosuchservice", "unknown port"), ("::1:80", "too many colons"), ("[::1]", "missing port"),
        ("[::1:80", "missing ]"), ("[::1]80", "missing port"), ("[host]:80", "brackets around"),
        ("a]b:80", "stray bracket"), ("a b:80", "space or control"), ("a\u{1b}[31m:80", "space or control"),
        ("a\n:80", "space or control"), ("\u{0}:80", "space or control"), ("host:+80", "unknown port"),
        ("host:８０", "unknown port"), ("host:80 ", "space or control"), ("host:0x50", "unknown port"),
    ])
    func `what nobody can mean is refused, with the reason`(text: String, reason: String) {
        #expect { try Endpoint(domain: .tcp, address: text) } throws: { "\($0)".contains(reason) }
    }

    @Test func `names and ports without an end are refused`() {
        let long = String(repeating: "a", count: 256)
        #expect(throws: EndpointError.self) { try Endpoint(domain: .tcp, address: "\(long):80") }
        #expect(throws: EndpointError.self) { try Endpoint(domain: .tcp, address: "a:\(long)") }
        #expect(throws: EndpointError.self) {
            try Endpoint(domain: .tcp, address: "a:" + String(repeating: "9", count: 100_000))
        }
        #expect(throws: Never.self) { try Endpoint(domain: .tcp, address: "\(long.dropLast()):80") }
    }

    @Test func `a domain's family is held against a literal`() {
        #expect(throws: Never.self) { try Endpoint(domain: .tcp4, address: "1.2.3.4:80") }
        #expect(throws: Never.self) { try Endpoint(domain: .tcp6, address: "[::1]:80") }
        #expect(throws: Never.self) { try Endpoint(domain: .tcp4, address: "name:80") }
        #expect(throws: EndpointError.self) { try Endpoint(domain: .tcp4, address: "[::1]:80") }
        #expect(throws: EndpointError.self) { try Endpoint(domain: .tcp6, address: "1.2.3.4:80") }
    }

    @Test func `a unix address is a path that fits, or an abstract name`() throws {
        #expect(try Endpoint(domain: .unix, address: "/run/app.sock").port == 0)
        #expect(throws: Never.self) { try Endpoint(domain: .unix, address: "@abstract name") }
        #expect(throws: Never.self) {
            try Endpoint(domain: .unix, address: String(repeating: "a", count: 107))
        }
        #expect(throws: EndpointError.self) {
            try Endpoint(domain: .unix, address: String(repeating: "a", count: 108))
        }
        #expect(throws: EndpointError.self) { try Endpoint(domain: .unix, address: "/a\u{0}b") }
        #expect(throws: EndpointError.self) { try Endpoint(domain: .unix, address: "") }
    }

    @Test func `what is random is taken or refused, and nothing else happens`() {
        var random = SystemRandomNumberGenerator()
        let alphabet = Array("[]:.%@/ 019aZ\u{0}\u{7f}é:").map(String.init)
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0...12)).map { _ in alphabet.randomElement(using: &random) ?? "" }
                .joined()
            for domain in Domain.allCases { _ = try? Endpoint(domain: domain, address: text) }
        }
    }

    @Test(arguments: [
        ("1.2.3.4", SocketAddress.Family.ipv4), ("::1", .ipv6), ("2001:db8::ff", .ipv6),
        ("::ffff:1.2.3.4", .ipv6),
        ("fe80::1%lo", .ipv6), ("fe80::1%7", .ipv6),
    ])
    func `numeric hosts are read and written the same`(host: String, family: SocketAddress.Family) throws {
        let address = try #require(SocketAddress(numeric: host, port: 80))
        #expect(address.family == family)
        if !host.contains("%lo") { #expect(address.host == host) }
        #expect(address.description == (family == .ipv4 ? "\(host):80" : "[\(address.host)]:80"))
    }

    @Test(arguments: [
        "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4x", ":::", "fe80::1%nosuchif", "fe80::1%",
        "fe80::1%0", "%", "1.2.3.4%lo", "::1%lo%lo", "name", "1.2.3.4\u{0}",
    ])
    func `what is not numeric is a name`(host: String) {
        #expect(SocketAddress(numeric: host, port: 80) == nil)
    }
}
