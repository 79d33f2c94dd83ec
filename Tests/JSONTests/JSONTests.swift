import Foundation
import JSON
import Support
import Testing

struct JSONTests {
    private func read(_ text: String, _ limits: JSONLimits = JSONLimits()) throws(JSONFault) -> JSONValue {
        try JSONValue(Array(text.utf8), limits)
    }

    @Test func `what is JSON is read`() throws {
        #expect(try read(" null ") == .null)
        #expect(try read("[true,false]") == [.bool(true), .bool(false)])
        #expect(try read("-0") == .integer(0))
        #expect(try read("9223372036854775807") == .integer(.max))
        #expect(try read("-9223372036854775808") == .integer(.min))
        #expect(try read("9223372036854775808") == .number(0x1p63))
        #expect(
            try read("[1.0,1e3,0.5,-2.5E-1]") == [.integer(1), .integer(1_000), .number(0.5), .number(-0.25)])
        #expect(try read(#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é""#) == .string("a\"\\/\u{8}\u{c}\n\r\té😀é"))
        #expect(try read(#"{ "a" : { } , "b" : [ ] , "" : "" }"#) == ["a": [:], "b": [], "": ""])
    }

    @Test(arguments: [
        "", " ", "nul", "nulll", "[", "]", "[1,]", "[,1]", "[1 2]", "{", "{a:1}", #"{"a"}"#, #"{"a":}"#,
        #"{"a":1,}"#,
        #"{1:1}"#, "01", "-", "-01", "+1", "1.", ".5", "1e", "1e+", "0x1", "1e999", "NaN", "Infinity", #"""#,
        #""\"#,
        #""\x""#, #""\u12""#, #""\u12g4""#, #""\ud800""#, #""\ud800\u0041""#, #""\udc00""#, "\"\n\"", "'a'",
        "1 2", "[]x",
        "\u{feff}1", "\"\u{0}\"",
    ])
    func `what is not JSON is refused`(text: String) {
        #expect(throws: JSONFault.notJSON) { try read(text) }
    }

    @Test func `bytes that are no UTF-8 are refused`() {
        for bytes in [
            [0xff], [0x22, 0xc3, 0x28, 0x22], [0x22, 0x80, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22],
        ] as [[UInt8]] {
            #expect(throws: JSONFault.notJSON) { try JSONValue(bytes) }
        }
    }

    @Test func `each limit is named, and what just fits is read`() throws {
        let key = String(repeating: "k", count: JSONLimits.keyBytes)
        let number = "1." + String(repeating: "5", count: JSONLimits.numberBytes - 2)
        let cases: [(JSONFault, JSONLimits, fits: String, not: String)] = [
            (.tooLong, JSONLimits(bytes: 4), "[12]", "[123]"),
            (.tooDeep, JSONLimits(depth: 2), "[[1]]", "[[[]]]"),
            (.tooDeep, JSONLimits(depth: 1), #"{"a":1}"#, #"{"a":{}}"#),
            (.tooManyValues, JSONLimits(values: 4), "[1,2,3]", "[1,2,3,4]"),
            (.tooManyValues, JSONLimits(values: 4), #"[{"a":1}]"#, #"[{"a":1,"b":1}]"#),
            (.longKey, JSONLimits(), #"{"\#(key)":1}"#, #"{"\#(key)k":1}"#),
            (.strangeKey, JSONLimits(), #"{"e":1}"#, #"{"é":1}"#),
            (.strangeKey, JSONLimits(), #"{"\u0065":1}"#, #"{"\u00e9":1}"#),
            (.keyTwice, JSONLimits(), #"{"a":1,"b":1}"#, #"{"a":1,"\u0061":1}"#),
            (.longText, JSONLimits(textBytes: 4), #""éé""#, #""ééa""#),
            (.longText, JSONLimits(textBytes: 4), #""\u00e9\n\n""#, #""\u00e9\n\n\n""#),
            (.longNumber, JSONLimits(), number, number + "5"),
        ]
        for (fault, limits, fits, not) in cases {
            #expect(throws: Never.self, "\(fits)") { try read(fits, limits) }
            #expect(throws: fault, "\(not)") { try read(not, limits) }
        }
    }

    @Test func `nesting without an end and marks without an end cost what their bytes say`() {
        let marks = "a" + String(repeating: "\u{316}\u{301}", count: 100_000)
        let took = ContinuousClock().measure {
            for text in [
                String(repeating: "[", count: 1 << 20), String(repeating: #"{"a":"#, count: 1 << 18),
                #"{"\#(marks)":1}"#, #"["\#(marks)"]"#,
            ] {
                #expect(throws: JSONFault.self) { try read(text) }
            }
        }
        #expect(took < .seconds(10), "\(took)")
    }

    @Test func `a word is short and ASCII`() {
        #expect(JSONValue.string("plan").word == "plan")
        #expect(JSONValue.string("plän").word == nil)
        #expect(JSONValue.string(String(repeating: "a", count: 65)).word == nil)
        #expect(JSONValue.integer(1).word == nil)
    }

    /// Another reader is the judge: whatever it and ours both take means the same, and what it refuses is refused.
    @Test func `any text means what Foundation's reader says it means, or is refused`() throws {
        let seed =
            ProcessInfo.processInfo.environment["GOPROXY_SEED"].flatMap(UInt64.init)
            ?? .random(in: 0 ... .max)
        var random = Words(state: seed)
        let pieces = [
            "{", "}", "[", "]", ":", ",", "\"", "a", "é", "\\", "u", "0", "1", "-", ".", "e", " ", "\n",
            "true", "null", "\\u00e9",
            "\"a\":", "\"b\"", "\\ud83d\\ude00", "12", "1e5", "\u{0}",
        ]
        var taken = 0
        for _ in 0..<20_000 {
            let text = (0..<random.below(12) + 1).map { _ in pieces[random.below(pieces.count)] }.joined()
            let judged = try? JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
            guard let value = try? read(text) else { continue }
            taken += 1
            guard let judged else {
                Issue.record("seed \(seed): \(text) is \(value)")
                continue
            }
            #expect(Self.same(value, judged), "seed \(seed): \(text)")
        }
        #expect(taken > 500, "the test makes JSON: \(taken)")
    }

    private static func same(_ value: JSONValue, _ other: Any) -> Bool {
        switch value {
        case .null: other is NSNull
        case .bool(let flag): (other as? Bool) == flag
        case .integer(let number): (other as? NSNumber)?.doubleValue == Double(number)
        case .number(let number): (other as? NSNumber)?.doubleValue == number
        case .string(let text): (other as? String).map { Array($0.utf8) == Array(text.utf8) } ?? false
        case .array(let values):
            (other as? [Any]).map { $0.count == values.count && zip(values, $0).allSatisfy { same($0, $1) } }
                ?? false
        case .object(let object):
            (other as? [String: Any]).map { other in
                other.count == object.count
                    && object.allSatisfy { key, value in other[key].map { same(value, $0) } ?? false }
            } ?? false
        }
    }
}

/// Numbers from a seed.
private struct Words {
    var state: UInt64

    mutating func below(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(bound))
    }
}
