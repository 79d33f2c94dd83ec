import Records
import Testing

struct MappingTests {
    let scratch = Scratch()

    /// Two listening addresses, and whether the kernel would refuse the second.
    static let pairs: [(Place, Place, Bool)] = [
        (.tcp("127.0.0.1:80"), .tcp("127.0.0.1:80"), true),
        (.tcp("127.0.0.1:80"), .tcp("127.0.0.1:81"), false),
        (.tcp("127.0.0.1:80"), .tcp("127.0.0.2:80"), false),
        (.tcp("0.0.0.0:80"), .tcp("127.0.0.1:80"), true),
        (.tcp("0.0.0.0:80"), .tcp("[::1]:80"), false),
        (.tcp("0.0.0.0:80"), .tcp("[::]:80"), true),
        (.tcp(":80"), .tcp("127.0.0.1:80"), true),
        (.tcp(":80"), .tcp("[::1]:80"), true),
        (.tcp(":80"), .tcp("[::]:80"), true),
        (.tcp(":80"), .tcp("0.0.0.0:80"), true),
        (.tcp(":80"), .tcp(":http"), true),
        (.tcp("[::]:80"), .tcp("10.0.0.1:80"), true),
        (Place(domain: "tcp6", addr: ":80"), .tcp("0.0.0.0:80"), false),
        (Place(domain: "tcp6", addr: "[::]:80"), .tcp("127.0.0.1:80"), false),
        (Place(domain: "tcp6", addr: "[::]:80"), .tcp("[::1]:80"), true),
        (Place(domain: "tcp6", addr: ":80"), Place(domain: "tcp4", addr: ":80"), false),
        (Place(domain: "tcp4", addr: ":80"), .tcp("0.0.0.0:80"), true),
        (Place(domain: "tcp4", addr: ":80"), .tcp("[::]:80"), true),
        (Place(domain: "tcp4", addr: "127.0.0.1:80"), .tcp("127.0.0.1:80"), true),
        (.tcp("[::1]:80"), .tcp("[0:0:0:0:0:0:0:1]:80"), true),
        (.tcp("[::ffff:127.0.0.1]:80"), .tcp("127.0.0.1:80"), true),
        (.tcp("[::ffff:127.0.0.1]:80"), .tcp("0.0.0.0:80"), true),
        (.tcp("[fe80::1%1]:80"), .tcp("[fe80::1%2]:80"), false),
        (.tcp("[fe80::1%1]:80"), .tcp("[::]:80"), true),
        (.tcp("localhost:80"), .tcp("LocalHost:80"), true),
        (.tcp("localhost:80"), .tcp("other.example:80"), false),
        (.tcp("localhost:80"), .tcp(":80"), true),
        (.tcp("localhost:80"), .tcp("0.0.0.0:80"), false),
        (Place(domain: "tcp4", addr: "localhost:80"), .tcp("0.0.0.0:80"), true),
        (Place(domain: "tcp4", addr: "localhost:80"), Place(domain: "tcp6", addr: "localhost:80"), false),
        (.tcp("127.0.0.1:0"), .tcp("127.0.0.1:0"), false),
        (.tcp(":0"), .tcp("0.0.0.0:0"), false),
        (Place(domain: "unix", addr: "/run/a"), Place(domain: "unix", addr: "/run/a"), true),
        (Place(domain: "unix", addr: "/run/a"), Place(domain: "unix", addr: "/run/b"), false),
        (Place(domain: "unix", addr: "@a"), Place(domain: "unix", addr: "@a"), true),
        (Place(domain: "unix", addr: "/run/a"), .tcp("127.0.0.1:0"), false),
    ]

    @Test(arguments: pairs)
    func `addresses conflict as the kernel has it, in either order`(one: Place, two: Place, conflicts: Bool)
        throws
    {
        let store = try scratch.store()
        let a = try store.addNode("a")
        let b = try store.addNode("b")
        for (number, (first, second)) in [(one, two), (two, one)].enumerated() {
            let taken = try store.addMapping(a, first, name: "web\(number)")
            if conflicts {
                let words = refused(.conflict) { () throws(RecordsError) in try store.addMapping(b, second) }
                #expect(
                    words
                        == "\(second) is taken by listener \(taken.id) \"web\(number)\" of node a, which listens on \(first)"
                )
            } else {
                let other = try store.addMapping(b, second)
                _ = try store.change { (t) throws(RecordsError) in try t.removeMapping(other.id) }
            }
            // The node's own addresses are another machine's.
            let peer = try store.addMapping(b, second, kind: .peerListener)
            _ = try store.change { (t) throws(RecordsError) in try t.removeMapping(peer.id) }
            _ = try store.change { (t) throws(RecordsError) in try t.removeMapping(taken.id) }
        }
    }

    @Test func `peer listeners conflict within their node only`() throws {
        let store = try scratch.store()
        let a = try store.addNode("a")
        let b = try store.addNode("b")
        let first = try store.addMapping(a, .tcp("0.0.0.0:80"), kind: .peerListener)
        try store.addMapping(b, .tcp("0.0.0.0:80"), kind: .peerListener)
        let words = refused(.conflict) { () throws(RecordsError) in
            try store.addMapping(a, .tcp("127.0.0.1:80"), kind: .peerListener)
        }
        #expect(
            words
                == "tcp 127.0.0.1:80 is taken by peer listener \(first.id) of node a, which listens on tcp 0.0.0.0:80"
        )
    }

    @Test func `a disabled mapping gives its address away, and asks for it when enabled`() throws {
        let store = try scratch.store()
        let a = try store.addNode("a")
        let first = try store.addMapping(a, .tcp(":80"))
        _ = try store.change { (t) throws(RecordsError) in try t.setMappingEnabled(first.id, false) }
        let second = try store.addMapping(a, .tcp(":80"))
        _ = refused(.conflict) { () throws(RecordsError) in
            try store.change { (t) throws(RecordsError) in try t.setMappingEnabled(first.id, true) }
        }
        _ = try store.change { (t) throws(RecordsError) in
            try t.setMapping(second.id, MappingChange(listen: .tcp(":81")))
        }
        let enabled = try store.change { (t) throws(RecordsError) in try t.setMappingEnabled(first.id, true) }
        #expect(enabled.state == .pending)
        _ = refused(.conflict) { () throws(RecordsError) in
            try store.change { (t) throws(RecordsError) in
                try t.setMapping(second.id, MappingChange(listen: .tcp("127.0.0.1:80")))
            }
        }
        _ = try store.change { (t) throws(RecordsError) in try t.setNodeState(a.id, .disabled) }
        let other = try store.addNode("b")
        _ = refused(.conflict) { () throws(RecordsError) in try store.addMapping(other, .tcp(":80")) }
    }

    @Test(arguments: [
        ("udp", ":53", "the domain \"udp\" is none of tcp, tcp4, tcp6, unix"), ("tcp", "", "empty"),
        ("tcp", "127.0.0.1", "missing port"), ("tcp", "127.0.0.1:", "missing port"),
        ("tcp", "::1:80", "too many colons"),
        ("tcp", "[::1]", "missing port"), ("tcp", "[::1:80", "missing ]"),
        ("tcp", "[127.0.0.1]:80", "brackets around"),
        ("tcp", ":65536", "port 65536 is not in 0...65535"), ("tcp", ":-1", "unknown port"),
        ("tcp", "a b:80", "a space or control"), ("tcp", "a\u{1b}[2J:80", "a space or control"),
        ("tcp", ":80'; DROP TABLE mappings; --", "a space or control"), ("tcp", ":🦀", "unknown port"),
        ("tcp4", "[::1]:80", "an IPv6 address in the domain tcp4"),
        ("tcp6", "1.2.3.4:80", "an IPv4 address in the domain tcp6"),
        ("unix", String(repeating: "a", count: 108), "a path longer than 107 bytes"),
        ("unix", "/run/\n", "a space or control"),
        ("unix", "", "empty"), ("tcp", String(repeating: "a", count: 256) + ":80", "a host longer"),
    ])
    func `a strange address is refused in one line`(domain: String, addr: String, reason: String) throws {
        let store = try scratch.store()
        let node = try store.addNode("a")
        let place = Place(domain: domain, addr: addr)
        let words = refused(.invalid) { () throws(RecordsError) in try store.addMapping(node, place) }
        #expect(words.hasPrefix("listen address ") && words.contains(reason), "\(words)")
        #expect(words.unicodeScalars.allSatisfy { $0.value >= 32 })
        let forward = refused(.invalid) { () throws(RecordsError) in
            try store.addMapping(node, .tcp(":0"), to: place)
        }
        #expect(forward.hasPrefix("forward address ") && forward.contains(reason), "\(forward)")
        #expect(try store.node("a").revision == 0)
    }

    @Test func `a forward to port 0 is refused`() throws {
        let store = try scratch.store()
        let node = try store.addNode("a")
        _ = refused(.invalid) { () throws(RecordsError) in
            try store.addMapping(node, .tcp(":0"), to: .tcp("127.0.0.1:0"))
        }
    }

    @Test func `a node takes 256 mappings`() throws {
        let store = try scratch.store()
        let node = try store.addNode("a")
        try store.change { (t) throws(RecordsError) in
            for number in 0..<Limits.mappingsPerNode {
                let kind: MappingKind = number % 2 == 0 ? .listener : .peerListener
                _ = try t.addMapping(
                    node.id, NewMapping(kind: kind, listen: .tcp(":\(1_000 + number)"), forward: .tcp(":1")))
            }
        }
        let words = refused(.limit) { () throws(RecordsError) in try store.addMapping(node, .tcp(":0")) }
        #expect(words == "node a has 256 mappings already, the most that one node takes")
        #expect(try store.node("a").mappings == 256)
    }

    @Test func `revisions: each change raises the node's, and a mapping keeps the one that changed it`()
        throws
    {
        let store = try scratch.store()
        let node = try store.addNode("a")
        let one = try store.addMapping(node, .tcp("127.0.0.1:81"))
        let two = try store.addMapping(node, .tcp("127.0.0.1:82"))
        #expect([one.desiredRevision, two.desiredRevision] == [1, 2])
        let renamed = try store.change { (t) throws(RecordsError) in
            try t.setMapping(one.id, MappingChange(name: "web"))
        }
        #expect(renamed.name == "web" && renamed.desiredRevision == 1, "a name is nothing to the node")
        let moved = try store.change { (t) throws(RecordsError) in
            try t.setMapping(one.id, MappingChange(name: "", forward: .tcp("127.0.0.1:8080")))
        }
        #expect(moved.name == nil && moved.desiredRevision == 3)
        #expect(try store.mapping(two.id)?.desiredRevision == 2)
        _ = try store.change { (t) throws(RecordsError) in try t.removeMapping(two.id) }
        #expect(try store.node("a").revision == 4)
        let three = try store.addMapping(node, .tcp("127.0.0.1:82"))
        #expect(three.id > two.id, "an id is never given again")
    }

    @Test func `a mapping is found by id, name, full name and unambiguous beginning of the name`() throws {
        let store = try scratch.store()
        let a = try store.addNode("a")
        let b = try store.addNode("b")
        let web = try store.addMapping(a, .tcp(":80"), name: "web")
        let peerWeb = try store.addMapping(a, .tcp(":80"), kind: .peerListener, name: "web")
        let other = try store.addMapping(b, .tcp(":81"), name: "web")
        let mail = try store.addMapping(b, .tcp(":25"), name: "mail")
        func find(_ reference: String, _ kind: MappingKind? = .listener) throws(RecordsError) -> UInt32 {
            try store.read { (r) throws(RecordsError) in try r.mapping(reference, kind: kind).id }
        }
        #expect(try find("\(web.id)") == web.id)
        #expect(try find("a/web") == web.id && find("b/web") == other.id && find("b/w") == other.id)
        #expect(try find("web", .peerListener) == peerWeb.id)
        #expect(try find("ma") == mail.id && find("mail", nil) == mail.id)
        let words = refused(.ambiguous) { () throws(RecordsError) in try find("web") }
        #expect(words == "\"web\" could be 2 listeners: \(web.id) (a/web), \(other.id) (b/web)")
        let kind = refused(.notFound) { () throws(RecordsError) in try find("\(mail.id)", .peerListener) }
        #expect(
            kind == "\(mail.id) is not a peer listener: listener \(mail.id) \"mail\" of node b has this id")
        for reference in ["", "99", "x", "'; DROP TABLE mappings; --", "🦀"] {
            _ = refused(.notFound) { () throws(RecordsError) in try find(reference) }
        }
        let twice = refused(.conflict) { () throws(RecordsError) in
            try store.addMapping(a, .tcp(":99"), name: "web")
        }
        #expect(twice == "node a has a listener \"web\" already (id \(web.id))")
    }
}
