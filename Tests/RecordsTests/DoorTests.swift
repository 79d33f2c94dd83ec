import Foundation
import Glibc
import Records
import SQLite
import Testing

/// Whatever lies in the files: a start is refused with a sentence or goes on, and nothing traps.
@Suite(.serialized) struct DoorTests {
    private static let numbers: [UInt64] = [
        0, 1, 2, 7, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, .max - 1, .max,
    ]

    @Test(arguments: 0..<60)
    func `any numbers in the slot file are refused or taken, and the next connection is recorded`(seed: Int)
        throws
    {
        let scratch = Scratch()
        let first = try scratch.server()
        _ = first.takeSlots()
        let killed = try scratch.killed()
        first.close()
        var state = UInt64(seed) &* 0x9e37_79b9_7f4a_7c15
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        let url = URL(filePath: killed.path("connections.slots"))
        var data = try Data(contentsOf: url)
        // The header's numbers (its magic, version and boot left as they are), the refusals, and four slots.
        for word in Array(7..<48) + Array(512..<544) where random(3) == 0 {
            let number = Self.numbers[random(Self.numbers.count)]
            data.replaceSubrange(word * 8..<word * 8 + 8, with: withUnsafeBytes(of: number) { Data($0) })
        }
        try data.write(to: url)
        do throws(RecordsError) {
            let store = try killed.server()
            defer { store.close() }
            let id = store.history.newConnectionID()
            #expect(id > 0)
            store.history.append([.opened(.sample(id, route: 1))])
            store.takeSlots()?.heartbeat(at: .now, monotonicNanoseconds: 1)
        } catch {
            #expect(error.code == .corrupt && error.message.contains("connections.slots"), "\(error)")
        }
    }

    @Test func `keys that are equal as text and not as bytes are one key`() throws {
        let scratch = Scratch()
        let store = try scratch.store()
        let node = try store.addNode("edge-01", tags: ["site": "a"])
        let database = try Database(path: scratch.path(Store.fileName), mode: .readWrite)
        for key in ["caf\u{e9}", "cafe\u{301}"] {
            try database.execute("INSERT INTO node_tags (node, key, value) VALUES (?, ?, 'x')", node.id, key)
        }
        #expect(try store.node("edge-01").tags.count == 2)
        store.close()
    }

    @Test func `the distance of two times is counted as far as it goes`() {
        let (first, last) = (Timestamp(microseconds: .min), Timestamp(microseconds: .max))
        #expect(last.distance(from: first) == .max && first.distance(from: last) == .min)
        #expect(Timestamp(microseconds: 5).distance(from: Timestamp(microseconds: 7)) == -2)
    }
}
