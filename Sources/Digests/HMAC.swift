import COpenSSL

/// HMAC-SHA-256 (RFC 2104), 32 bytes.
package func hmacSHA256(key: [UInt8], _ bytes: [UInt8]) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: SHA256.bytes) { out, made in
        let done = HMAC(
            EVP_sha256(), key, Int32(key.count), bytes, bytes.count, out.baseAddress, nil)
        precondition(done != nil, "OpenSSL: HMAC failed")
        made = SHA256.bytes
    }
}

/// Bytes of OpenSSL's random generator, for a key.
package func randomKey(bytes count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { out, made in
        precondition(RAND_priv_bytes(out.baseAddress, Int32(count)) == 1, "OpenSSL: no randomness")
        made = count
    }
}

/// Overwrites a key that nobody else holds; a copy elsewhere is not touched.
package func erase(_ key: inout [UInt8]) {
    key.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) }
}
