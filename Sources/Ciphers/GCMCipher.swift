import CIPSecMB
import COpenSSL

/// The functions of the fast library, chosen for this processor.
struct GCMFunctions: Sendable {
    /// Nil where the library or the processor's instructions are missing.
    static let shared: GCMFunctions? = {
        var table = goproxy_gcm()
        return goproxy_gcm_load(&table) == 1 ? GCMFunctions(table: table) : nil
    }()

    let table: goproxy_gcm
}

/// One direction of one connection: a key and the message under way. OpenSSL's `EVP_CIPHER_CTX` owns it; one thread at a time.
///
/// The order of calls is OpenSSL's: a key, then for each message its IV, its header (whole, before the first piece), the pieces,
/// for opening the tag that is expected, and the end.
final class GCMCipher {
    static let keyBytes = 16
    static let ivBytes = 12
    static let tagBytes = 16
    /// A record of TLS has 5.
    private static let mostHeader = 64

    private let gcm: goproxy_gcm
    /// The expanded key, the message's state, then IV, tag and header; the first two want whole cache lines.
    private let memory: UnsafeMutableRawPointer
    private let size: Int
    private let message: UnsafeMutableRawPointer
    private let iv: UnsafeMutablePointer<UInt8>
    private let tag: UnsafeMutablePointer<UInt8>
    private let header: UnsafeMutablePointer<UInt8>
    private var headerCount = 0
    private var isSealing = true
    private var hasKey = false
    private var hasIV = false
    private var hasTag = false
    private var isUnderWay = false

    init(_ functions: GCMFunctions) {
        gcm = functions.table
        let line = 64
        let keyRoom = (gcm.key_bytes + line - 1) / line * line
        let messageRoom = (gcm.message_bytes + line - 1) / line * line
        size = keyRoom + messageRoom + line + Self.mostHeader
        memory = .allocate(byteCount: size, alignment: line)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        message = memory + keyRoom
        let rest = (message + messageRoom).assumingMemoryBound(to: UInt8.self)
        (iv, tag, header) = (rest, rest + 16, rest + line)
    }

    deinit {
        OPENSSL_cleanse(memory, size)
        memory.deallocate()
    }

    /// What is nil stays as it was. False for other lengths than this cipher's.
    func begin(
        sealing: Bool, key: UnsafePointer<UInt8>?, keyCount: Int, iv: UnsafePointer<UInt8>?, ivCount: Int
    ) -> Bool {
        isSealing = sealing
        if let key {
            guard keyCount == Self.keyBytes else { return false }
            gcm.expand(key, memory)
            hasKey = true
        }
        if let iv {
            guard ivCount == Self.ivBytes else { return false }
            self.iv.update(from: iv, count: Self.ivBytes)
            (hasIV, hasTag, isUnderWay, headerCount) = (true, false, false, 0)
        }
        return true
    }

    func add(header bytes: UnsafePointer<UInt8>, count: Int) -> Bool {
        guard hasKey, hasIV, !isUnderWay, count <= Self.mostHeader - headerCount else { return false }
        (header + headerCount).update(from: bytes, count: count)
        headerCount += count
        return true
    }

    /// `out` may be `bytes`.
    func update(_ out: UnsafeMutablePointer<UInt8>, _ bytes: UnsafePointer<UInt8>, count: Int) -> Bool {
        guard hasKey, hasIV else { return false }
        startMessage()
        if isSealing {
            gcm.encrypt(memory, message, out, bytes, UInt64(count))
        } else {
            gcm.decrypt(memory, message, out, bytes, UInt64(count))
        }
        return true
    }

    /// Sealing: the tag is known after it. Opening: false unless the tag is the expected one. An IV serves once.
    func end() -> Bool {
        guard hasKey, hasIV, isSealing || hasTag else { return false }
        startMessage()
        (hasIV, isUnderWay) = (false, false)
        if isSealing {
            gcm.end_encrypt(memory, message, tag, UInt64(Self.tagBytes))
            hasTag = true
            return true
        }
        hasTag = false
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.tagBytes) { made in
            gcm.end_decrypt(memory, message, made.baseAddress, UInt64(Self.tagBytes))
            return CRYPTO_memcmp(made.baseAddress, tag, Self.tagBytes) == 0
        }
    }

    func expect(tag bytes: UnsafeRawPointer, count: Int) -> Bool {
        guard !isSealing, count == Self.tagBytes else { return false }
        UnsafeMutableRawPointer(tag).copyMemory(from: bytes, byteCount: count)
        hasTag = true
        return true
    }

    /// Of the message that was sealed last.
    func takeTag(into out: UnsafeMutableRawPointer, count: Int) -> Bool {
        guard isSealing, hasTag, count == Self.tagBytes else { return false }
        out.copyMemory(from: tag, byteCount: count)
        return true
    }

    private func startMessage() {
        guard !isUnderWay else { return }
        isUnderWay = true
        gcm.begin(memory, message, iv, header, UInt64(headerCount))
    }
}
