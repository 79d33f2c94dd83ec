/// Where all chains stood at a seal, as the server's log told it: kept where nobody reaches it who can write to the database.
package struct Anchor: Equatable, Sendable {
    /// In the order of the seals' columns.
    static let tables = ["routes", "opened", "closed", "notes", "audit"]

    package let seal: Int64
    let ids: [Int64]
    /// Of 32 bytes each, one after the other.
    let heads: [UInt8]

    /// From a line of a log, with whatever stands around; nil for a line of something else.
    package init?(line: some StringProtocol) {
        let words = line.split { $0 == " " || $0 == "\t" || $0 == "\"" }
        guard words.contains("history-head"), let seal = Self.value("seal", words).flatMap({ Int64($0) })
        else {
            return nil
        }
        var ids: [Int64] = []
        var heads: [UInt8] = []
        for table in Self.tables {
            guard let parts = Self.value(table, words)?.split(separator: ":"), parts.count == 2,
                let id = Int64(parts[0]), let head = Self.bytes(parts[1].utf8), head.count == 32
            else { return nil }
            ids.append(id)
            heads += head
        }
        self.seal = seal
        self.ids = ids
        self.heads = heads
    }

    func head(_ table: Int) -> ArraySlice<UInt8> { heads[(32 * table)..<(32 * table + 32)] }

    private static func value<Text: StringProtocol>(_ key: String, _ words: [Text]) -> Substring? {
        words.first { $0.hasPrefix("\(key)=") }.map { Substring($0.dropFirst(key.utf8.count + 1)) }
    }

    private static func bytes(_ hex: Substring.UTF8View) -> [UInt8]? {
        guard hex.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        var high: UInt8?
        for digit in hex {
            let value: UInt8
            switch digit {
            case 48...57: value = digit - 48
            case 97...102: value = digit - 87
            case 65...70: value = digit - 55
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return bytes
    }
}
