import Foundation
import Support

/// JSON as it came, read by key. A key that is not there, or of another type, is a failure that shows the whole.
indirect enum JSON: Decodable, Sendable, Equatable, CustomStringConvertible {
    case null
    case bool(Bool)
    case integer(Int)
    case text(String)
    case list([JSON])
    case object([String: JSON])

    init(_ bytes: [UInt8]) throws {
        do { self = try JSONDecoder().decode(JSON.self, from: Data(bytes)) } catch {
            throw Failure("not JSON: \(String(decoding: bytes.prefix(400), as: UTF8.self))")
        }
    }

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let bool = try? value.decode(Bool.self) {
            self = .bool(bool)
        } else if let integer = try? value.decode(Int.self) {
            self = .integer(integer)
        } else if let text = try? value.decode(String.self) {
            self = .text(text)
        } else if let list = try? value.decode([JSON].self) {
            self = .list(list)
        } else {
            self = .object(try value.decode([String: JSON].self))
        }
    }

    subscript(key: String) -> JSON {
        if case .object(let object) = self { object[key] ?? .null } else { .null }
    }

    var isNull: Bool { self == .null }
    var string: String { if case .text(let text) = self { text } else { "" } }

    func text(_ key: String) throws -> String {
        guard case .text(let text) = self[key] else { throw Failure("no text \"\(key)\" in \(self)") }
        return text
    }

    func integer(_ key: String) throws -> Int {
        guard case .integer(let number) = self[key] else { throw Failure("no number \"\(key)\" in \(self)") }
        return number
    }

    func list() throws -> [JSON] {
        guard case .list(let list) = self else { throw Failure("not a list: \(self)") }
        return list
    }

    var description: String {
        switch self {
        case .null: "null"
        case .bool(let bool): "\(bool)"
        case .integer(let integer): "\(integer)"
        case .text(let text): Self.quoted(text)
        case .list(let list): "[" + list.map(\.description).joined(separator: ",") + "]"
        case .object(let object):
            "{"
                + object.sorted { $0.key < $1.key }.map { "\(Self.quoted($0.key)):\($0.value)" }
                .joined(separator: ",") + "}"
        }
    }

    /// A JSON string of any text, written here so that no encoder decides what reaches the server.
    static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": out += "\\\(scalar)"
            case _ where scalar.value < 32:
                let digits = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
