import Digests

/// The hash over all rows of one table in the order of their ids, for writing and for checking it.
///
/// head = SHA-256(head before ‖ row), beginning with SHA-256("goproxy chain 1 " + table). A row is its columns in the
/// table's order without `chain`: a type byte (0 NULL, 1 INTEGER, 2 TEXT, 3 BLOB), then 8 bytes, or a count of 4 bytes and
/// the bytes; numbers big-endian. One thread at a time; copies share the digest's context, not the state.
package struct ChainHash {
    private static let headBytes = SHA256.bytes

    /// The head, then the row so far.
    private var bytes: [UInt8]
    private let digest: SHA256

    /// Before the first row.
    package init(table: String) {
        self.init(head: SHA256.digest(Array("goproxy chain 1 \(table)".utf8)))
    }

    /// After some row; 32 bytes.
    package init(head: [UInt8]) {
        precondition(head.count == Self.headBytes, "a head has \(Self.headBytes) bytes")
        bytes = head
        bytes.reserveCapacity(512)
        digest = SHA256()
    }

    package var head: [UInt8] { Array(bytes[..<Self.headBytes]) }

    /// What was added since the row before, as it is hashed.
    package var row: [UInt8] { Array(bytes[Self.headBytes...]) }

    package mutating func addNull() { bytes.append(0) }

    package mutating func add(_ value: Int64) {
        bytes.append(1)
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    package mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { add(2, UnsafeRawBufferPointer($0)) }
    }

    package mutating func add(_ blob: [UInt8]) {
        blob.withUnsafeBytes { add(3, $0) }
    }

    package mutating func add(_ value: Int64?) {
        if let value { add(value) } else { addNull() }
    }

    package mutating func add(_ text: String?) {
        if let text { add(text) } else { addNull() }
    }

    mutating func add(blob: UnsafeRawBufferPointer) { add(3, blob) }

    /// SQLite takes values of 1,000 MB at most, so the count fits.
    private mutating func add(_ type: UInt8, _ value: UnsafeRawBufferPointer) {
        bytes.append(type)
        withUnsafeBytes(of: UInt32(value.count).bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: value)
    }

    /// The row is complete. Answers its `chain`: the first 8 bytes of the new head.
    package mutating func endRow() -> Int64 {
        bytes.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            digest.add(UnsafeRawBufferPointer(buffer))
            digest.finish(into: base)
        }
        bytes.removeLast(bytes.count - Self.headBytes)
        return bytes.withUnsafeBytes { Int64(bigEndian: $0.loadUnaligned(as: Int64.self)) }
    }

    /// Where it stands between two rows, without an allocation.
    var mark: SIMD4<UInt64> {
        bytes.withUnsafeBytes { $0.loadUnaligned(as: SIMD4<UInt64>.self) }
    }

    mutating func reset(to mark: SIMD4<UInt64>) {
        bytes.removeLast(bytes.count - Self.headBytes)
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: mark, as: SIMD4<UInt64>.self) }
    }
}
