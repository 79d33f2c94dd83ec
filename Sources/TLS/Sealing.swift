// Secrets that are kept in the database, encrypted under a key that is not in it: AES-256-GCM (NIST SP 800-38D).
import COpenSSL

/// 32 bytes that seal and open. A sealed secret is 12 bytes of nonce, the ciphertext, and 16 bytes of tag.
package struct SealingKey: Sendable {
    package static let bytes = 32
    private static let nonceBytes = 12
    private static let tagBytes = 16
    private let key: [UInt8]

    /// The key has 32 bytes.
    package init(_ key: [UInt8]) {
        precondition(key.count == Self.bytes, "a sealing key has 32 bytes")
        self.key = key
    }

    /// - Parameter context: is not kept but must be the same to open: what the secret belongs to, so that one row's secret
    ///   does not open in another's.
    package func seal(_ secret: [UInt8], context: [UInt8]) -> [UInt8] {
        // Random nonces: 2^32 of them before one repeats with a chance of 2^-32; a fleet seals thousands.
        let nonce = randomBytes(Self.nonceBytes)
        let cipher = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(cipher) }
        var sealed = [UInt8](repeating: 0, count: secret.count)
        var tag = [UInt8](repeating: 0, count: Self.tagBytes)
        var made: Int32 = 0
        let isDone =
            EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), nil, key, nonce) == 1
            && EVP_EncryptUpdate(cipher, nil, &made, context, Int32(context.count)) == 1
            && EVP_EncryptUpdate(cipher, &sealed, &made, secret, Int32(secret.count)) == 1
            && EVP_EncryptFinal_ex(cipher, nil, &made) == 1
            && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagBytes), &tag) == 1
        precondition(isDone, "OpenSSL: AES-256-GCM failed")
        return nonce + sealed + tag
    }

    /// Nil if anything differs: the key, the context or a bit of what was sealed.
    package func open(_ sealed: [UInt8], context: [UInt8]) -> [UInt8]? {
        guard sealed.count >= Self.nonceBytes + Self.tagBytes, sealed.count < 1 << 20 else { return nil }
        let nonce = Array(sealed[..<Self.nonceBytes])
        let text = Array(sealed[Self.nonceBytes..<(sealed.count - Self.tagBytes)])
        var tag = Array(sealed.suffix(Self.tagBytes))
        let cipher = EVP_CIPHER_CTX_new()
        defer {
            EVP_CIPHER_CTX_free(cipher)
            ERR_clear_error()
        }
        var secret = [UInt8](repeating: 0, count: text.count)
        var made: Int32 = 0
        let isRight =
            EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), nil, key, nonce) == 1
            && EVP_DecryptUpdate(cipher, nil, &made, context, Int32(context.count)) == 1
            && EVP_DecryptUpdate(cipher, &secret, &made, text, Int32(text.count)) == 1
            && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagBytes), &tag) == 1
            && EVP_DecryptFinal_ex(cipher, nil, &made) == 1
        guard isRight else {
            cleanse(&secret)
            return nil
        }
        return secret
    }
}

// Printing or dumping shows nothing of the key.
extension SealingKey: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "SealingKey" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
