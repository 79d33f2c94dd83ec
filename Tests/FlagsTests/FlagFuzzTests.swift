import Testing

import Flags

struct FlagFuzzTests {
    /// SplitMix64: small, and the same on every machine, so a printed seed replays.
    private struct SeededRandom: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var word = state
            word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
            word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
            return word ^ (word >> 31)
        }
    }

    private static let pieces = [
        "-", "--", "=", ",", "host", "port", "uuid", "note", "listener", "allow", "drain", "level", "verbose",
        "help",
        "version", "h", "true", "false", "0", "1", "925", "65536", "-1", "9223372036854775808", "10s", "1.5h",
        ".", "d",
        "999999999d", "ns", "high", "{}", "\"", "'", "\\", "\u{0}", "\n", "\r", "\u{1B}[2J", "\u{85}",
        "\u{2028}",
        "\u{202E}", "\u{301}", "\u{FFFD}", "\u{10FFFF}", "µ", "٣", "é", "👩‍👩‍👧", " ", "",
    ]

    /// Mostly words of a command line, sometimes any scalars at all.
    private static func argument(_ random: inout SeededRandom) -> String {
        if Int.random(in: 0..<8, using: &random) == 0 {
            let count = Int.random(in: 0..<20, using: &random)
            let scalars = (0..<count).compactMap { _ in
                Unicode.Scalar(UInt32.random(in: 0...0x10FFFF, using: &random))
            }
            return String(String.UnicodeScalarView(scalars))
        }
        var text = ["-", "--", "", ""].randomElement(using: &random) ?? ""
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            text += pieces.randomElement(using: &random) ?? ""
        }
        return text
    }

    @Test func `any arguments get an answer: options, or one printable line that leaves the options alone`() {
        var answers: [FlagTable<Sample>.Request: Int] = [:]
        var refusals: Set<String> = []
        for seed in UInt64(0)..<20_000 {
            var random = SeededRandom(state: seed)
            let count = Int.random(in: 0..<8, using: &random)
            let arguments = (0..<count).map { _ in Self.argument(&random) }
            let table = Bool.random(using: &random) ? Sample.table : Sample.tableWithArguments
            var options = Sample()
            do {
                answers[try table.parse(arguments, into: &options), default: 0] += 1
                #expect((0...65_535).contains(options.port) && options.drain >= .zero, "seed \(seed)")
            } catch {
                #expect(options == Sample(), "seed \(seed)")
                let line = error.description
                let isPrintable = line.unicodeScalars.allSatisfy { scalar in
                    ![.control, .format, .lineSeparator, .paragraphSeparator].contains(
                        scalar.properties.generalCategory)
                }
                #expect(isPrintable && line.utf8.count < 600, "seed \(seed): \(line)")
                #expect(line.contains(": "), "seed \(seed): \(line)")
                refusals.insert(line)
            }
        }
        // The seeds reach every answer and many reasons; else the test tests little.
        #expect(answers.keys.count == 3)
        #expect(refusals.count > 1_000)
    }
}
