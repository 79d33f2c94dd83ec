import JSON
import Records

/// One thing that can be asked: how it is addressed, what it takes, what it answers, and who answers it. The dispatcher, the
/// checks of a request and the OpenAPI document are all made from `Route.all`.
package struct Route: Sendable {
    package enum Answer: Sendable {
        case one(Schema)
        case list(Schema)
        /// The OpenAPI document itself.
        case document
    }

    typealias Handler = @Sendable (ControlService, Call) throws(ControlError) -> Reply

    package let method: String
    /// `/v1/nodes/{node}`: a name in braces stands for any one segment.
    package let path: String
    /// What clients made from the document call it.
    package let name: String
    package let summary: String
    package let query: [Field]
    /// Nil: a body is not read.
    package let body: Schema?
    package let status: Int
    package let answer: Answer
    let handle: Handler

    init(
        _ method: String, _ path: String, _ name: String, _ summary: String, query: [Field] = [],
        body: Schema? = nil, status: Int = 200, answers answer: Answer, _ handle: @escaping Handler
    ) {
        self.method = method
        self.path = path
        self.name = name
        self.summary = summary
        self.query = query
        self.body = body
        self.status = status
        self.answer = answer
        self.handle = handle
    }

    package var segments: [Substring] { path.dropFirst().split(separator: "/") }

    /// The segments that stand for braces; nil if the path is another.
    func match(_ path: [String]) -> [String: String]? {
        let segments = segments
        guard segments.count == path.count else { return nil }
        var found: [String: String] = [:]
        for (segment, text) in zip(segments, path) {
            if segment.hasPrefix("{") {
                found[String(segment.dropFirst().dropLast())] = text
            } else if segment != text {
                return nil
            }
        }
        return found
    }
}

/// A request that has passed the checks of its route.
struct Call: Sendable {
    let segments: [String: String]
    let query: [String: String]
    let body: [String: JSONValue]
    let actor: Actor

    /// A segment in braces; the route has it.
    func segment(_ name: String) -> String { segments[name] ?? "" }

    func text(_ name: String) -> String? {
        if case .string(let text) = body[name] { text } else { nil }
    }

    func integer(_ name: String) -> Int64? {
        if case .integer(let number) = body[name] { number } else { nil }
    }

    func textMap(_ name: String) -> [String: String]? {
        guard case .object(let object) = body[name] else { return nil }
        return object.compactMapValues { if case .string(let text) = $0 { text } else { nil } }
    }

    func textList(_ name: String) -> [String]? {
        guard case .array(let values) = body[name] else { return nil }
        return values.compactMap { if case .string(let text) = $0 { text } else { nil } }
    }

    func place(_ name: String) -> Place? {
        guard case .object(let object) = body[name], case .string(let address) = object["addr"] else {
            return nil
        }
        if case .string(let domain) = object["domain"] { return Place(domain: domain, addr: address) }
        return Place(addr: address)
    }

    /// A time of the address.
    func queryTime(_ name: String) throws(ControlError) -> Timestamp? {
        guard let text = query[name] else { return nil }
        guard let time = Timestamp(text) else {
            throw .invalid("\(name): \(shown(text)) is not a time such as 2026-08-22T09:14:03Z")
        }
        return time
    }

    func number(_ name: String) -> Int? { query[name].flatMap { Int($0) } }

    var kind: MappingKind? { query["kind"].flatMap { MappingKind(rawValue: $0) } }
}

/// An answer that is not an error.
struct Reply: Sendable {
    let body: [UInt8]

    init(_ value: some Encodable) { body = jsonText(value) }
}
