import Digests
import SQLite

/// Goes along a chain. The head and, after it, the row so far lie in memory of its own.
final class ChainWalk {
    private var bytes: UnsafeMutableRawBufferPointer
    private let digest = SHA256()

    init(_ place: TableVerifier.Place) {
        precondition(place.head.count == SHA256.bytes, "a head has \(SHA256.bytes) bytes")
        bytes = .allocate(byteCount: 1_024, alignment: 16)
        bytes.copyBytes(from: place.head)
    }

    deinit { bytes.deallocate() }

    var head: [UInt8] { Array(bytes[..<SHA256.bytes]) }

    /// Whether the row follows. If not, the walk stays where it was.
    func takes(_ row: borrowing Row) throws(SQLiteError) -> Bool {
        let last = row.columnCount - 1
        guard !row.isNull(last) else { return false }
        let chain = try row.integer(last)
        var count = SHA256.bytes
        for column in 0..<last {
            // No table of ours holds a real: no hash is right for it.
            guard append(row, column, at: &count) else { return false }
        }
        var next = (0 as UInt64, 0 as UInt64, 0 as UInt64, 0 as UInt64)
        return withUnsafeMutableBytes(of: &next) { next in
            digest.add(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            digest.finish(into: next.baseAddress!.assumingMemoryBound(to: UInt8.self))
            guard Int64(bigEndian: next.load(as: Int64.self)) == chain else { return false }
            bytes.copyMemory(from: UnsafeRawBufferPointer(next))
            return true
        }
    }

    private func append(_ row: borrowing Row, _ column: Int32, at count: inout Int) -> Bool {
        row.withValue(column) { value in
            switch value {
            case .null:
                makeRoom(count + 1)
                bytes[count] = 0
                count += 1
            case .integer(let number):
                makeRoom(count + 9)
                bytes[count] = 1
                bytes.storeBytes(of: number.bigEndian, toByteOffset: count + 1, as: Int64.self)
                count += 9
            case .text(let text): append(2, text, at: &count)
            case .blob(let blob): append(3, blob, at: &count)
            case .real: return false
            }
            return true
        }
    }

    /// SQLite takes values of 1,000 MB at most, so the count fits.
    private func append(_ type: UInt8, _ value: UnsafeRawBufferPointer, at count: inout Int) {
        makeRoom(count + 5 + value.count)
        bytes[count] = type
        bytes.storeBytes(of: UInt32(value.count).bigEndian, toByteOffset: count + 1, as: UInt32.self)
        UnsafeMutableRawBufferPointer(rebasing: bytes[(count + 5)...]).copyMemory(from: value)
        count += 5 + value.count
    }

    private func makeRoom(_ count: Int) {
        guard count > bytes.count else { return }
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: count * 2, alignment: 16)
        larger.copyMemory(from: UnsafeRawBufferPointer(bytes))
        bytes.deallocate()
        bytes = larger
    }
}
