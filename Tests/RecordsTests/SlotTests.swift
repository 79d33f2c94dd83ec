import Foundation
import Records
import Testing

struct SlotTests {
    let scratch = Scratch()

    /// Words of 8 bytes as another process reads them from the file.
    private func words(_ scratch: Scratch) throws -> [UInt64] {
        let data = try Data(contentsOf: URL(filePath: scratch.path("connections.slots")))
        return data.withUnsafeBytes { raw in
            (0..<raw.count / 8).map { raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
        }
    }

    @Test
    func `a slot stands in the file while its connection lives, and its pointer stays when the file grows`()
        throws
    {
        let slots = try ConnectionSlots(directory: scratch.directory)
        let first = try slots.take(
            id: 5, at: Timestamp(microseconds: 1_000), monotonicNanoseconds: 2_000)
        #expect(try words(scratch).count == (4_096 + 1_024 * 64) / 8)
        let others = try (0..<3_000).map { number in
            try slots.take(id: 6 + Int64(number), at: .now, monotonicNanoseconds: 1)
        }
        first.counts[0] = 11
        first.counts[1] = 22
        first.counts[2] = 33
        let start = 512 + first.index * 8
        #expect(try words(scratch)[start..<start + 8] == [5, 11, 22, 33, 2_000, 1_000, 0, 0])
        #expect(slots.inUse == 3_001)
        slots.close(first, reason: .idle, monotonicNanoseconds: 9_000)
        let closed = try words(scratch)[start..<start + 8]
        #expect(Array(closed.prefix(6)) == [5, 11, 22, 33, 2_000, 1_000] && closed.last == 9_000)
        #expect(EndReason.allCases[Int(closed[start + 6]) - 1] == .idle)
        slots.free(first)
        for other in others { slots.free(other) }
        #expect(slots.inUse == 0)
        let all = try words(scratch)
        #expect(stride(from: 512, to: all.count, by: 8).allSatisfy { all[$0] == 0 })
        // What was there before is not seen by the next.
        let next = try slots.take(id: 9_000, at: .now, monotonicNanoseconds: 1)
        #expect(next.counts[0] == 0 && next.counts[1] == 0 && next.counts[2] == 0)
        #expect(
            try FileManager.default.attributesOfItem(atPath: scratch.path("connections.slots"))[
                .posixPermissions] as? Int == 0o600)
    }

    @Test func `when a crowd has gone, what stays is as it was, and the lowest slots serve first`() throws {
        let slots = try ConnectionSlots(directory: scratch.directory)
        let all = try (0..<3_000).map { number in
            try slots.take(id: 1 + Int64(number), at: .now, monotonicNanoseconds: 7)
        }
        for slot in all { slot.counts[0] = UInt64(slot.index) }
        for slot in all where slot.index != 2_500 { slots.free(slot) }
        slots.shrink()
        let kept = all[2_500]
        #expect(kept.counts[0] == 2_500)
        kept.counts[1] = 5
        let start = 512 + kept.index * 8
        #expect(try Array(words(scratch)[start..<start + 3]) == [2_501, 2_500, 5])
        let next = try (0..<3).map {
            try slots.take(id: 4_000 + Int64($0), at: .now, monotonicNanoseconds: 8)
        }
        #expect(next.map(\.index) == [0, 1, 2])
        #expect(next.allSatisfy { $0.counts[0] == 0 })
    }

    @Test func `refusals are counted exactly, by the minute and the cause`() throws {
        let slots = try ConnectionSlots(directory: scratch.directory)
        let minute: Int64 = 1_787_390_040_000_000
        for cause in Refusal.allCases { slots.countRefusal(cause, minute: minute) }
        slots.countRefusal(.source, minute: minute)
        #expect(slots.endedRefusals(now: Timestamp(microseconds: minute + 59_999_999)) == [])
        let end = Timestamp(microseconds: minute + 60_000_000)
        let notes = slots.endedRefusals(now: end)
        #expect(notes.map(\.detail) == Refusal.allCases.map(\.rawValue))
        #expect(notes.map(\.count) == [1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
        #expect(notes.allSatisfy { $0.kind == .refusals && $0.from?.microseconds == minute && $0.to == end })
        // While they are not durable, the next minutes become one stretch.
        slots.countRefusal(.limit, minute: minute + 60_000_000)
        slots.countRefusal(.limit, minute: minute + 120_000_000)
        let later = Timestamp(microseconds: minute + 300_000_000)
        #expect(slots.endedRefusals(now: later) == [])
        slots.freeRefusals()
        let next = try #require(slots.endedRefusals(now: later).first)
        #expect(next.count == 2 && next.detail == "limit")
        #expect(
            next.from?.microseconds == minute + 60_000_000 && next.to?.microseconds == minute + 180_000_000)
        slots.freeRefusals()
        #expect(slots.endedRefusals(now: Timestamp(microseconds: .max)) == [])
    }

    @Test func `places are told as bytes and as text`() throws {
        let four = ClientPlace(ipv4: 0xcb00_7109, port: 51_514)
        #expect(four.bytes == [203, 0, 113, 9] && four.text == "203.0.113.9:51514")
        let bytes: [UInt8] = [0x20, 1, 0xd, 0xb8] + [UInt8](repeating: 0, count: 11) + [1]
        let six = try #require(ClientPlace(bytes: bytes, port: 80))
        #expect(six.bytes == bytes && six.text == "[2001:db8::1]:80")
        #expect(ClientPlace(bytes: [203, 0, 113, 9], port: 51_514) == four)
        #expect(ClientPlace.unix.bytes == [] && ClientPlace.unix.text == "unix")
        #expect(ClientPlace(bytes: [1], port: 1) == nil)
    }

    @Test func `every reason has a side`() {
        let sides = Dictionary(grouping: EndReason.allCases, by: \.side).mapValues { $0.map(\.rawValue) }
        #expect(sides[.client] == ["client-eof", "client-reset"])
        #expect(sides[.target]?.count == 5)
        #expect(sides[.operator] == ["revoked", "mapping-removed", "killed", "loop"])
        #expect(EndReason.allCases.count == 20)
    }
}
