import Testing

import Logging

struct LogLineTests {
    private func text(_ value: String) -> String { LogLine.escaped(value) }

    @Test func `a line reads level, event, time and fields in order`() {
        var line = LogLine(.warn, "link-down", timeMilliseconds: 1_795_370_400_123)
        line.append("node", "edge-07")
        line.append("sub-connections", "3")
        #expect(line.text == "warn link-down time=2026-11-22T18:00:00.123Z node=edge-07 sub-connections=3")
    }

    @Test func `the journal stamps lines itself`() {
        #expect(LogLine(.info, "link-up", timeMilliseconds: nil).text == "info link-up")
    }

    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] as [(Int64, String)])
    func `times are UTC with milliseconds`(milliseconds: Int64, expected: String) {
        #expect(LogLine.timestamp(milliseconds) == expected)
    }

    @Test(arguments: ["edge-07", "127.0.0.1:80", "[::1]:80", "/run/x.sock", "Zürich", "東京", "a,b;c'd"])
    func `a plain word stays bare`(value: String) {
        #expect(text(value) == value)
    }

    @Test(arguments: [
        ("", #""""#), ("tcp 127.0.0.1:0", #""tcp 127.0.0.1:0""#), ("a=b", #""a=b""#),
        (#"say "hi""#, #""say \"hi\"""#),
        (#"C:\x"#, #""C:\\x""#), ("a\nerror forged", #""a\nerror forged""#), ("\r\t", #""\r\t""#),
        ("\u{0}\u{1B}[31m", #""\u0000\u001b[31m""#), ("\u{7F}", #""\u007f""#),
        ("\u{85}\u{9B}", #""\u0085\u009b""#),
        ("\u{2028}\u{2029}", #""\u2028\u2029""#), ("\u{202E}txt\u{2066}", #""\u202etxt\u2066""#),
        ("\u{61C}\u{200E}\u{FEFF}", #""\u061c\u200e\ufeff""#), ("\u{A0}", #""\u00a0""#),
        ("\u{E0041}", #""\udb40\udc41""#), ("\u{FFFF}", #""\uffff""#),
    ])
    func `anything else is a JSON string`(value: String, expected: String) {
        #expect(text(value) == expected)
    }

    @Test func `a value is cut at 512 printed bytes, never inside a character or an escape`() {
        for piece in ["x", "é", "東", "\u{1B}", "\u{E0041}", "\"", " "] {
            for count in [1, 30, 100, 250, 500, 512, 5_000] {
                let printed = text(String(repeating: piece, count: count))
                #expect(printed.utf8.count <= 512)
                let isCut = printed.unicodeScalars.contains("…")
                #expect(!isCut || printed.utf8.count > 495)
                #expect(isCut || printed.utf8.count >= count * piece.utf8.count)
            }
        }
        #expect(text(String(repeating: "x", count: 507)).utf8.count == 507)
        #expect(text(String(repeating: "x", count: 508)) == String(repeating: "x", count: 507) + "…")
    }

    @Test func `a line too long leaves out whole fields and says how many`() {
        var line = LogLine(.info, "event", timeMilliseconds: 0)
        for _ in 0..<20 { line.append("key", String(repeating: "y", count: 500)) }
        #expect(line.text.utf8.count <= 4_095)
        #expect(line.text.hasSuffix("y fields-left-out=13"))
        line.append("short", "1")
        #expect(line.text.hasSuffix(" fields-left-out=14"))
    }

    @Test func `no value, however hostile, makes a second line or a second field`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2_000 {
            let scalars = (0..<40).compactMap { _ in
                Unicode.Scalar(UInt32.random(in: 0...(Bool.random() ? 0x2100 : 0x10FFFF), using: &random))
            }
            let value = String(String.UnicodeScalarView(scalars))
            let printed = text(value)
            #expect(!printed.unicodeScalars.contains { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) })
            if printed.unicodeScalars.first != "\"" {
                #expect(printed == value)
                #expect(!printed.unicodeScalars.contains { " =\"".unicodeScalars.contains($0) })
            } else {
                // Inside the quotes, a quote is always behind an odd run of backslashes.
                var isEscaped = false
                for scalar in printed.unicodeScalars.dropFirst().dropLast() {
                    #expect(scalar != "\"" || isEscaped)
                    isEscaped = scalar == "\\" && !isEscaped
                }
                #expect(!isEscaped)
            }
        }
    }
}
