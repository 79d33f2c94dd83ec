/// JSON of a shape that is not known beforehand: what strangers send, the body of a request, the OpenAPI document.
///
/// It is read from bytes that have been measured first (`JSONLimits`), so that a text costs what its length says: a dictionary
/// hashes text by canonical equivalence, and a letter with n combining marks costs n² there. Keys are therefore short and ASCII.
package enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    package init(_ bytes: [UInt8], _ limits: JSONLimits = JSONLimits()) throws(JSONFault) {
        self = try JSONReader.read(bytes, limits)
    }

    /// In sentences: `a string`.
    package var kind: String {
        switch self {
        case .null: "null"
        case .bool: "true or false"
        case .integer, .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }

    package var object: [String: JSONValue]? { if case .object(let object) = self { object } else { nil } }
    package var array: [JSONValue]? { if case .array(let values) = self { values } else { nil } }
    package var text: String? { if case .string(let text) = self { text } else { nil } }
    package var integer: Int64? { if case .integer(let number) = self { number } else { nil } }
    /// A text that may be compared with words of ours: short, and ASCII.
    package var word: String? {
        guard let text, text.utf8.count <= 64, text.utf8.allSatisfy({ $0 < 128 }) else { return nil }
        return text
    }
}

/// What a text may ask of its reader. Its owner knows what a message of the kind can need.
package struct JSONLimits: Sendable {
    package var bytes: Int
    /// Of arrays and objects in each other. The reader goes as deep on its stack.
    package var depth: Int
    /// All that it holds: numbers, texts, arrays, objects, what is in them, and keys.
    package var values: Int
    /// Of one text, decoded.
    package var textBytes: Int
    /// Of one key.
    package static let keyBytes = 64
    /// Of one number: all that a double or a 64-bit integer has, and an exponent.
    package static let numberBytes = 40

    package init(bytes: Int = 1 << 20, depth: Int = 16, values: Int = 10_000, textBytes: Int = 4_096) {
        (self.bytes, self.depth, self.values, self.textBytes) = (bytes, depth, values, textBytes)
    }
}

/// Why a text was not read, as a phrase.
package enum JSONFault: Error, CaseIterable, Sendable, CustomStringConvertible {
    case notJSON
    case tooLong
    case tooDeep
    case tooManyValues
    case longKey
    case strangeKey
    case keyTwice
    case longText
    case longNumber

    package var description: String {
        switch self {
        case .notJSON: "not JSON"
        case .tooLong: "longer than it may be"
        case .tooDeep: "nested deeper than it may be"
        case .tooManyValues: "more values than there may be"
        case .longKey: "a key of more than \(JSONLimits.keyBytes) bytes"
        case .strangeKey: "a key that is not ASCII"
        case .keyTwice: "a key twice in one object"
        case .longText: "a text longer than it may be"
        case .longNumber: "a number of more than \(JSONLimits.numberBytes) characters"
        }
    }
}

extension JSONValue: Codable {
    /// For answers of the own server, whose text has been read by `init(_:_:)` before it was stored or is the program's own.
    package init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let bool = try? value.decode(Bool.self) {
            self = .bool(bool)
        } else if let integer = try? value.decode(Int64.self) {
            self = .integer(integer)
        } else if let number = try? value.decode(Double.self) {
            self = .number(number)
        } else if let string = try? value.decode(String.self) {
            self = .string(string)
        } else if let array = try? value.decode([JSONValue].self) {
            self = .array(array)
        } else {
            self = .object(try value.decode([String: JSONValue].self))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        switch self {
        case .null: try value.encodeNil()
        case .bool(let bool): try value.encode(bool)
        case .integer(let integer): try value.encode(integer)
        case .number(let number): try value.encode(number)
        case .string(let string): try value.encode(string)
        case .array(let array): try value.encode(array)
        case .object(let object): try value.encode(object)
        }
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByDictionaryLiteral, ExpressibleByArrayLiteral {
    package init(stringLiteral text: String) { self = .string(text) }
    package init(arrayLiteral values: JSONValue...) { self = .array(values) }
    package init(dictionaryLiteral pairs: (String, JSONValue)...) {
        self = .object(Dictionary(pairs) { $1 })
    }
}
