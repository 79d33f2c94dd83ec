import Foundation
import Records
import SQLite
import Synchronization
import Testing

@Suite(.serialized) struct StoreTests {
    let scratch = Scratch()

    @Test func `8 threads write 200 times each: all durable, all attributed`() throws {
        let store = try scratch.store()
        let node = try store.addNode("a")
        let failures = Mutex<[String]>([])
        let start = ContinuousClock.now
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            let actor = Actor.user("user-\(thread)", uid: UInt32(thread))
            for number in 0..<200 {
                do throws(RecordsError) {
                    try store.write(actor: actor) { (t) throws(RecordsError) in
                        _ = try t.tagNode(node.id, set: ["t\(thread)": "\(number)"])
                    }
                } catch {
                    failures.withLock { $0.append("\(error)") }
                }
            }
        }
        print("1,600 writes by 8 threads: \(ContinuousClock.now - start)")
        #expect(failures.withLock { $0 } == [])
        store.close()
        let again = try scratch.store()
        let tags = try again.node("a").tags
        #expect(tags == Dictionary(uniqueKeysWithValues: (0..<8).map { ("t\($0)", "199") }))
        var audit: [AuditEntry] = []
        while true {
            let cursor = audit.last?.id ?? 0
            let page = try again.read { (r) throws(RecordsError) in try r.audit(cursor: cursor) }
            if page.isEmpty { break }
            audit += page
        }
        let changes = audit.filter { $0.action == "node-tag" }
        #expect(changes.count == 1_600)
        for thread in 0..<8 {
            let own = changes.filter { $0.actor == "user-\(thread)" && $0.uid == UInt32(thread) }
            #expect(own.count == 200)
        }
        // Each change begins where the one before ended: none was lost between.
        for (one, next) in zip(changes, changes.dropFirst()) { #expect(one.after == next.before) }
    }

    @Test func `a refused write takes nothing of its neighbours in the batch`() throws {
        let store = try scratch.store()
        let results = Mutex<[Int: String]>([:])
        DispatchQueue.concurrentPerform(iterations: 64) { number in
            do throws(RecordsError) {
                try store.change { (t) throws(RecordsError) in
                    _ = try t.addNode(name: "n\(number)", credential: .random())
                    if number % 2 == 1 { throw RecordsError(.invalid, "stop \(number)") }
                }
            } catch {
                results.withLock { $0[number] = error.message }
            }
        }
        let expected = stride(from: 1, to: 64, by: 2).map { ($0, "stop \($0)") }
        #expect(results.withLock { $0 } == Dictionary(uniqueKeysWithValues: expected))
        #expect(try store.read { (r) throws(RecordsError) in try r.nodes().count } == 32)
        #expect(try store.audit().count == 32)
    }

    @Test func `a writer at work never keeps a reader waiting`() throws {
        let store = try scratch.store()
        try store.addNode("a")
        let isInside = DispatchSemaphore(value: 0)
        let mayLeave = DispatchSemaphore(value: 0)
        store.submit { (t) throws(RecordsError) in
            _ = try t.addNode(name: "b", credential: .random())
            isInside.signal()
            mayLeave.wait()
        }
        isInside.wait()
        let names = try store.read { (r) throws(RecordsError) in try r.nodes().map(\.name) }
        #expect(names == ["a"])
        mayLeave.signal()
        #expect(
            try store.change { (t) throws(RecordsError) in try t.reader.nodes().map(\.name) } == ["a", "b"])
    }

    @Test func `a reader sees one moment, and cannot be made to write`() throws {
        let store = try scratch.store()
        try store.addNode("a")
        let counts = try store.read { (r) throws(RecordsError) in
            let before = try r.nodes().count
            try store.addNode("b")
            return [before, try r.nodes().count]
        }
        #expect(counts == [1, 1])
    }

    @Test func `many readers at once are all answered`() throws {
        let store = try scratch.store()
        try store.addNode("a")
        let good = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: 500) { _ in
            if (try? store.node("a")) != nil { good.add(1, ordering: .relaxed) }
        }
        #expect(good.load(ordering: .relaxed) == 500)
    }

    @Test func `what was submitted is written before the store closes, later calls are refused`() throws {
        let store = try scratch.store()
        for number in 0..<3_000 {
            #expect(store.submit { (t) throws(RecordsError) in try t.audit("event", detail: "\(number)") })
        }
        store.close()
        store.close()
        #expect(!store.submit { (t) throws(RecordsError) in try t.audit("late") })
        _ = refused(.busy) { () throws(RecordsError) in try store.addNode("a") }
        _ = refused(.busy) { () throws(RecordsError) in try store.audit() }
        let again = try scratch.store()
        let newest = try again.read { (r) throws(RecordsError) in try r.newestAudit(limit: 1) }
        #expect(newest.first?.id == 3_000 && newest.first?.detail == "2999")
    }

    @Test func `a second store on the directory is refused with the pid of the first`() throws {
        let store = try scratch.store()
        let words = refused(.locked) { () throws(RecordsError) in try scratch.store() }
        #expect(words.hasPrefix("\(scratch.directory) is in use by process \(getpid()) ("), "\(words)")
        // Other tests ask the same meanwhile.
        for _ in 0..<40 { _ = refused(.locked) { () throws(RecordsError) in try scratch.store() } }
        let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").filter {
            let name = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
            return name?.hasSuffix("/comm") == true
        }
        #expect(open.count < 20, "what named the holder is closed again")
        try store.addNode("a")
        store.close()
        let second = try scratch.store()
        #expect(try second.node("a").name == "a")
    }

    @Test func `a store that is let go frees its lock`() throws {
        do { try scratch.store().addNode("a") }
        let again = try scratch.store()
        #expect(try again.node("a").name == "a")
    }

    @Test func `files are their owner's alone`() throws {
        let store = try scratch.store()
        try store.addNode("a")
        for name in ["goproxy.db", "goproxy.db-wal", "lock"] {
            let attributes = try FileManager.default.attributesOfItem(atPath: scratch.path(name))
            #expect(attributes[.posixPermissions] as? Int == 0o600, "\(name)")
        }
        store.close()
        #expect(
            !FileManager.default.fileExists(atPath: scratch.path("goproxy.db-wal")), "the log is taken in")
    }

    @Test(arguments: ["goproxy.db", "goproxy.db-wal"])
    func `a database that was moved away takes no more writes`(name: String) throws {
        let store = try scratch.store()
        try store.addNode("a")
        try FileManager.default.moveItem(atPath: scratch.path(name), toPath: scratch.path("away"))
        let words = refused(.io) { () throws(RecordsError) in try store.addNode("b") }
        #expect(
            words
                == "\(scratch.path(name)): was moved, replaced or deleted while it was open: nothing more is written"
        )
        // What was written in between may be in the wrong file: only a new start looks at what there is.
        try FileManager.default.moveItem(atPath: scratch.path("away"), toPath: scratch.path(name))
        _ = refused(.io) { () throws(RecordsError) in try store.addNode("b") }
        #expect(store.health.isLost)
        store.close()
        let again = try scratch.store()
        try again.addNode("b")
        #expect(try again.node("a").name == "a")
    }
}
