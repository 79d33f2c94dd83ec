import FoundationEssentials

/// One line of JSON, its keys in the order of the alphabet: the same for the same value.
package func jsonText(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Strings and whole numbers of our own: encoding them cannot fail.
    guard let data = try? encoder.encode(value) else { preconditionFailure("a value that is not JSON") }
    return printable([UInt8](data))
}

/// The same JSON, with what does not print or turns the direction of writing as its number: the encoder escapes no more than it must,
/// and a terminal obeys U+009B as it does ESC [.
private func printable(_ json: [UInt8]) -> [UInt8] {
    guard json.contains(where: { $0 >= 0x7f }) else { return json }
    var shown: [UInt8] = []
    shown.reserveCapacity(json.count)
    for scalar in String(decoding: json, as: UTF8.self).unicodeScalars {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned, .surrogate:
            for unit in String(scalar).utf16 {
                let digits = String(unit, radix: 16)
                shown += Array(("\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits).utf8)
            }
        default: shown += Array(String(scalar).utf8)
        }
    }
    return shown
}
