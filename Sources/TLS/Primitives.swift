// The few primitives that the layers above need, all OpenSSL's. A failure of one of them is a broken
// installation or no memory: the program cannot go on safely, so it stops.
import COpenSSL

/// Bytes of OpenSSL's random generator, for keys.
package func randomBytes(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { out, made in
        precondition(
            count == 0 || RAND_priv_bytes(out.baseAddress, Int32(count)) == 1, "OpenSSL: no randomness")
        made = count
    }
}

/// Compares secrets without telling by its time where they differ. Different lengths answer at once.
package func constantTimeEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
    one.count == other.count && CRYPTO_memcmp(one, other, one.count) == 0
}

/// SHA-256, 32 bytes.
package func sha256(_ bytes: [UInt8]) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 32) { out, made in
        let done = EVP_Digest(bytes, bytes.count, out.baseAddress, nil, EVP_sha256(), nil)
        precondition(done == 1, "OpenSSL: SHA-256 failed")
        made = 32
    }
}

/// The library that runs, such as `OpenSSL 3.0.22 25 Aug 2026`; the headers may be older.
package var openSSLVersion: String {
    String(cString: OpenSSL_version(OPENSSL_VERSION))
}

/// HKDF-Expand with SHA-256 (RFC 5869, 2.3): independent keys out of one good key.
package func hkdfExpand(_ key: [UInt8], info: String, count: Int) -> [UInt8] {
    hkdfExpand(key, info: [UInt8](info.utf8), count: count)
}

func hkdfExpand(_ key: [UInt8], info: [UInt8], count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { out, made in
        let done = goproxy_hkdf_expand_sha256(key, key.count, info, info.count, out.baseAddress, count)
        precondition(done == 1, "OpenSSL: HKDF failed")
        made = count
    }
}

/// Overwrites a secret that nobody else holds; a copy elsewhere is not touched.
func cleanse(_ secret: inout [UInt8]) {
    secret.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) }
}

/// A secret that is overwritten when its last owner lets go of it.
final class Secret {
    private(set) var bytes: [UInt8]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    deinit {
        cleanse(&bytes)
    }
}
