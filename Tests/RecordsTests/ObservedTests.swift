import Records
import Synchronization
import Testing

struct ObservedTests {
    let scratch = Scratch()

    private func observe(
        _ store: Store, _ node: NodeRecord, session: Int64? = nil, _ states: ObservedState...
    ) throws(RecordsError) -> Bool {
        try store.write(actor: .server) { (t) throws(RecordsError) in
            try t.setObserved(node.id, session: session, states)
        }
    }

    private func up(_ store: Store, _ node: NodeRecord) throws(RecordsError) -> ObservedSession {
        let session = ObservedSession(
            id: store.newSessionID(), nodeID: node.id, node: node.name,
            identity: Array(repeating: 7, count: 16), address: "192.0.2.1:5000", version: "1.0",
            os: String(repeating: "🦀", count: 40))
        try tell(store, session)
        return session
    }

    private func tell(_ store: Store, _ sessions: ObservedSession...) throws(RecordsError) {
        try store.write(actor: .server) { (t) throws(RecordsError) in
            for session in sessions { try t.setSession(session) }
        }
    }

    private func ended(_ session: ObservedSession, _ reason: String, _ count: Int) -> ObservedSession {
        var session = session
        session.end = ObservedSession.End(reason: reason, subConnections: count)
        return session
    }

    @Test func `a state counts when it answers the revision that last changed the mapping`() throws {
        let store = try scratch.store()
        let node = try store.addNode("a")
        let mapping = try store.addMapping(node, .tcp("127.0.0.1:0"))
        let active = ObservedState(
            mapping: mapping.id, state: .active(bound: "127.0.0.1:4000"), appliedRevision: 1)
        #expect(try observe(store, node, active))
        var now = try #require(try store.mapping(mapping.id))
        #expect(now.state == .active && now.boundAddress == "127.0.0.1:4000" && now.appliedRevision == 1)
        _ = try store.change { (t) throws(RecordsError) in
            try t.setMapping(mapping.id, MappingChange(listen: .tcp("127.0.0.1:81")))
        }
        #expect(try observe(store, node, active), "a late answer to the old revision")
        now = try #require(try store.mapping(mapping.id))
        #expect(now.state == .pending && now.boundAddress == nil && now.desiredRevision == 2)
        let failed = ObservedState(
            mapping: mapping.id, state: .failed(detail: "address already in use"), appliedRevision: 2)
        #expect(try observe(store, node, failed))
        now = try #require(try store.mapping(mapping.id))
        #expect(now.state == .failed && now.detail == "address already in use")
        _ = try store.change { (t) throws(RecordsError) in try t.setNodeState(node.id, .disabled) }
        #expect(try store.mapping(mapping.id)?.state == .disabled)
        _ = try store.change { (t) throws(RecordsError) in try t.setNodeState(node.id, .enabled) }
        #expect(try store.mapping(mapping.id)?.state == .pending, "what was observed before is forgotten")
        let counts = try store.read { (r) throws(RecordsError) in try r.counts() }
        #expect(counts.nodes == 1 && counts.pending == 1 && counts.active == 0)
    }

    @Test func `a report reaches only its own node's mappings, and only from the newest session`() throws {
        let store = try scratch.store()
        let a = try store.addNode("a")
        let b = try store.addNode("b")
        let mapping = try store.addMapping(a, .tcp("127.0.0.1:0"))
        let active = ObservedState(mapping: mapping.id, state: .active(bound: "x"), appliedRevision: 9)
        let unknown = ObservedState(mapping: 4_000_000_000, state: .pending, appliedRevision: 9)
        #expect(try observe(store, b, active, unknown))
        #expect(try store.mapping(mapping.id)?.state == .pending)
        let first = try up(store, a)
        let second = try up(store, a)
        #expect(try !observe(store, a, session: first.id, active))
        #expect(try store.mapping(mapping.id)?.state == .pending)
        #expect(try observe(store, a, session: second.id, active))
        #expect(try store.mapping(mapping.id)?.state == .active)
    }

    @Test func `sessions tell when a node was here, and why not any more`() throws {
        let store = try scratch.store()
        let node = try store.addNode("a")
        let first = try up(store, node)
        #expect(try store.node("a").online)
        let second = try up(store, node)
        try tell(store, ended(first, "link-lost", 1), ended(second, "link-lost", 3))
        let third = try up(store, node)
        let seen = try store.node("a")
        #expect(seen.address == "192.0.2.1:5000" && seen.version == "1.0" && seen.lastSeen != nil)
        #expect(seen.os == String(repeating: "🦀", count: 16), "64 bytes, whole characters")
        let closed = try store.write(actor: .server) { (t) throws(RecordsError) in
            try t.closeSessions(reason: "server-stop")
        }
        #expect(closed == 1)
        let sessions = try store.read { (r) throws(RecordsError) in try r.sessions(nodeID: node.id) }
        #expect(sessions.map(\.id) == [third.id, second.id, first.id])
        #expect(sessions.map(\.reason) == ["server-stop", "link-lost", "replaced"])
        #expect(sessions.map(\.subConnections) == [nil, 3, nil])
        #expect(try !store.node("a").online)
        _ = try store.change { (t) throws(RecordsError) in try t.removeNode(node.id) }
        let kept = try store.read { (r) throws(RecordsError) in try r.sessions(nodeID: node.id) }
        #expect(kept.count == 3 && kept[0].node == "a", "sessions outlive their node")
        store.close()
        let again = try scratch.store()
        #expect(again.newSessionID() == third.id + 1)
    }

    @Test func `a session is told late, twice or out of order, and is one row all the same`() throws {
        let store = try scratch.store()
        let node = try store.addNode("a")
        var sessions = (0..<3).map { _ in
            ObservedSession(
                id: store.newSessionID(), nodeID: node.id, node: "a",
                identity: Array(repeating: 7, count: 16),
                address: "192.0.2.1:5000", version: "1.0", os: "linux")
        }
        let stands = sessions[0]
        sessions[0] = ended(sessions[0], "link-lost", 4)
        // The first is told when it is over; that it stands comes after that, and changes nothing.
        try tell(store, sessions[0], sessions[1], stands)
        try tell(store, ended(sessions[1], "idle", 0), sessions[2], ended(sessions[0], "later", 9))
        let rows = try store.read { (r) throws(RecordsError) in try r.sessions(nodeID: node.id) }
        #expect(rows.map(\.reason) == [nil, "idle", "link-lost"] && rows[2].subConnections == 4)
        #expect(rows.map(\.openedAt) == sessions.reversed().map(\.openedAt))
        #expect(try store.node("a").online)
        // Its node may be gone by then.
        _ = try store.change { (t) throws(RecordsError) in try t.removeNode(node.id) }
        var late = sessions[2]
        late.end = ObservedSession.End(reason: "revoked")
        try tell(store, late)
        let kept = try store.read { (r) throws(RecordsError) in try r.sessions(nodeID: node.id) }
        #expect(kept.count == 3 && kept[0].closedAt != nil)
    }

    @Test func `who submits hears of a failure, and of a success nothing`() throws {
        let store = try scratch.store()
        let failed = Mutex<[String]>([])
        store.submit { (t) throws(RecordsError) in
            try t.audit("good")
        } failed: { error in
            failed.withLock { $0.append(error.message) }
        }
        store.submit { (t) throws(RecordsError) in
            try t.audit("bad")
            throw RecordsError(.conflict, "on purpose")
        } failed: { error in
            failed.withLock { $0.append(error.message) }
        }
        store.close()
        #expect(failed.withLock { $0 } == ["on purpose"])
        let again = try scratch.store()
        #expect(try again.audit().map(\.action) == ["good"])
    }

    @Test func `flags declare one node with exactly their mappings beside those of operators`() throws {
        let store = try scratch.store()
        let uuid = NewCredentialRecord.random()
        let web = NewMapping(kind: .listener, listen: .tcp("127.0.0.1:80"), forward: .tcp("127.0.0.1:80"))
        let ssh = NewMapping(kind: .peerListener, listen: .tcp("127.0.0.1:22"), forward: .tcp("127.0.0.1:22"))
        func start(_ credential: NewCredentialRecord?, _ mappings: [NewMapping]) throws(RecordsError)
            -> NodeRecord?
        {
            try store.write(actor: .flags) { (t) throws(RecordsError) in
                try t.replaceFlagMappings(credential: credential, mappings)
            }
        }
        func list() throws(RecordsError) -> [MappingRecord] {
            try store.read { (r) throws(RecordsError) in try r.mappings() }
        }
        #expect(try start(nil, []) == nil)
        let node = try #require(try start(uuid, [web, ssh]))
        #expect(node.name == "default" && node.origin == .flags && node.id == uuid.id)
        let before = try list()
        #expect(before.map(\.origin) == [.flags, .flags])
        let own = try store.addMapping(node, .tcp("127.0.0.1:9000"), name: "own")
        let rows = try store.audit().count
        #expect(try start(uuid, [ssh, web])?.revision == 3, "the same again changes nothing")
        #expect(try store.audit().count == rows)
        let change: @Sendable (inout Transaction) throws(RecordsError) -> Void = { (t) throws(RecordsError) in
            _ = try t.setMappingEnabled(before[0].id, false)
        }
        let remove: @Sendable (inout Transaction) throws(RecordsError) -> Void = { (t) throws(RecordsError) in
            _ = try t.removeMapping(before[0].id)
        }
        let removeNode: @Sendable (inout Transaction) throws(RecordsError) -> Void = {
            (t) throws(RecordsError) in _ = try t.removeNode(node.id)
        }
        for body in [change, remove, removeNode] {
            let words = refused(.conflict) { () throws(RecordsError) in try store.change(body) }
            #expect(words.contains("from the server's flags"), "\(words)")
        }
        let other = try store.addNode("other")
        let taken = try #require(
            try store.read { (r) throws(RecordsError) in try r.credentials(nodeID: other.id) }.first)
        let another = NewCredentialRecord(
            identity: taken.identity, publicKey: taken.publicKey, sealedPSK: taken.sealedPSK)
        let words = refused(.conflict) { () throws(RecordsError) in try start(another, [ssh, web]) }
        #expect(words.contains("other"), "\(words)")
        let moved = NewMapping(kind: .listener, listen: .tcp("0.0.0.0:80"), forward: .tcp("127.0.0.1:80"))
        let next = NewCredentialRecord.random()
        #expect(try start(next, [moved, ssh])?.id == node.id, "a new uuid, the same node")
        let after = try list()
        #expect(
            after.contains { $0.id == before[1].id } && after.contains { $0.id == own.id } && after.count == 3
        )
        let credentials = try store.read { (r) throws(RecordsError) in try r.credentials(nodeID: node.id) }
        #expect(credentials.map(\.identity) == [next.identity])
        #expect(try start(nil, []) != nil)
        #expect(try list().map(\.id) == [own.id])
        #expect(try store.read { (r) throws(RecordsError) in try r.credentials(nodeID: node.id) }.isEmpty)
    }
}
