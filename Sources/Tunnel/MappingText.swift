import JSON
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
        let form: JSONValue
        do throws(JSONFault) {
            form = try JSONValue(Array(text.utf8), JSONLimits(depth: 4, values: 64))
        } catch {
            throw EndpointError("\(error)")
        }
        let places = try Self.object(form, ["Listen", "Forward"], "")
        listen = try Self.endpoint(places, "Listen")
        forward = try Self.endpoint(places, "Forward")
        guard forward.domain == .unix || forward.port != 0 else {
            throw EndpointError("Forward.Addr: port 0")
        }
    }

    private static func endpoint(_ places: [String: JSONValue], _ name: String) throws(EndpointError)
        -> Endpoint
    {
        let place = try object(try value(places, name, ""), ["Domain", "Addr"], name)
        let word = try text(place, "Domain", name)
        guard let domain = Domain(rawValue: word) else {
            let known = Domain.allCases.map(\.rawValue).joined(separator: ", ")
            throw EndpointError("\(name).Domain: \(quoted(word)) is none of \(known)")
        }
        let address = try text(place, "Addr", name)
        do {
            return try Endpoint(domain: domain, address: address)
        } catch {
            throw EndpointError("\(name).Addr: \(quoted(address)): \(error)")
        }
    }

    /// A misspelt key would otherwise be passed over.
    private static func object(
        _ value: JSONValue, _ known: [String], _ name: String
    ) throws(EndpointError) -> [String: JSONValue] {
        guard let object = value.object else {
            throw EndpointError(name.isEmpty ? "not a JSON object" : "\(name): of the wrong type")
        }
        if let strange = object.keys.filter({ !known.contains($0) }).min() {
            throw EndpointError("unknown key \(quoted(strange))")
        }
        return object
    }

    private static func value(
        _ object: [String: JSONValue], _ key: String, _ place: String
    ) throws(EndpointError) -> JSONValue {
        guard let value = object[key] else {
            throw EndpointError("missing \(place.isEmpty ? key : "\(place).\(key)")")
        }
        return value
    }

    private static func text(
        _ object: [String: JSONValue], _ key: String, _ place: String
    ) throws(EndpointError) -> String {
        guard let text = try value(object, key, place).text else {
            throw EndpointError("\(place).\(key): of the wrong type")
        }
        return text
    }

    private static func quoted(_ text: String) -> String {
        let shown = text.unicodeScalars.prefix(80).map { $0.value < 32 || $0.value == 127 ? "?" : String($0) }
        return "\"\(shown.joined())\""
    }
}
