import Foundation
import Records
import SQLite
import Testing

struct CredentialTests {
    let scratch = Scratch()

    private func credentials(_ store: Store, _ node: NodeRecord) throws -> [CredentialRecord] {
        try store.read { (r) throws(RecordsError) in try r.credentials(nodeID: node.id) }
    }

    private func ended(_ store: Store, _ node: NodeRecord? = nil) throws -> [EndedCredential] {
        try store.read { (r) throws(RecordsError) in try r.endedCredentials(nodeID: node?.id) }
    }

    @Test func `each end of a uuid leaves its name, and why`() throws {
        let store = try scratch.store()
        let node = try store.addNode("a")
        let first = try credentials(store, node)[0]
        _ = try store.change { (t) throws(RecordsError) in
            try t.addCredential(node.id, .random(), overlapSeconds: 60)
        }
        #expect(try ended(store).isEmpty && credentials(store, node).count == 2)
        // Its time is over, by a clock that a test need not wait for.
        try Database(path: scratch.path(Store.fileName), mode: .readWrite).execute(
            "UPDATE credentials SET not_after = not_before + 1 WHERE identity = ?", first.identity)
        let count = try store.write(actor: .server) { (t) throws(RecordsError) in
            try t.endExpiredCredentials(links: [first.identity: 3])
        }
        #expect(count == 1)
        #expect(try ended(store).map(\.reason) == [.expired])
        let entry = try #require(try store.audit().last)
        #expect(entry.action == "uuid-ended" && entry.node == "a" && entry.actor == "server")
        #expect(entry.detail?.contains("its link was closed, 3 sub-connections ended") == true)
        #expect(
            try store.write(actor: .server) { (t) throws(RecordsError) in try t.endExpiredCredentials() } == 0
        )

        let second = try credentials(store, node)[0]
        let third = NewCredentialRecord.random()
        _ = try store.change { (t) throws(RecordsError) in
            try t.addCredential(node.id, third, overlapSeconds: 0)
        }
        #expect(try credentials(store, node).map(\.identity) == [third.identity])
        _ = try store.change { (t) throws(RecordsError) in try t.removeNode(node.id) }
        let reasons = Dictionary(
            uniqueKeysWithValues: try ended(store, node).map { ($0.identity, $0.reason) })
        #expect(
            reasons == [
                first.identity: .expired, second.identity: .rotated, third.identity: .nodeRemoved,
            ])
        #expect(try ended(store).allSatisfy { $0.node == "a" && $0.nodeID == node.id })
    }

    @Test func `of the uuids that have ended the newest ten thousand are told apart`() throws {
        let store = try scratch.store()
        let node = try store.addNode("a")
        try Database(path: scratch.path(Store.fileName), mode: .readWrite).run(
            script: """
                WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
                INSERT INTO ended_credentials
                SELECT CAST(printf('%016d', i) AS BLOB), 'x', 'x', i, 'rotated' FROM n
                """)
        _ = try store.change { (t) throws(RecordsError) in try t.removeNode(node.id) }
        #expect(try ended(store).count == 10_000 && ended(store, node).count == 1)
        #expect(try ended(store).map(\.at.microseconds).min() == 2, "the oldest went")
    }

    @Test func `when a uuid was last used is when its link's last byte came`() throws {
        let store = try scratch.store()
        let node = try store.addNode("a")
        let identity = try credentials(store, node)[0].identity
        #expect(try credentials(store, node)[0].lastUsed == nil)
        let opened = Timestamp(microseconds: 1_000_000)
        var session = ObservedSession(
            id: store.newSessionID(), nodeID: node.id, node: "a", identity: identity,
            address: "192.0.2.1:5000", version: "1.0", os: "linux", openedAt: opened)
        func tell(_ session: ObservedSession) throws {
            try store.write(actor: .server) { (t) throws(RecordsError) in try t.setSession(session) }
        }
        try tell(session)
        #expect(try credentials(store, node)[0].lastUsed == opened)
        #expect(try store.node("a").credential == hexText(identity))
        let heard = Timestamp(microseconds: 5_000_000)
        try store.write(actor: .server) { (t) throws(RecordsError) in
            try t.seen([SeenNode(id: node.id, identity: identity, at: heard)])
        }
        #expect(try credentials(store, node)[0].lastUsed == heard && store.node("a").lastSeen == heard)
        // It was given up 43 s after it had fallen silent.
        let last = Timestamp(microseconds: 7_000_000)
        session.end = ObservedSession.End(
            at: last.adding(seconds: 43), reason: "timeout", subConnections: 0, heardAt: last)
        try tell(session)
        let after = try store.node("a")
        #expect(after.lastSeen == last && after.lastSeenWithin == nil)
        #expect(try credentials(store, node)[0].lastUsed == last)
        let rows = try store.read { (r) throws(RecordsError) in try r.sessions(nodeID: node.id) }
        #expect(rows[0].closedAt == last.adding(seconds: 43), "when it was given up")
    }

    @Test func `a session that was open at a crash ends with the server's last sign of life`() throws {
        let store = try scratch.store()
        let node = try store.addNode("a")
        let (opened, heard) = (Timestamp(microseconds: 1_000_000), Timestamp(microseconds: 61_000_000))
        let session = ObservedSession(
            id: store.newSessionID(), nodeID: node.id, node: "a", identity: Array(repeating: 7, count: 16),
            address: "192.0.2.1:5000", version: "1.0", os: "linux", openedAt: opened)
        let alive = Timestamp(microseconds: 100_500_000)
        let closed = try store.write(actor: .server) { (t) throws(RecordsError) in
            try t.setSession(session)
            try t.seen([SeenNode(id: node.id, identity: session.identity, at: heard)])
            return try t.closeSessions(reason: "server-crash", lastAlive: alive)
        }
        let rows = try store.read { (r) throws(RecordsError) in try r.sessions(nodeID: node.id) }
        #expect(closed == 1 && rows[0].closedAt == alive && rows[0].reason == "server-crash")
        // It was heard then, or up to the crash: nobody knows better.
        let after = try store.node("a")
        #expect(after.lastSeen == heard && after.lastSeenWithin == 40)
    }

    private func hexText(_ bytes: [UInt8]) -> String {
        bytes.map { String(Int($0) + 0x100, radix: 16).suffix(2) }.joined()
    }
}
