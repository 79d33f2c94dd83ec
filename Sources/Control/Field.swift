import JSON

/// One value of a request or an answer, by name. The same lines check requests and describe them in the OpenAPI document, so
/// the two cannot disagree.
package struct Field: Sendable {
    package indirect enum Kind: Sendable {
        case text
        case integer(ClosedRange<Int64>)
        /// With a fraction.
        case number
        case flag
        /// RFC 3339 in UTC.
        case time
        case choice([String])
        /// `{"key":"text", …}`
        case textMap
        case textList
        case list(Kind)
        /// Another schema of the document.
        case object(Schema)
        case anyObject
        case nullable(Kind)
    }

    package let name: String
    package let kind: Kind
    package let isRequired: Bool
    package let help: String

    static func required(_ name: String, _ kind: Kind, _ help: String) -> Field {
        Field(name: name, kind: kind, isRequired: true, help: help)
    }

    static func optional(_ name: String, _ kind: Kind, _ help: String) -> Field {
        Field(name: name, kind: kind, isRequired: false, help: help)
    }
}

/// An object of the document; with alternatives, one of these.
package struct Schema: Sendable {
    package let name: String
    package let fields: [Field]
    package let alternatives: [Schema]

    init(name: String, fields: [Field]) {
        self.name = name
        self.fields = fields
        alternatives = []
    }

    init(name: String, alternatives: [Schema]) {
        self.name = name
        fields = []
        self.alternatives = alternatives
    }
}

extension Field {
    /// Checks a request's body against the fields that it may have. A misspelt name would otherwise be passed over.
    static func check(
        _ object: [String: JSONValue], _ fields: [Field], inside place: String = ""
    ) throws(ControlError) {
        for name in object.keys.sorted() where !fields.contains(where: { $0.name == name }) {
            let known = fields.map(\.name).joined(separator: ", ")
            throw .invalid(
                "\(place)\(shown(name)): unknown", hint: known.isEmpty ? nil : "known here: \(known)")
        }
        for field in fields {
            guard let value = object[field.name], value != .null else {
                if field.isRequired { throw .invalid("\(place)\(field.name): missing") }
                continue
            }
            try field.kind.check(value, place + field.name)
        }
    }

    /// A value of the address: text that must read as the field's kind.
    func check(text: String) throws(ControlError) {
        switch kind {
        case .integer(let range):
            guard let number = Int64(text) else {
                throw .invalid("\(name): \(shown(text)) is not a whole number")
            }
            try Kind.integer(range).check(.integer(number), name)
        default: try kind.check(.string(text), name)
        }
    }
}

extension Field.Kind {
    func check(_ value: JSONValue, _ place: String) throws(ControlError) {
        switch (self, value) {
        case (.text, .string), (.time, .string), (.flag, .bool), (.anyObject, .object), (.nullable, .null),
            (.number, .number), (.number, .integer):
            return
        case (.integer(let range), .integer(let number)):
            guard range.contains(number) else {
                throw .invalid(
                    "\(place): \(number) is not between \(range.lowerBound) and \(range.upperBound)")
            }
        case (.choice(let words), .string(let text)):
            // Compared when it is short: by canonical equivalence, a letter with n marks costs n².
            guard text.utf8.count <= 64, words.contains(text) else {
                throw .invalid("\(place): \(shown(text)) is none of \(words.joined(separator: ", "))")
            }
        case (.textMap, .object(let object)):
            for (key, value) in object.sorted(by: { $0.key < $1.key }) {
                try Field.Kind.text.check(value, "\(place).\(shown(key))")
            }
        case (.textList, .array(let values)):
            for (index, value) in values.enumerated() {
                try Field.Kind.text.check(value, "\(place)[\(index)]")
            }
        case (.list(let kind), .array(let values)):
            for (index, value) in values.enumerated() { try kind.check(value, "\(place)[\(index)]") }
        case (.object(let schema), .object(let object)):
            try Field.check(object, schema.fields, inside: place + ".")
        case (.nullable(let kind), _): try kind.check(value, place)
        default: throw .invalid("\(place): must be \(words), not \(value.kind)")
        }
    }

    private var words: String {
        switch self {
        case .text, .choice: "a string"
        case .time: "a time as 2026-08-22T09:14:03Z"
        case .integer: "a whole number"
        case .number: "a number"
        case .flag: "true or false"
        case .textMap: "an object of strings"
        case .textList: "an array of strings"
        case .list: "an array"
        case .object, .anyObject: "an object"
        case .nullable(let kind): kind.words + " or null"
        }
    }
}

/// A stranger's text inside a sentence: in quotes, what does not print as its number, cut at 80 characters.
func shown(_ text: String) -> String {
    var out = ""
    for scalar in text.unicodeScalars.prefix(80) {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned, .surrogate:
            out += "\\u{\(String(scalar.value, radix: 16))}"
        default:
            if scalar == "\"" || scalar == "\\" { out += "\\" }
            out.unicodeScalars.append(scalar)
        }
    }
    return "\"\(out)\(text.unicodeScalars.count > 80 ? "…" : "")\""
}
