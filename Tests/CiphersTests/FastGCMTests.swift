import COpenSSL
import Ciphers
import Support
import Testing

/// Where the fast library or the processor's instructions are missing there is nothing to test: TLS then runs on OpenSSL's own.
@Suite(.enabled(if: FastGCM.isInstalled, "no libipsec-mb1, or no VAES"))
struct FastGCMTests {
    @Test func `the published vectors come out`() throws {
        // Test cases 3 and 4 of McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B.
        let plain = bytes(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
        )
        let sealed = bytes(
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985"
        )
        let whole = Message(header: [], plain: plain)
        let tag = bytes("4d5c2af327cd64a62cf35abd2ba6fab4")
        #expect(try whole.seal(with: fast()) == Sealed(bytes: sealed, tag: tag))
        let part = Message(
            header: bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2"), plain: [UInt8](plain.prefix(60)))
        let partTag = bytes("5bc94fbc3221a5db94fae95ae7121a47")
        #expect(try part.seal(with: fast()) == Sealed(bytes: [UInt8](sealed.prefix(60)), tag: partTag))
    }

    @Test func `whatever OpenSSL seals it opens, and the other way round, in any pieces`() throws {
        var random = SystemRandomNumberGenerator()
        let own = try #require(EVP_CIPHER_fetch(nil, "AES-128-GCM", nil))
        defer { EVP_CIPHER_free(own) }
        let fast = try fast()
        for round in 0..<300 {
            let count = round < 40 ? round : Int.random(in: 0...20_000)
            let message = Message(
                key: random.bytes(16), iv: random.bytes(12), header: random.bytes(Int.random(in: 0...60)),
                plain: random.bytes(count))
            let sealed = try message.seal(with: fast) { Int.random(in: 1...5_000) }
            #expect(try message.seal(with: own) == sealed, "\(count) bytes")
            #expect(try message.open(sealed, with: fast) { Int.random(in: 1...5_000) } == message.plain)
        }
    }

    @Test func `a changed byte of message, header or tag is refused`() throws {
        let fast = try fast()
        let message = Message(header: [23, 3, 3, 0, 99], plain: [UInt8](repeating: 7, count: 1_000))
        let sealed = try message.seal(with: fast)
        var changed = sealed
        changed.bytes[999] ^= 1
        #expect(try message.open(changed, with: fast) == nil)
        changed = sealed
        changed.tag[15] ^= 128
        #expect(try message.open(changed, with: fast) == nil)
        changed = sealed
        changed.tag[0] ^= 1
        #expect(try message.open(changed, with: fast) == nil)
        var other = message
        other.header[4] ^= 1
        #expect(try other.open(sealed, with: fast) == nil)
        #expect(try message.open(sealed, with: fast) == message.plain)
    }

    @Test func `nothing is sealed twice with one IV, or without a key, or opened without a tag`() throws {
        let fast = try fast()
        let context = try #require(EVP_CIPHER_CTX_new())
        defer { EVP_CIPHER_CTX_free(context) }
        let (key, iv) = ([UInt8](repeating: 1, count: 16), [UInt8](repeating: 2, count: 12))
        var out = [UInt8](repeating: 0, count: 64)
        var count: Int32 = 0
        #expect(EVP_EncryptInit_ex2(context, fast, nil, iv, nil) == 1)
        #expect(EVP_EncryptUpdate(context, &out, &count, iv, 12) == 0)
        #expect(EVP_EncryptInit_ex2(context, fast, key, iv, nil) == 1)
        #expect(EVP_EncryptUpdate(context, &out, &count, iv, 12) == 1)
        #expect(EVP_EncryptFinal_ex(context, &out, &count) == 1)
        #expect(EVP_EncryptUpdate(context, &out, &count, iv, 12) == 0)
        #expect(EVP_DecryptInit_ex2(context, fast, key, iv, nil) == 1)
        #expect(EVP_DecryptUpdate(context, &out, &count, iv, 12) == 1)
        #expect(EVP_DecryptFinal_ex(context, &out, &count) == 0)
        #expect(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, 16, nil) == 0)
        #expect(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 12, &out) == 0)
        ERR_clear_error()
    }

    @Test func `TLS is given the fast one, and everything else as before`() throws {
        let context = try #require(FastGCM.shared?.context, "the check at the start failed")
        for (name, provider) in [("AES-128-GCM", "goproxy"), ("AES-256-GCM", "default")] {
            let cipher = try #require(EVP_CIPHER_fetch(context, name, FastGCM.preference))
            defer { EVP_CIPHER_free(cipher) }
            #expect(String(cString: OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(cipher))) == provider)
            #expect(EVP_CIPHER_get_flags(cipher) & UInt(EVP_CIPH_FLAG_AEAD_CIPHER) != 0)
        }
        let digest = try #require(EVP_MD_fetch(context, "SHA256", FastGCM.preference))
        EVP_MD_free(digest)
    }

    private func fast() throws -> OpaquePointer {
        // Kept for the process's life: a handful.
        try #require(EVP_CIPHER_fetch(FastGCM.shared?.context, "AES-128-GCM", "provider=goproxy"))
    }
}

private struct Sealed: Equatable {
    var bytes: [UInt8]
    var tag: [UInt8]
}

private struct Message {
    var key = bytes("feffe9928665731c6d6a8f9467308308")
    var iv = bytes("cafebabefacedbaddecaf888")
    var header: [UInt8]
    var plain: [UInt8]

    func seal(with cipher: OpaquePointer, piece: () -> Int = { .max }) throws -> Sealed {
        let context = try #require(EVP_CIPHER_CTX_new())
        defer { EVP_CIPHER_CTX_free(context) }
        try #require(EVP_EncryptInit_ex2(context, cipher, key, iv, nil) == 1)
        let out = try run(plain, piece) { EVP_EncryptUpdate(context, $0, $1, $2, $3) }
        var (tag, last, count) = (
            [UInt8](repeating: 0, count: 16), [UInt8](repeating: 0, count: 16), Int32(0)
        )
        try #require(EVP_EncryptFinal_ex(context, &last, &count) == 1 && count == 0)
        try #require(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, &tag) == 1)
        return Sealed(bytes: out, tag: tag)
    }

    /// Nil if it is refused.
    func open(_ sealed: Sealed, with cipher: OpaquePointer, piece: () -> Int = { .max }) throws -> [UInt8]? {
        let context = try #require(EVP_CIPHER_CTX_new())
        defer { EVP_CIPHER_CTX_free(context) }
        try #require(EVP_DecryptInit_ex2(context, cipher, key, iv, nil) == 1)
        let out = try run(sealed.bytes, piece) { EVP_DecryptUpdate(context, $0, $1, $2, $3) }
        var (tag, last, count) = (sealed.tag, [UInt8](repeating: 0, count: 16), Int32(0))
        try #require(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, &tag) == 1)
        return EVP_DecryptFinal_ex(context, &last, &count) == 1 ? out : nil
    }

    private func run(
        _ input: [UInt8], _ piece: () -> Int,
        _ update: (UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<Int32>, UnsafePointer<UInt8>, Int32) ->
            Int32
    ) throws -> [UInt8] {
        var (out, count) = ([UInt8](), Int32(0))
        if !header.isEmpty { try #require(update(nil, &count, header, Int32(header.count)) == 1) }
        var rest = input[...]
        while !rest.isEmpty {
            let part = [UInt8](rest.prefix(piece()))
            rest = rest.dropFirst(part.count)
            var made = [UInt8](repeating: 0, count: part.count)
            try #require(update(&made, &count, part, Int32(part.count)) == 1 && Int(count) == part.count)
            out += made
        }
        return out
    }
}

extension RandomNumberGenerator {
    fileprivate mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &self) }
    }
}

private func bytes(_ hex: String) -> [UInt8] {
    var digits = hex[...]
    var bytes = [UInt8]()
    while let byte = UInt8(digits.prefix(2), radix: 16) {
        bytes.append(byte)
        digits = digits.dropFirst(2)
    }
    return bytes
}
