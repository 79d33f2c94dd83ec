import TLS
import Testing

@Suite struct PrimitivesTests {
    /// RFC 8032, 7.1: seed, public key, message, signature.
    static let vectors = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
                + "d25bf5f0595bbe24655141438e7a100b"
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
                + "387b2eaeb4302aeeb00d291612bb0c00"
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
                + "4a7c15e9716ed28dc027beceea1ec40a"
        ),
    ]

    private func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex.utf8).map { $0 < 58 ? $0 - 48 : $0 - 87 }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    @Test(arguments: vectors)
    func `Ed25519 matches RFC 8032`(seed: String, publicKey: String, message: String, signature: String) {
        let key = SigningKey(seed: bytes(seed))
        #expect(key.publicKey == bytes(publicKey))
        #expect(key.sign(bytes(message)) == bytes(signature))
        #expect(
            SigningKey.verify(signature: bytes(signature), of: bytes(message), publicKey: bytes(publicKey)))
    }

    @Test func `a signature holds for its message, key and every bit only`() {
        let key = SigningKey.random()
        let message = randomBytes(32)
        let signature = key.sign(message)
        #expect(SigningKey.verify(signature: signature, of: message, publicKey: key.publicKey))
        #expect(!SigningKey.verify(signature: signature, of: message + [0], publicKey: key.publicKey))
        #expect(
            !SigningKey.verify(signature: signature, of: message, publicKey: SigningKey.random().publicKey))
        for bit in 0..<512 {
            var changed = signature
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(!SigningKey.verify(signature: changed, of: message, publicKey: key.publicKey))
        }
        // Of any length and content, because all of it may come from a peer.
        for count in [0, 1, 31, 32, 33, 63, 64, 65] {
            let junk = randomBytes(count)
            #expect(!SigningKey.verify(signature: junk, of: message, publicKey: key.publicKey))
            #expect(!SigningKey.verify(signature: signature, of: message, publicKey: junk))
        }
    }

    @Test func `small primitives`() {
        #expect(
            sha256(Array("abc".utf8))
                == bytes("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
        #expect(constantTimeEqual([1, 2, 3], [1, 2, 3]) && constantTimeEqual([], []))
        #expect(!constantTimeEqual([1, 2, 3], [1, 2, 4]) && !constantTimeEqual([1], [1, 2]))
        #expect(randomBytes(0).isEmpty && randomBytes(32) != randomBytes(32))
        #expect(openSSLVersion.hasPrefix("OpenSSL 3."))
    }
}
