import Digests
import SQLite

/// A row as the chain hashes it, read back from the file: the columns in the table's order but the last ones, `chain` or those
/// of a seal that its mac does not cover. See `ChainHash` for the form.
enum RowHash {
    /// Of the row alone.
    static func digest(_ row: borrowing Row) -> [UInt8] {
        var bytes: [UInt8] = []
        append(row, to: &bytes)
        return SHA256.digest(bytes)
    }

    static func append(_ row: borrowing Row, butLast left: Int32 = 1, to bytes: inout [UInt8]) {
        for column in 0..<(row.columnCount - left) {
            row.withValue(column) { value in
                switch value {
                case .null: bytes.append(0)
                case .integer(let number):
                    bytes.append(1)
                    withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
                case .text(let text): append(2, text, to: &bytes)
                case .blob(let blob): append(3, blob, to: &bytes)
                // In a table of ours only somebody else could have put one there: no hash is right for it.
                case .real: bytes.append(0xff)
                }
            }
        }
    }

    private static func append(_ type: UInt8, _ value: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
        bytes.append(type)
        withUnsafeBytes(of: UInt32(value.count).bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: value)
    }

    /// Lower case, two digits a byte.
    static func hex(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
