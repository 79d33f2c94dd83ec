/// RFC 8259 from bytes, once through, no further back than the byte before. Nothing is looked up, hashed or compared that has not
/// been counted against the limits.
struct JSONReader {
    private let bytes: [UInt8]
    private let limits: JSONLimits
    private var position = 0
    private var values = 0

    private init(_ bytes: [UInt8], _ limits: JSONLimits) {
        self.bytes = bytes
        self.limits = limits
    }

    static func read(_ bytes: [UInt8], _ limits: JSONLimits) throws(JSONFault) -> JSONValue {
        guard bytes.count <= limits.bytes else { throw .tooLong }
        var reader = JSONReader(bytes, limits)
        let value = try reader.value(depth: 0)
        guard reader.next() == nil else { throw .notJSON }
        return value
    }

    /// The next byte that is no white space.
    private mutating func next() -> UInt8? {
        while let byte = here, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
        return here
    }

    private var here: UInt8? { position < bytes.count ? bytes[position] : nil }

    /// Takes `byte` if it is the next one.
    private mutating func takes(_ byte: Unicode.Scalar) -> Bool {
        guard next() == UInt8(ascii: byte) else { return false }
        position += 1
        return true
    }

    private mutating func count() throws(JSONFault) {
        values += 1
        guard values <= limits.values else { throw .tooManyValues }
    }

    private mutating func value(depth: Int) throws(JSONFault) -> JSONValue {
        try count()
        switch next() {
        case UInt8(ascii: "{"):
            guard depth < limits.depth else { throw .tooDeep }
            return .object(try object(depth: depth + 1))
        case UInt8(ascii: "["):
            guard depth < limits.depth else { throw .tooDeep }
            return .array(try array(depth: depth + 1))
        case UInt8(ascii: "\""): return .string(try text(most: limits.textBytes, otherwise: .longText))
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func object(depth: Int) throws(JSONFault) -> [String: JSONValue] {
        position += 1
        var found: [String: JSONValue] = [:]
        if takes("}") { return found }
        repeat {
            guard next() == UInt8(ascii: "\"") else { throw .notJSON }
            try count()
            let key = try text(most: JSONLimits.keyBytes, otherwise: .longKey)
            guard key.utf8.allSatisfy({ $0 < 128 }) else { throw .strangeKey }
            guard takes(":") else { throw .notJSON }
            let value = try value(depth: depth)
            guard found.updateValue(value, forKey: key) == nil else { throw .keyTwice }
        } while takes(",")
        guard takes("}") else { throw .notJSON }
        return found
    }

    private mutating func array(depth: Int) throws(JSONFault) -> [JSONValue] {
        position += 1
        var found: [JSONValue] = []
        if takes("]") { return found }
        repeat { found.append(try value(depth: depth)) } while takes(",")
        guard takes("]") else { throw .notJSON }
        return found
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONFault) -> JSONValue {
        let isThere = word.withUTF8Buffer { bytes[position...].starts(with: $0) }
        guard isThere else { throw .notJSON }
        position += word.utf8CodeUnitCount
        return value
    }

    // MARK: Numbers

    private mutating func number() throws(JSONFault) -> JSONValue {
        let start = position
        if here == UInt8(ascii: "-") { position += 1 }
        let first = here
        guard digits() > 0, first != UInt8(ascii: "0") || !isLonger(than: 1, from: start) else {
            throw .notJSON
        }
        let isWhole = here != UInt8(ascii: ".") && here != UInt8(ascii: "e") && here != UInt8(ascii: "E")
        if here == UInt8(ascii: ".") {
            position += 1
            guard digits() > 0 else { throw .notJSON }
        }
        if here == UInt8(ascii: "e") || here == UInt8(ascii: "E") {
            position += 1
            if here == UInt8(ascii: "+") || here == UInt8(ascii: "-") { position += 1 }
            guard digits() > 0 else { throw .notJSON }
        }
        guard position - start <= JSONLimits.numberBytes else { throw .longNumber }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isWhole, let integer = Int64(text) { return .integer(integer) }
        guard let number = Double(text), number.isFinite else { throw .notJSON }
        // 1.0 and 1e3 are whole numbers as well; what no double holds exactly is none.
        return Int64(exactly: number).flatMap { abs(number) < 0x1p53 ? .integer($0) : nil } ?? .number(number)
    }

    /// How many digits stood here.
    private mutating func digits() -> Int {
        let start = position
        while let byte = here, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
        return position - start
    }

    /// Whether the digits that began at `start`, behind a sign or not, are more than `count`.
    private func isLonger(than count: Int, from start: Int) -> Bool {
        position - start - (bytes[start] == UInt8(ascii: "-") ? 1 : 0) > count
    }

    // MARK: Texts

    private mutating func text(most: Int, otherwise fault: JSONFault) throws(JSONFault) -> String {
        position += 1
        var decoded: [UInt8] = []
        var start = position
        while let byte = here {
            switch byte {
            case UInt8(ascii: "\""):
                guard decoded.count + position - start <= most else { throw fault }
                defer { position += 1 }
                // Most texts have no escape: those are not copied.
                let text =
                    decoded.isEmpty
                    ? String(validating: bytes[start..<position], as: UTF8.self)
                    : String(validating: decoded + bytes[start..<position], as: UTF8.self)
                guard let text else { throw .notJSON }
                return text
            case UInt8(ascii: "\\"):
                decoded += bytes[start..<position]
                position += 1
                try escape(into: &decoded)
                start = position
            case 0..<0x20: throw .notJSON
            default: position += 1
            }
            guard decoded.count + position - start <= most else { throw fault }
        }
        throw .notJSON
    }

    private mutating func escape(into decoded: inout [UInt8]) throws(JSONFault) {
        guard let byte = here else { throw .notJSON }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): decoded.append(byte)
        case UInt8(ascii: "b"): decoded.append(0x08)
        case UInt8(ascii: "f"): decoded.append(0x0c)
        case UInt8(ascii: "n"): decoded.append(0x0a)
        case UInt8(ascii: "r"): decoded.append(0x0d)
        case UInt8(ascii: "t"): decoded.append(0x09)
        case UInt8(ascii: "u"):
            var code = UInt32(try unit())
            if code & 0xfc00 == 0xd800 {
                // The other half of a pair must follow.
                guard here == UInt8(ascii: "\\") else { throw .notJSON }
                position += 1
                guard here == UInt8(ascii: "u") else { throw .notJSON }
                position += 1
                let low = UInt32(try unit())
                guard low & 0xfc00 == 0xdc00 else { throw .notJSON }
                code = 0x10000 + (code & 0x3ff) << 10 + low & 0x3ff
            }
            guard let scalar = Unicode.Scalar(code) else { throw .notJSON }
            decoded += UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
        default: throw .notJSON
        }
    }

    /// Four hexadecimal digits.
    private mutating func unit() throws(JSONFault) -> UInt16 {
        var unit: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = here else { throw .notJSON }
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw .notJSON
            }
            unit = unit << 4 | UInt16(digit)
            position += 1
        }
        return unit
    }
}
