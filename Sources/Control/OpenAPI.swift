import JSON

/// The OpenAPI 3.1 document of the control service, made from the route table.
package enum OpenAPI {
    package static func document(version: String) -> JSONValue {
        var paths: [String: [String: JSONValue]] = [:]
        for route in Route.all {
            paths[route.path, default: [:]][route.method.lowercased()] = operation(route)
        }
        return [
            "openapi": "3.1.0",
            "info": [
                "title": "goproxy control", "version": .string(version),
                "description": "HTTP on the Unix socket control.sock of the server's data directory.",
            ],
            "paths": .object(paths.mapValues { .object($0) }),
            "components": ["schemas": .object(schemas())],
        ]
    }

    private static func operation(_ route: Route) -> JSONValue {
        var operation: [String: JSONValue] = [
            "operationId": .string(route.name), "summary": .string(route.summary),
            "responses": .object([
                String(route.status): ["description": "done", "content": content(schema(route.answer))],
                "default": ["description": "refused", "content": content(reference(Schemas.error))],
            ]),
        ]
        let segments: [JSONValue] = route.segments.filter { $0.hasPrefix("{") }.map {
            let name = String($0.dropFirst().dropLast())
            return [
                "name": .string(name), "in": "path", "required": .bool(true), "schema": ["type": "string"],
            ]
        }
        let query: [JSONValue] = route.query.map {
            [
                "name": .string($0.name), "in": "query", "required": .bool($0.isRequired),
                "description": .string($0.help), "schema": schema($0.kind),
            ]
        }
        if !(segments + query).isEmpty { operation["parameters"] = .array(segments + query) }
        if let body = route.body {
            let isRequired = body.fields.contains(where: \.isRequired)
            operation["requestBody"] = ["required": .bool(isRequired), "content": content(reference(body))]
        }
        return .object(operation)
    }

    private static func content(_ schema: JSONValue) -> JSONValue {
        ["application/json": ["schema": schema]]
    }

    private static func reference(_ schema: Schema) -> JSONValue {
        ["$ref": .string("#/components/schemas/\(schema.name)")]
    }

    private static func schema(_ answer: Route.Answer) -> JSONValue {
        switch answer {
        case .one(let schema): reference(schema)
        case .list(let schema): ["type": "array", "items": reference(schema)]
        case .document: ["type": "object"]
        }
    }

    /// - Parameter isClosed: a request with a name that is not there is refused; answers may get more names.
    private static func object(_ schema: Schema, isClosed: Bool) -> JSONValue {
        guard schema.alternatives.isEmpty else {
            return ["anyOf": .array(schema.alternatives.map { reference($0) })]
        }
        var value: [String: JSONValue] = [
            "type": "object", "required": .array(schema.fields.filter(\.isRequired).map { .string($0.name) }),
            "properties": .object(
                Dictionary(uniqueKeysWithValues: schema.fields.map { ($0.name, described($0)) })),
        ]
        if isClosed { value["additionalProperties"] = .bool(false) }
        return .object(value)
    }

    private static func described(_ field: Field) -> JSONValue {
        // A reference stands alone in older readers; its own schema describes it.
        guard case .object(var value) = schema(field.kind), value["$ref"] == nil else {
            return schema(field.kind)
        }
        value["description"] = .string(field.help)
        return .object(value)
    }

    private static func schema(_ kind: Field.Kind) -> JSONValue {
        switch kind {
        case .text: return ["type": "string"]
        case .flag: return ["type": "boolean"]
        case .number: return ["type": "number"]
        case .time: return ["type": "string", "format": "date-time"]
        case .choice(let words): return ["type": "string", "enum": .array(words.map { .string($0) })]
        case .textMap: return ["type": "object", "additionalProperties": ["type": "string"]]
        case .textList: return ["type": "array", "items": ["type": "string"]]
        case .list(let kind): return ["type": "array", "items": schema(kind)]
        case .object(let schema): return reference(schema)
        case .anyObject: return ["type": "object"]
        case .integer(let range):
            var value: [String: JSONValue] = ["type": "integer", "minimum": .integer(range.lowerBound)]
            if range.upperBound < Int64.max { value["maximum"] = .integer(range.upperBound) }
            return .object(value)
        case .nullable(let kind):
            guard case .object(var value) = schema(kind), case .string(let type) = value["type"] else {
                return ["anyOf": [schema(kind), ["type": "null"]]]
            }
            value["type"] = [.string(type), "null"]
            return .object(value)
        }
    }

    /// All that are named, each once, also those inside others.
    private static func schemas() -> [String: JSONValue] {
        var found: [String: JSONValue] = [:]
        func add(_ schema: Schema, isClosed: Bool) {
            let value = object(schema, isClosed: isClosed)
            guard found.updateValue(value, forKey: schema.name) == nil else { return }
            for inner in schema.alternatives + schema.fields.flatMap({ objects(in: $0.kind) }) {
                add(inner, isClosed: isClosed)
            }
        }
        add(Schemas.error, isClosed: false)
        for route in Route.all {
            if let body = route.body { add(body, isClosed: true) }
            switch route.answer {
            case .one(let schema), .list(let schema): add(schema, isClosed: false)
            case .document: break
            }
        }
        return found
    }

    private static func objects(in kind: Field.Kind) -> [Schema] {
        switch kind {
        case .object(let schema): [schema]
        case .list(let kind), .nullable(let kind): objects(in: kind)
        default: []
        }
    }
}
