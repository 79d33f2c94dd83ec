import FoundationEssentials

/// One line of JSON, its keys in the order of the alphabet: the same for the same value.
package func jsonText(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Strings and whole numbers of our own: encoding them cannot fail.
    guard let data = try? encoder.encode(value) else { preconditionFailure("a value that is not JSON") }
    return [UInt8](data)
}
