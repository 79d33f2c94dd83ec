// What protects records once hands have been shaken (RFC 8446, 5.2 to 5.4 and 7.2 to 7.3): one key for each direction.
import Buffers
import Ciphers

/// What a record carries.
enum RecordContent: UInt8 {
    case alert = 21
    case handshake = 22
    case applicationData = 23
}

/// How a record looks from outside.
///
///     │ 23 │ 3 │ 3 │ length │ payload, one byte that says what it is, tag │
enum ProtectedRecord {
    static let headerBytes = 5
    static let tagBytes = GCMCipher.tagBytes
    /// The byte behind the payload, and the tag.
    static let overhead = 1 + tagBytes
    static let mostLength = TLSEngine.maximumPayload + overhead
    static let mostBytes = headerBytes + mostLength

    /// The whole record's, by its header.
    static func bytes(_ header: UnsafeRawBufferPointer) -> Int {
        headerBytes + (Int(header[3]) << 8 | Int(header[4]))
    }
}

/// The key of one direction, and how many records it has protected. Sealing and opening allocate nothing.
struct TrafficKey: ~Copyable {
    private var secret: Secret
    private let isSealing: Bool
    private var cipher: GCMCipher
    /// 12 bytes, the last eight of which a record's number goes into.
    private var iv: (UInt32, UInt32, UInt32)
    private var sequence: UInt64 = 0

    /// `secret`: a traffic secret of the handshake.
    init(_ secret: Secret, sealing: Bool) {
        self.secret = secret
        isSealing = sealing
        cipher = Self.cipher(secret, sealing)
        iv = Self.iv(secret)
    }

    /// Goes on with the next key, as a KeyUpdate says.
    mutating func renew() {
        secret = Secret(Self.expand(secret, label: "traffic upd", count: secret.bytes.count))
        sequence = 0
        cipher = Self.cipher(secret, isSealing)
        iv = Self.iv(secret)
    }

    /// Appends one record with `payload`, at most 16,384 bytes, to `output`.
    mutating func seal(_ content: RecordContent, _ payload: UnsafeRawBufferPointer, into output: ByteQueue) {
        let length = payload.count + ProtectedRecord.overhead
        precondition(length <= ProtectedRecord.mostLength, "a record has at most 16384 bytes")
        let record = output.grow(by: ProtectedRecord.headerBytes + length)
        record.storeBytes(of: RecordContent.applicationData.rawValue, as: UInt8.self)
        record.storeBytes(of: 3, toByteOffset: 1, as: UInt8.self)
        record.storeBytes(of: 3, toByteOffset: 2, as: UInt8.self)
        record.storeBytes(of: UInt8(length >> 8), toByteOffset: 3, as: UInt8.self)
        record.storeBytes(of: UInt8(length & 255), toByteOffset: 4, as: UInt8.self)
        begin(UnsafeRawBufferPointer(start: record, count: ProtectedRecord.headerBytes))
        var place = record + ProtectedRecord.headerBytes
        if let bytes = payload.baseAddress { cipher.update(place, bytes, count: payload.count) }
        place += payload.count
        var last = content.rawValue
        cipher.update(place, &last, count: 1)
        cipher.end(tag: place + 1)
    }

    /// `record` is whole and of a length that is allowed; `buffer` has 16,384 bytes. Nil if it was changed or damaged, or is not
    /// the next one; no content if it is of a kind that there is not.
    mutating func open(
        _ record: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer
    ) -> (content: RecordContent?, count: Int)? {
        begin(UnsafeRawBufferPointer(rebasing: record[..<ProtectedRecord.headerBytes]))
        let sealed = record.baseAddress! + ProtectedRecord.headerBytes
        var count = record.count - ProtectedRecord.headerBytes - ProtectedRecord.overhead
        precondition(count >= 0 && count <= buffer.count, "a record of a length that is not allowed")
        cipher.update(buffer.baseAddress!, sealed, count: count)
        var content: UInt8 = 0
        cipher.update(&content, sealed + count, count: 1)
        guard cipher.end(expecting: sealed + count + 1) else { return nil }
        // A peer may fill a record up with zeros.
        while content == 0, count > 0 {
            count -= 1
            content = buffer[count]
        }
        return (RecordContent(rawValue: content), count)
    }

    /// The nonce is the IV with the record's number in it (RFC 8446, 5.3).
    private mutating func begin(_ header: UnsafeRawBufferPointer) {
        // Renewed long before.
        precondition(sequence < .max, "a key's records are used up")
        var nonce = iv
        nonce.1 ^= UInt32(truncatingIfNeeded: sequence >> 32).bigEndian
        nonce.2 ^= UInt32(truncatingIfNeeded: sequence).bigEndian
        sequence += 1
        withUnsafeBytes(of: &nonce) { cipher.begin(nonce: $0.baseAddress!, header: header) }
    }

    private static func cipher(_ secret: Secret, _ sealing: Bool) -> GCMCipher {
        let key = Secret(expand(secret, label: "key", count: GCMCipher.keyBytes))
        // Whoever shared its bytes when it ends would keep them.
        return withExtendedLifetime(key) { GCMCipher(key: key.bytes, sealing: sealing) }
    }

    private static func iv(_ secret: Secret) -> (UInt32, UInt32, UInt32) {
        expand(secret, label: "iv", count: GCMCipher.nonceBytes).withUnsafeBytes {
            $0.loadUnaligned(as: (UInt32, UInt32, UInt32).self)
        }
    }

    /// HKDF-Expand-Label (RFC 8446, 7.1).
    static func expand(_ secret: Secret, label: String, context: [UInt8] = [], count: Int) -> [UInt8] {
        let label = [UInt8]("tls13 \(label)".utf8)
        return hkdfExpand(
            secret.bytes,
            info: [UInt8(count >> 8), UInt8(count & 255), UInt8(label.count)] + label + [UInt8(context.count)]
                + context, count: count)
    }
}
