import Testing

import Flags

struct FlagValueTests {
    private let anyDuration = Duration.zero ... .nanoseconds(Int64.max)

    @Test(
        arguments: [
            ("0", .zero), ("0s", .zero), ("10s", .seconds(10)), ("500ms", .milliseconds(500)),
            ("1m30s", .seconds(90)), ("365d", .seconds(31_536_000)), ("1.5h", .seconds(5_400)),
            (".5s", .milliseconds(500)),
            ("1.s", .seconds(1)), ("7us", .microseconds(7)), ("7µs", .microseconds(7)),
            ("7μs", .microseconds(7)),
            ("9ns", .nanoseconds(9)), ("1h1m1s1ms1us1ns", .nanoseconds(3_661_001_001_001)),
            ("0.000000001s", .nanoseconds(1)), ("0.0000000019s", .nanoseconds(1)), ("0.1d", .seconds(8_640)),
            ("9223372036854775807ns", .nanoseconds(Int64.max)), ("106751d", .seconds(106_751 * 86_400)),
            ("0000000000000000000000000000001s", .seconds(1)),
        ] as [(String, Duration)])
    func `durations are read as Go writes them, and days`(text: String, expected: Duration) throws {
        #expect(try parseDuration(text, in: anyDuration) == expected)
    }

    @Test(arguments: [
        "", " ", "s", "-1s", "+1s", "1", "10 s", "1s ", "1S", ".", ".s", "1..5s", "1.5.5s", "1e3s", "1w",
        "1ss", "٣s", "∞",
        "1sm", "106752d", "9223372036854775808ns", "99999999999999999999999999d", "9223372036854775807ns1ns",
        "NaNs",
        "106751d100d", "1s\u{0}", "1µ", "0x1s", "00",
    ])
    func `other durations are refused and none traps`(text: String) {
        #expect(throws: FlagError.self) { try parseDuration(text, in: anyDuration) }
    }

    @Test func `a duration outside its range names the range`() {
        #expect(throws: FlagError("not between 1s and 365d")) {
            try parseDuration("366d", in: .seconds(1) ... .seconds(31_536_000))
        }
    }

    @Test(arguments: [
        (Duration.zero, "0s"), (.seconds(90), "1m30s"), (.milliseconds(1_500), "1s500000000ns"),
        (.seconds(86_400), "1d"),
    ])
    func `a duration is written as it is read`(duration: Duration, expected: String) throws {
        #expect(durationText(duration) == expected)
        #expect(try parseDuration(expected, in: anyDuration) == duration)
    }

    @Test(arguments: [("0", 0), ("-0", 0), ("007", 7), ("-5", -5), ("9223372036854775807", Int.max)])
    func `whole numbers are decimal`(text: String, expected: Int) throws {
        #expect(try parseInt(text, in: Int.min...Int.max) == expected)
    }

    @Test(arguments: [
        "", "-", "+1", "1.0", "0x10", "1_000", "1e3", " 1", "1\n", "١", "9223372036854775808", "--1",
        "-9223372036854775809", String(repeating: "9", count: 100_000),
    ])
    func `other numbers are refused and none traps`(text: String) {
        #expect(throws: FlagError.self) { try parseInt(text, in: Int.min...Int.max) }
    }

    @Test func `a suggestion is the nearest name, and none if all are far`() {
        let names = ["listener", "peer_listener", "port", "host", "help"]
        #expect(closestName(to: "peer-listener", among: names) == "peer_listener")
        #expect(closestName(to: "listner", among: names) == "listener")
        #expect(closestName(to: "prot", among: names) == "port")
        #expect(closestName(to: "hots", among: names) == "host")
        #expect(closestName(to: "database", among: names) == nil)
        #expect(closestName(to: "", among: names) == nil)
        #expect(closestName(to: String(repeating: "p", count: 1 << 20), among: names) == nil)
    }
}
