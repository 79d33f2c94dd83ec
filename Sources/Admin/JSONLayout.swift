/// The layout of JSON that is already right: taken apart and indented as bytes, so that every value stays as the server wrote it.
enum JSONLayout {
    /// The elements of an array, or the value itself.
    static func elements(_ json: [UInt8]) -> [ArraySlice<UInt8>] {
        guard json.first == UInt8(ascii: "["), json.last == UInt8(ascii: "]") else { return [json[...]] }
        var found: [ArraySlice<UInt8>] = []
        var depth = 0
        var start = 1
        scan(json) { index, byte in
            switch byte {
            case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                depth -= 1
                if depth == 0, start < index { found.append(json[start..<index]) }
            case UInt8(ascii: ",") where depth == 1:
                found.append(json[start..<index])
                start = index + 1
            default: break
            }
        }
        return found
    }

    /// The value of one name of an object.
    static func member(_ name: String, of json: [UInt8]) -> ArraySlice<UInt8>? {
        let wanted = Array("\"\(name)\"".utf8)
        var depth = 0
        var begin = 0
        var isWanted = false
        var found: ArraySlice<UInt8>?
        scan(json) { index, byte in
            switch byte {
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                depth += 1
                if depth == 1 { begin = index + 1 }
            case UInt8(ascii: ":") where depth == 1:
                isWanted = json[begin..<index].elementsEqual(wanted)
                begin = index + 1
            case UInt8(ascii: ",") where depth == 1:
                if isWanted { found = json[begin..<index] }
                begin = index + 1
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                depth -= 1
                if depth == 0, isWanted, found == nil { found = json[begin..<index] }
            default: break
            }
            if found != nil { isWanted = false }
        }
        return found
    }

    /// Two spaces a level; an empty list stays `[]`.
    static func indented(_ json: [UInt8]) -> String {
        var out: [UInt8] = []
        out.reserveCapacity(json.count * 2)
        var depth = 0
        func newLine() {
            out.append(UInt8(ascii: "\n"))
            out += [UInt8](repeating: UInt8(ascii: " "), count: 2 * depth)
        }
        var last = 0
        scan(json) { index, byte in
            out += json[last..<index]
            last = index + 1
            switch byte {
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                out.append(byte)
                depth += 1
                let isEmpty = index + 1 < json.count && json[index + 1] == byte + 2
                if !isEmpty { newLine() }
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                depth -= 1
                // The bracket that opens is two before the one that closes, in ASCII.
                if out.last != byte - 2 { newLine() }
                out.append(byte)
            case UInt8(ascii: ","):
                out.append(byte)
                newLine()
            default:
                out.append(byte)
                out.append(UInt8(ascii: " "))
            }
        }
        return String(decoding: out + json[last...], as: UTF8.self)
    }

    /// Calls with each bracket, brace, comma and colon outside strings.
    private static func scan(_ json: [UInt8], _ body: (Int, UInt8) -> Void) {
        var isInString = false
        var isEscaped = false
        for (index, byte) in json.enumerated() {
            if isInString {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isInString = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isInString = true
            case UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "{"), UInt8(ascii: "}"),
                UInt8(ascii: ","),
                UInt8(ascii: ":"):
                body(index, byte)
            default: break
            }
        }
    }
}
