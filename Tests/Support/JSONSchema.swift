import Foundation

/// The part of JSON Schema that an OpenAPI document of ours uses: `$ref`, `type`, `enum`, `properties`, `required`,
/// `additionalProperties`, `items`, `minimum`, `maximum`, `anyOf`, `format: date-time`. Stricter than the specification: a name
/// that is not among the properties is a fault.
package struct JSONSchema {
    private let document: [String: Any]

    package init(document: [UInt8]) throws {
        let value = try JSONSerialization.jsonObject(with: Data(document))
        self.document = value as? [String: Any] ?? [:]
    }

    package var paths: [String: [String: Any]] { document["paths"] as? [String: [String: Any]] ?? [:] }

    /// The schema of a successful answer.
    package func answer(_ method: String, _ path: String, status: Int) -> [String: Any]? {
        let operation = paths[path]?[method.lowercased()] as? [String: Any]
        let responses = operation?["responses"] as? [String: Any]
        return content(responses?[String(status)])
    }

    package func error(_ method: String, _ path: String) -> [String: Any]? {
        let operation = paths[path]?[method.lowercased()] as? [String: Any]
        return content((operation?["responses"] as? [String: Any])?["default"])
    }

    private func content(_ response: Any?) -> [String: Any]? {
        let content = (response as? [String: Any])?["content"] as? [String: Any]
        return (content?["application/json"] as? [String: Any])?["schema"] as? [String: Any]
    }

    package func named(_ name: String) -> [String: Any]? {
        ((document["components"] as? [String: Any])?["schemas"] as? [String: Any])?[name] as? [String: Any]
    }

    /// A sentence for each thing that is not as the schema says.
    package func faults(in json: [UInt8], _ schema: [String: Any]?) -> [String] {
        guard let schema else { return ["no schema"] }
        guard let value = try? JSONSerialization.jsonObject(with: Data(json), options: .fragmentsAllowed)
        else {
            return ["not JSON: \(String(decoding: json.prefix(200), as: UTF8.self))"]
        }
        return check(value, schema, "$")
    }

    private func check(_ value: Any, _ schema: [String: Any], _ place: String) -> [String] {
        if let reference = schema["$ref"] as? String {
            let name = reference.split(separator: "/").last.map(String.init) ?? ""
            guard let target = named(name) else { return ["\(place): \(reference) is not in the document"] }
            return check(value, target, place)
        }
        if let choices = schema["anyOf"] as? [[String: Any]] {
            let all = choices.map { check(value, $0, place) }
            return all.contains { $0.isEmpty } ? [] : all.first ?? []
        }
        let types = (schema["type"] as? [String]) ?? (schema["type"] as? String).map { [$0] } ?? []
        let type = type(of: value)
        guard types.contains(type) || type == "integer" && types.contains("number") else {
            return ["\(place): \(type), not \(types)"]
        }
        var faults: [String] = []
        if let words = schema["enum"] as? [String], let text = value as? String, !words.contains(text) {
            faults.append("\(place): \(text) is none of \(words)")
        }
        if schema["format"] as? String == "date-time", let text = value as? String, !isTime(text) {
            faults.append("\(place): \(text) is not RFC 3339 in UTC")
        }
        if let number = value as? Int, let least = schema["minimum"] as? Int, number < least {
            faults.append("\(place): \(number) is less than \(least)")
        }
        if let number = value as? Int, let most = schema["maximum"] as? Int, number > most {
            faults.append("\(place): \(number) is more than \(most)")
        }
        if let items = schema["items"] as? [String: Any], let array = value as? [Any] {
            for (index, item) in array.enumerated() { faults += check(item, items, "\(place)[\(index)]") }
        }
        if let object = value as? [String: Any] { faults += checkObject(object, schema, place) }
        return faults
    }

    private func checkObject(_ object: [String: Any], _ schema: [String: Any], _ place: String) -> [String] {
        var faults: [String] = []
        let properties = schema["properties"] as? [String: [String: Any]]
        for name in schema["required"] as? [String] ?? [] where object[name] == nil {
            faults.append("\(place).\(name): missing")
        }
        for (name, value) in object {
            if let property = properties?[name] ?? schema["additionalProperties"] as? [String: Any] {
                faults += check(value, property, "\(place).\(name)")
            } else if properties != nil {
                faults.append("\(place).\(name): is not in the schema")
            }
        }
        return faults
    }

    private func type(of value: Any) -> String {
        switch value {
        case is NSNull: return "null"
        case is String: return "string"
        case is [Any]: return "array"
        case is [String: Any]: return "object"
        case let number as NSNumber:
            if CFTypeCheck.isBool(number) { return "boolean" }
            return Double(Int(truncating: number)) == number.doubleValue ? "integer" : "number"
        default: return "unknown"
        }
    }

    private func isTime(_ text: String) -> Bool {
        text.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/) != nil
    }
}

/// Foundation keeps a Bool as a number; its type still tells them apart.
private enum CFTypeCheck {
    static func isBool(_ number: NSNumber) -> Bool { String(cString: number.objCType) == "c" }
}
