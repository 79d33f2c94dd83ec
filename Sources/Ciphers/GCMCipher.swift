import CIPSecMB
import COpenSSL

/// AES-128-GCM (NIST SP 800-38D) with one key, one way. One thread at a time; it makes no allocation after its making.
///
///     begin ─► update, for each piece ─► end
///
/// Whoever seals must never use a nonce twice.
package struct GCMCipher: ~Copyable {
    package static let keyBytes = 16
    package static let nonceBytes = 12
    package static let tagBytes = 16

    private let isSealing: Bool
    private let work: Work
    private var isUnderWay = false

    private enum Work {
        case ipsecMB(WideGCM)
        case openSSL(OpaquePointer)
    }

    /// The key has 16 bytes, and the library is installed.
    package init(key: [UInt8], sealing: Bool, library: GCMLibrary = .best) {
        precondition(key.count == Self.keyBytes, "a key has 16 bytes")
        isSealing = sealing
        switch library {
        case .ipsecMB:
            guard let functions = GCMFunctions.shared else { preconditionFailure("the library is not here") }
            work = .ipsecMB(WideGCM(functions, key))
        case .openSSL:
            guard let context = EVP_CIPHER_CTX_new() else { preconditionFailure("OpenSSL: no memory") }
            Self.check(EVP_CipherInit_ex(context, EVP_aes_128_gcm(), nil, key, nil, sealing ? 1 : 0))
            work = .openSSL(context)
        }
    }

    deinit {
        switch work {
        case .ipsecMB(let gcm): gcm.end()
        case .openSSL(let context): EVP_CIPHER_CTX_free(context)
        }
    }

    /// The next message: its 12 bytes of nonce, and what is authenticated without being encrypted.
    package mutating func begin(nonce: UnsafeRawPointer, header: UnsafeRawBufferPointer) {
        isUnderWay = true
        switch work {
        case .ipsecMB(let gcm): gcm.begin(nonce, header)
        case .openSSL(let context):
            var made: Int32 = 0
            let nonce = nonce.assumingMemoryBound(to: UInt8.self)
            Self.check(EVP_CipherInit_ex(context, nil, nil, nil, nonce, -1))
            guard let bytes = header.bindMemory(to: UInt8.self).baseAddress else { return }
            Self.check(EVP_CipherUpdate(context, nil, &made, bytes, Int32(header.count)))
        }
    }

    /// One piece of at most 2 GiB; `out` has as many bytes, and may be `bytes`. What has been opened is not to be believed before `end`.
    package mutating func update(_ out: UnsafeMutableRawPointer, _ bytes: UnsafeRawPointer, count: Int) {
        precondition(isUnderWay, "a message begins with its nonce")
        guard count > 0 else { return }
        let out = out.assumingMemoryBound(to: UInt8.self)
        let bytes = bytes.assumingMemoryBound(to: UInt8.self)
        switch work {
        case .ipsecMB(let gcm): gcm.update(out, bytes, count, sealing: isSealing)
        case .openSSL(let context):
            var made: Int32 = 0
            Self.check(EVP_CipherUpdate(context, out, &made, bytes, Int32(count)))
        }
    }

    /// Sealing: writes the 16 bytes of the tag.
    package mutating func end(tag: UnsafeMutableRawPointer) {
        precondition(isUnderWay && isSealing, "there is no message to seal")
        isUnderWay = false
        switch work {
        case .ipsecMB(let gcm): gcm.endSealing(tag)
        case .openSSL(let context):
            var made: Int32 = 0
            Self.check(EVP_CipherFinal_ex(context, tag.assumingMemoryBound(to: UInt8.self), &made))
            Self.check(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagBytes), tag))
        }
    }

    /// Opening: whether the 16 bytes are the message's tag.
    package mutating func end(expecting tag: UnsafeRawPointer) -> Bool {
        precondition(isUnderWay && !isSealing, "there is no message to open")
        isUnderWay = false
        switch work {
        case .ipsecMB(let gcm): return gcm.endOpening(tag)
        case .openSSL(let context):
            let tag = UnsafeMutableRawPointer(mutating: tag)
            Self.check(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagBytes), tag))
            var (made, none) = (Int32(0), UInt8(0))
            let isRight = EVP_CipherFinal_ex(context, &none, &made) == 1
            if !isRight { ERR_clear_error() }
            return isRight
        }
    }

    /// Nothing of these can fail for a reason that a peer has a hand in.
    private static func check(_ result: Int32) {
        precondition(result == 1, "OpenSSL: AES-128-GCM failed")
    }
}

extension GCMCipher {
    /// A whole message and its tag.
    package mutating func seal(_ message: [UInt8], nonce: [UInt8], header: [UInt8]) -> [UInt8] {
        precondition(nonce.count == Self.nonceBytes, "a nonce has 12 bytes")
        return [UInt8](unsafeUninitializedCapacity: message.count + Self.tagBytes) { out, made in
            header.withUnsafeBytes { begin(nonce: nonce, header: $0) }
            update(out.baseAddress!, message, count: message.count)
            end(tag: out.baseAddress! + message.count)
            made = out.count
        }
    }

    /// Nil if anything was changed.
    package mutating func open(_ sealed: [UInt8], nonce: [UInt8], header: [UInt8]) -> [UInt8]? {
        precondition(nonce.count == Self.nonceBytes, "a nonce has 12 bytes")
        let count = sealed.count - Self.tagBytes
        guard count >= 0 else { return nil }
        var isRight = false
        // One more, so that there is an address for no bytes too.
        let message = [UInt8](unsafeUninitializedCapacity: count + 1) { out, made in
            sealed.withUnsafeBytes { sealed in
                header.withUnsafeBytes { begin(nonce: nonce, header: $0) }
                update(out.baseAddress!, sealed.baseAddress!, count: count)
                isRight = end(expecting: sealed.baseAddress! + count)
            }
            made = count
        }
        return isRight ? message : nil
    }
}

/// The fast library's expanded key and the state of a message.
private struct WideGCM {
    private let gcm: goproxy_gcm
    /// Both want whole cache lines.
    private let key: UnsafeMutableRawPointer
    private let message: UnsafeMutableRawPointer
    private let size: Int

    init(_ functions: GCMFunctions, _ bytes: [UInt8]) {
        gcm = functions.table
        let line = 64
        let keyRoom = (gcm.key_bytes + line - 1) / line * line
        size = keyRoom + (gcm.message_bytes + line - 1) / line * line
        key = .allocate(byteCount: size, alignment: line)
        key.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        message = key + keyRoom
        gcm.expand(bytes, key)
    }

    func begin(_ nonce: UnsafeRawPointer, _ header: UnsafeRawBufferPointer) {
        gcm.begin(
            key, message, nonce.assumingMemoryBound(to: UInt8.self),
            header.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(header.count))
    }

    func update(
        _ out: UnsafeMutablePointer<UInt8>, _ bytes: UnsafePointer<UInt8>, _ count: Int, sealing: Bool
    ) {
        if sealing {
            gcm.encrypt(key, message, out, bytes, UInt64(count))
        } else {
            gcm.decrypt(key, message, out, bytes, UInt64(count))
        }
    }

    func endSealing(_ tag: UnsafeMutableRawPointer) {
        gcm.end_encrypt(key, message, tag.assumingMemoryBound(to: UInt8.self), UInt64(GCMCipher.tagBytes))
    }

    func endOpening(_ tag: UnsafeRawPointer) -> Bool {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: GCMCipher.tagBytes) { made in
            gcm.end_decrypt(key, message, made.baseAddress, UInt64(GCMCipher.tagBytes))
            return CRYPTO_memcmp(made.baseAddress, tag, GCMCipher.tagBytes) == 0
        }
    }

    /// Nobody uses it any more.
    func end() {
        OPENSSL_cleanse(key, size)
        key.deallocate()
    }
}
