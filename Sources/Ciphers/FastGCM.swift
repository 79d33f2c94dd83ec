import CIPSecMB
import COpenSSL
import Glibc

/// A library context of OpenSSL whose AES-128-GCM is the fast one; all else in it is OpenSSL's own.
package final class FastGCM: Sendable {
    /// Nil where the fast one is not to be had. Looked for once; takes some milliseconds the first time. Any thread.
    package static let shared = FastGCM()

    /// Whether this machine has what it takes. Then `shared` is nil only if something is wrong.
    package static var isInstalled: Bool { GCMFunctions.shared != nil }

    /// What to ask for when something is fetched from `context`: the fast one where there is one.
    package static let preference = "?provider=goproxy"

    /// The `OSSL_LIB_CTX`. OpenSSL guards it with locks of its own.
    // Proof: set once in init and never changed or freed; what it points to is made for several threads.
    nonisolated(unsafe) package let context: OpaquePointer

    private init?() {
        guard GCMFunctions.shared != nil, let context = OSSL_LIB_CTX_new() else { return nil }
        self.context = context
        guard OSSL_PROVIDER_add_builtin(context, "goproxy", startProvider) == 1,
            OSSL_PROVIDER_load(context, "default") != nil,
            OSSL_PROVIDER_load(context, "goproxy") != nil,
            answersLikeOpenSSL()
        else {
            OSSL_LIB_CTX_free(context)
            ERR_clear_error()
            return nil
        }
    }

    /// A few messages through both: sizes around the steps of 16, 256 and 16,384 bytes, with the header that TLS has.
    private func answersLikeOpenSSL() -> Bool {
        guard let fast = EVP_CIPHER_fetch(context, "AES-128-GCM", "provider=goproxy"),
            let own = EVP_CIPHER_fetch(context, "AES-128-GCM", "provider=default")
        else { return false }
        defer {
            EVP_CIPHER_free(fast)
            EVP_CIPHER_free(own)
        }
        for count in [1, 16, 17, 255, 257, 1_025, 16_385] {
            let message = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ count) }
            guard let sealed = GCMMessage.seal(message, with: fast),
                sealed == GCMMessage.seal(message, with: own),
                GCMMessage.open(sealed, with: fast) == message,
                GCMMessage.open(sealed.dropLast() + [~sealed.last!], with: fast) == nil
            else { return false }
        }
        return true
    }
}

/// One message by OpenSSL's general functions, with a fixed key: the check's.
private enum GCMMessage {
    private static let key = [UInt8](0..<16)
    private static let iv = [UInt8](100..<112)
    private static let header: [UInt8] = [23, 3, 3, 64, 17]
    private static let tagBytes = 16

    static func seal(_ message: [UInt8], with cipher: OpaquePointer) -> [UInt8]? {
        guard let context = EVP_CIPHER_CTX_new() else { return nil }
        defer { EVP_CIPHER_CTX_free(context) }
        var out = [UInt8](repeating: 0, count: message.count + tagBytes)
        var count: Int32 = 0
        let isDone = out.withUnsafeMutableBufferPointer { out in
            EVP_EncryptInit_ex2(context, cipher, key, iv, nil) == 1
                && EVP_EncryptUpdate(context, nil, &count, header, Int32(header.count)) == 1
                && EVP_EncryptUpdate(context, out.baseAddress, &count, message, Int32(message.count)) == 1
                && Int(count) == message.count
                && EVP_EncryptFinal_ex(context, out.baseAddress! + message.count, &count) == 1
                && EVP_CIPHER_CTX_ctrl(
                    context, EVP_CTRL_AEAD_GET_TAG, Int32(tagBytes), out.baseAddress! + message.count) == 1
        }
        return isDone ? out : nil
    }

    static func open(_ sealed: [UInt8], with cipher: OpaquePointer) -> [UInt8]? {
        guard let context = EVP_CIPHER_CTX_new() else { return nil }
        defer { EVP_CIPHER_CTX_free(context) }
        let length = sealed.count - tagBytes
        var tag = [UInt8](sealed[length...])
        var out = [UInt8](repeating: 0, count: length)
        var count: Int32 = 0
        let isDone = out.withUnsafeMutableBufferPointer { out in
            EVP_DecryptInit_ex2(context, cipher, key, iv, nil) == 1
                && EVP_DecryptUpdate(context, nil, &count, header, Int32(header.count)) == 1
                && EVP_DecryptUpdate(context, out.baseAddress, &count, sealed, Int32(length)) == 1
                && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(tagBytes), &tag) == 1
                && EVP_DecryptFinal_ex(context, out.baseAddress! + length, &count) == 1
        }
        return isDone ? out : nil
    }
}
