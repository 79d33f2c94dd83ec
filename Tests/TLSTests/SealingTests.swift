import TLS
import Testing

struct SealingTests {
    private let key = SealingKey(randomBytes(32))
    private let context = randomBytes(16)

    @Test(arguments: [0, 1, 32, 4_096])
    func `what is sealed opens again, and no two seals are alike`(count: Int) {
        let secret = randomBytes(count)
        let sealed = key.seal(secret, context: context)
        #expect(sealed.count == 12 + count + 16)
        #expect(key.open(sealed, context: context) == secret)
        #expect(key.seal(secret, context: context) != sealed)
    }

    @Test func `another key, another context, a changed bit or a cut opens nothing`() {
        let sealed = key.seal(randomBytes(32), context: context)
        #expect(SealingKey(randomBytes(32)).open(sealed, context: context) == nil)
        #expect(key.open(sealed, context: randomBytes(16)) == nil)
        #expect(key.open(sealed, context: []) == nil)
        for bit in 0..<(sealed.count * 8) {
            var changed = sealed
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(key.open(changed, context: context) == nil)
        }
        for count in 0..<sealed.count {
            #expect(key.open(Array(sealed[..<count]), context: context) == nil)
        }
    }

    /// The test case of the GCM specification (McGrew and Viega, case 16), put together as nonce, ciphertext and tag.
    @Test func `it is AES-256-GCM as specified`() {
        let key = SealingKey(bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"))
        let sealed = bytes(
            "cafebabefacedbaddecaf888"
                + "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                + "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
                + "76fc6ece0f4e1768cddf8853bb2d551b")
        let secret = bytes(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")
        #expect(key.open(sealed, context: bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2")) == secret)
    }

    @Test func `a key does not print itself`() {
        #expect("\(key)" == "SealingKey" && String(reflecting: key) == "SealingKey")
        var text = ""
        dump(key, to: &text)
        #expect(!text.contains { $0.isNumber })
    }

    private func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex.utf8).map { $0 < 58 ? $0 - 48 : $0 - 87 }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}
