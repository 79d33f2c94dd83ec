import FoundationEssentials
import Reactor

/// A mapping as people write it, the original's JSON:
/// `{"Listen":{"Domain":"tcp","Addr":"0.0.0.0:1080"},"Forward":{"Domain":"tcp","Addr":"127.0.0.1:80"}}`.
package struct MappingText: Equatable, Sendable {
    package let listen: Endpoint
    package let forward: Endpoint

    /// Longer than any two addresses; a megabyte on a command line is a mistake.
    private static let maximumBytes = 4_096

    /// The error is a phrase that says which part is wrong.
    package init(_ text: String) throws(EndpointError) {
        guard text.utf8.count <= Self.maximumBytes else { throw EndpointError("more than 4,096 bytes") }
        let form: Form
        do {
            form = try JSONDecoder().decode(Form.self, from: Data(text.utf8))
        } catch {
            throw EndpointError(Self.explain(error))
        }
        listen = try Self.endpoint(form.Listen, "Listen")
        forward = try Self.endpoint(form.Forward, "Forward")
        guard forward.domain == .unix || forward.port != 0 else { throw EndpointError("Forward.Addr: port 0") }
    }

    private static func endpoint(_ place: Place, _ name: String) throws(EndpointError) -> Endpoint {
        guard let domain = Domain(rawValue: place.Domain) else {
            let known = Domain.allCases.map(\.rawValue).joined(separator: ", ")
            throw EndpointError("\(name).Domain: \(quoted(place.Domain)) is none of \(known)")
        }
        do {
            return try Endpoint(domain: domain, address: place.Addr)
        } catch {
            throw EndpointError("\(name).Addr: \(quoted(place.Addr)): \(error)")
        }
    }

    private static func quoted(_ text: String) -> String {
        let shown = text.unicodeScalars.prefix(80).map { $0.value < 32 || $0.value == 127 ? "?" : String($0) }
        return "\"\(shown.joined())\""
    }

    private static func explain(_ error: any Error) -> String {
        let path = { (keys: [any CodingKey]) in keys.map(\.stringValue).joined(separator: ".") }
        switch error as? DecodingError {
        case .keyNotFound(let key, let context): return "missing \(path(context.codingPath + [key]))"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            let place = path(context.codingPath)
            return place.isEmpty ? "not a JSON object" : "\(place): of the wrong type"
        case .dataCorrupted(let context) where !context.codingPath.isEmpty || context.underlyingError == nil:
            return context.debugDescription
        default: return "not JSON"
        }
    }

    // The names are those of the JSON.
    // swift-format-ignore: AlwaysUseLowerCamelCase
    private struct Form: Decodable {
        let Listen: Place
        let Forward: Place

        init(from decoder: any Decoder) throws {
            try MappingText.refuseUnknown(decoder, known: ["Listen", "Forward"])
            let values = try decoder.container(keyedBy: Name.self)
            Listen = try values.decode(Place.self, forKey: Name("Listen"))
            Forward = try values.decode(Place.self, forKey: Name("Forward"))
        }
    }

    // swift-format-ignore: AlwaysUseLowerCamelCase
    private struct Place: Decodable {
        let Domain: String
        let Addr: String

        init(from decoder: any Decoder) throws {
            try MappingText.refuseUnknown(decoder, known: ["Domain", "Addr"])
            let values = try decoder.container(keyedBy: Name.self)
            Domain = try values.decode(String.self, forKey: Name("Domain"))
            Addr = try values.decode(String.self, forKey: Name("Addr"))
        }
    }

    private struct Name: CodingKey {
        let stringValue: String
        let intValue: Int? = nil

        init(_ name: String) { stringValue = name }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { return nil }
    }

    /// A misspelt key would otherwise be passed over.
    private static func refuseUnknown(_ decoder: any Decoder, known: Set<String>) throws {
        let values = try decoder.container(keyedBy: Name.self)
        for key in values.allKeys where !known.contains(key.stringValue) {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(codingPath: [key], debugDescription: "unknown key \(quoted(key.stringValue))"))
        }
    }
}
