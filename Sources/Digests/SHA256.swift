import COpenSSL

/// SHA-256 (FIPS 180-4), as a stream: `add` as often as needed, then `finish`, which begins the next one. The context is
/// fetched once and used again, because fetching costs more than hashing a row. One thread at a time.
package final class SHA256 {
    /// Of a digest.
    package static let bytes = 32

    private let context: OpaquePointer

    package init() {
        guard let context = EVP_MD_CTX_new() else { preconditionFailure("OpenSSL: no memory for a digest") }
        self.context = context
        precondition(EVP_DigestInit_ex2(context, EVP_sha256(), nil) == 1, "OpenSSL: no SHA-256")
    }

    deinit {
        EVP_MD_CTX_free(context)
    }

    package func add(_ bytes: UnsafeRawBufferPointer) {
        let done = EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
        precondition(done == 1, "OpenSSL: SHA-256 failed")
    }

    /// Writes `bytes` bytes to `digest`, which may be what was added.
    package func finish(into digest: UnsafeMutablePointer<UInt8>) {
        let done =
            EVP_DigestFinal_ex(context, digest, nil) == 1 && EVP_DigestInit_ex2(context, nil, nil) == 1
        precondition(done, "OpenSSL: SHA-256 failed")
    }

    /// Of one piece, apart from what was added.
    package static func digest(_ bytes: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Self.bytes) { out, made in
            let done = EVP_Digest(bytes, bytes.count, out.baseAddress, nil, EVP_sha256(), nil)
            precondition(done == 1, "OpenSSL: SHA-256 failed")
            made = Self.bytes
        }
    }
}
