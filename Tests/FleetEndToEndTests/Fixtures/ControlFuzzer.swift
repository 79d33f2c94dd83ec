import Mux
import Simulation
import Tunnel

/// What a node that means no good says: right reports, right ones with one thing wrong, and bytes; all from one seed.
struct ControlFuzzer {
    enum Saying {
        case control([UInt8])
        case frame(kind: UInt8, stream: UInt32, flags: UInt8, payload: [UInt8])
    }

    enum Verdict {
        /// The link goes on.
        case right
        /// It ends, with a violation.
        case wrong
        /// One of both.
        case either
    }

    private var random: SeededRandom
    /// Where this node listens; another node's; the revision of its plan.
    private let mine: UInt32
    private let others: UInt32
    private let revision: Int64

    init(seed: UInt64, mine: UInt32, others: UInt32, revision: Int64) {
        random = SeededRandom(seed: seed)
        (self.mine, self.others, self.revision) = (mine, others, revision)
    }

    mutating func next() -> (saying: Saying, verdict: Verdict) {
        switch random.below(8) {
        case 0...1: return (.control(Array(report().utf8)), .right)
        case 2...4: return (.control(wrongReport()), .wrong)
        case 5: return (.control(changed(Array(report().utf8))), .either)
        case 6: return (.control(noise()), .wrong)
        default: return (frame(), .either)
        }
    }

    // MARK: Reports

    private mutating func report(
        type: String = "\"report\"", revision: String? = nil, entries: [String]? = nil, more: String = ""
    ) -> String {
        let entries = entries ?? (random.oneIn(3) ? [] : [entry()])
        let unknown = random.oneIn(3) ? #","x\#(random.below(9))":[\#(random.below(9)),{"a":null}]"# : ""
        var parts = [
            #""type":\#(type)"#, #""revision":\#(revision ?? "\(self.revision)")"#,
            #""mappings":[\#(entries.joined(separator: ","))]"#,
        ]
        parts.shuffle(using: &random)
        return "{\(parts.joined(separator: ","))\(unknown)\(more)}"
    }

    private mutating func entry(
        id: String? = nil, state: String? = nil, more: String = ""
    ) -> String {
        let states = [
            #""pending""#, #""active","bound":"\#(text(60))""#,
            #""failed","detail":"\#(text(60))","retrySeconds":\#(number())"#, #""failed","detail":null"#,
        ]
        return #"{"id":\#(id ?? "\(mine)"),"state":\#(state ?? random.pick(states))\#(more)}"#
    }

    private mutating func number() -> String {
        random.pick(["0", "30", "-1", "9223372036854775807", "-9223372036854775808", "1e3", "2.0"])
    }

    private mutating func text(_ most: Int) -> String {
        let scalars = [
            "a", "é", "\u{316}", "\u{301}", "\u{202e}", "\u{9b}", "\u{7f}", "\\u0000", "\\n", "😀", "\\\"",
        ]
        return (0..<random.below(most)).map { _ in random.pick(scalars) }.joined()
    }

    private mutating func wrongReport() -> [UInt8] {
        let marks = "a" + String(repeating: "\u{316}\u{301}", count: 1 << random.below(16))
        let long = String(repeating: "x", count: 70 + random.below(100_000))
        let text: String
        switch random.below(12) {
        case 0:
            text = report(
                revision: random.pick([
                    "-1", "\(revision + 1)", "1000000", "9223372036854775807", "9223372036854775808",
                    "18446744073709551615", "18446744073709551616", "1e99", "1.5", "\"1\"", "null", "true",
                    "[]",
                    "-9223372036854775809",
                    String(repeating: "9", count: 1 + random.below(2_000)) + "9999999999",
                ]))
        case 1:
            text = report(
                type: random.pick([
                    "\"plan\"", "\"\"", "null", "1", "{}", "\"Report\"", "\"report\\u0000\"", "\"\(marks)\"",
                    "\"\(long)\"",
                ]), entries: [entry()])
        case 2:
            text = report(entries: [
                entry(
                    id: random.pick([
                        "-1", "4294967296", "1e30", "\(others)", "0", "4294967295", "\"\(mine)\"", "null",
                        "1.5",
                        "18446744073709551615",
                    ]))
            ])
        case 3:
            text = report(entries: [
                entry(
                    state: random.pick([
                        "\"\(marks)\"", "null", "7", "\"Active\"", "\"active\",\"bound\":7", "[]",
                    ]))
            ])
        case 4: text = report(entries: [entry(), entry()])
        case 5: text = report(entries: [random.pick(["null", "{}", "[]", "7", "\"x\""])])
        case 6: text = report(more: #","\#(random.oneIn(2) ? marks : "é")":1"#)
        case 7: text = report(more: #","type":"report""#)
        case 8: text = report(more: #","\#(long)":1"#)
        case 9: text = report(more: #","x":"\#(String(repeating: "y", count: 200_000))""#)
        case 10:
            text = report(
                more: #","x":\#(String(repeating: "[", count: 20))1\#(String(repeating: "]", count: 20))"#)
        default: text = report(more: #","x":[\#(String(repeating: "1,", count: 1_000))1]"#)
        }
        return Array(text.utf8)
    }

    private mutating func changed(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0...random.below(3) {
            let place = random.below(bytes.count)
            switch random.below(4) {
            case 0: bytes[place] = UInt8(random.below(256))
            case 1: bytes.insert(UInt8(random.below(256)), at: place)
            case 2: bytes.remove(at: place)
            default: bytes += bytes[place...]
            }
            if bytes.isEmpty { bytes = [0] }
        }
        return bytes
    }

    /// No JSON, whatever it is.
    private mutating func noise() -> [UInt8] {
        let opens = ["[", "{\"a\":", "{\"type\":", "\"", "\\", "{\"type\":\"report\",\"revision\":"]
        switch random.below(3) {
        case 0: return [0xff] + (0..<random.below(300)).map { _ in UInt8(random.below(256)) }
        case 1: return Array(String(repeating: random.pick(opens), count: 1 + random.below(3_000)).utf8)
        default: return Array(report().utf8.dropLast(1 + random.below(20)))
        }
    }

    // MARK: Frames

    /// Of any kind and length, on streams that there may be. (TLS and HELLO are other tests'.)
    private mutating func frame() -> Saying {
        let length = random.pick([0, 1, 4, 5, 8, 9, 16, 31, 32, 33, 1 + random.below(200)])
        var payload = (0..<length).map { _ in UInt8(random.pick([0, 1, 255, random.below(256)])) }
        let slot = UInt32(random.pick([0, 1, 2, 16_384, 65_535]))
        let stream =
            random.oneIn(3) ? 0 : UInt32(random.below(2)) << 31 | UInt32(random.below(3)) << 16 | slot
        let kind = UInt8(random.oneIn(8) ? random.below(256) : random.below(14))
        // An opening of its own mapping, so that there are streams to be wrong on.
        if kind == FrameKind.open.rawValue, random.oneIn(2) {
            payload = big(random.pick([mine, others, 0])) + big(UInt32(65_536)) + big(UInt32(65_536))
            payload += [4, 0] + big(UInt16(50_000)) + [127, 0, 0, 1] + [UInt8](repeating: 0, count: 12)
        }
        return .frame(
            kind: kind, stream: stream, flags: UInt8(random.pick([0, 0, 0, 1, 255])), payload: payload)
    }
}
