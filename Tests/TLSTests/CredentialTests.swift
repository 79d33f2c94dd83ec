import Testing

@testable import TLS

@Suite struct CredentialTests {
    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    /// The constants come from Python's hashlib.scrypt and hmac.
    @Test func `a uuid gives the same values as another implementation`() throws {
        let credential = try Credential(uuid: "6ba7b812-9dad-41d1-80b4-00c04fd430c8")
        #expect(hex(credential.id) == "0a4b4adea419f80d92310f34e10431a3")
        #expect(credential.nodeID == "0a4b4ade-a419-f80d-9231-0f34e10431a3")
        #expect(hex(credential.psk) == "5103f6e1c8f301dfa71b49fff5acc23412e02c34031f1c637d0d5d1f4e482438")
        #expect(
            hex(credential.signingSeed) == "c4831d711ff578b7555a4bed79902f62eafef3b7f52630ff62de1a4fe0f0cdb9")
        #expect(credential.serverFingerprint == nil)
    }

    /// Secret 0…31, the server's public key 32 times 7; from Python's base64 and hashlib.
    @Test func `a generated uuid carries the server's fingerprint and counts as a whole`() throws {
        let text = "gp1_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypuxmdprzhdu5yv2ia5k46qvjbdo"
        let key = [UInt8](repeating: 7, count: 32)
        let made = GeneratedUUID(secret: Array(0..<32), serverFingerprint: Credential.fingerprint(of: key))
        #expect(made.text == text)
        let credential = try Credential(uuid: text)
        #expect(hex(credential.serverFingerprint ?? []) == "4bb06f8e4e3a7715d201d573d0aa4237")
        #expect(hex(credential.id) == "c537006bf86a19c7cd80531d71033853")
    }

    /// RFC 5869, A.1, second step; the longer one from Python's hmac.
    @Test func `HKDF-Expand matches the vectors`() {
        let key: [UInt8] = [
            0x07, 0x77, 0x09, 0x36, 0x2c, 0x2e, 0x32, 0xdf, 0x0d, 0xdc, 0x3f, 0x0d, 0xc4, 0x7b, 0xba, 0x63,
            0x90, 0xb6, 0xc7, 0x3b, 0xb5, 0x0f, 0x9c, 0x31, 0x22, 0xec, 0x84, 0x4a, 0xd7, 0xc2, 0xb3, 0xe5,
        ]
        #expect(
            hex(hkdfExpand(key, info: "", count: 80))
                == "b2a3d45126d31fb6828ef00d76c6d54e9c2bd4785e49c6ad86e327d89d0de9408eeda1cbef2b03f30e05"
                + "3d5be784c2ab37f5a4de412baa10f01f456e9772aae75734f7dda6560fdac61bc17a37fe5a03")
    }

    @Test func `generated uuids are different, strong and bound to their server`() throws {
        let server = SigningKey.random()
        var seen = Set<String>()
        for _ in 0..<500 {
            let uuid = Credential.generate(serverPublicKey: server.publicKey)
            #expect(uuid.utf8.count == 81)
            #expect(seen.insert(uuid).inserted)
            #expect(Credential.weakness(of: uuid) == nil)
            #expect(
                try GeneratedUUID.parse(uuid)?.serverFingerprint
                    == Credential.fingerprint(of: server.publicKey))
        }
    }

    @Test func `a damaged generated uuid is refused, not taken for a plain one`() throws {
        let good = Credential.generate(serverPublicKey: [UInt8](repeating: 1, count: 32))
        #expect(throws: CredentialError.empty) { try Credential(uuid: "") }
        #expect(throws: CredentialError.wrongLength(80)) { try Credential(uuid: String(good.dropLast())) }
        #expect(throws: CredentialError.wrongLength(82)) { try Credential(uuid: good + "a") }
        #expect(throws: CredentialError.wrongLength(4)) { try Credential(uuid: "gp1_") }
        #expect(throws: CredentialError.wrongCharacter) { try Credential(uuid: good.uppercased()) }
        #expect(throws: CredentialError.wrongCharacter) { try Credential(uuid: good.dropLast() + "1") }
        // The last character has a spare bit; only one of the two values is written.
        #expect(throws: CredentialError.wrongCharacter) { try Credential(uuid: good.dropLast() + "b") }
        #expect(throws: CredentialError.wrongLength(82)) { try Credential(uuid: good.dropLast() + "é") }
    }

    @Test func `printing a secret shows its public name only`() throws {
        let credential = try Credential(uuid: "6ba7b812-9dad-41d1-80b4-00c04fd430c8")
        let key = SigningKey(seed: credential.signingSeed)
        var text = "\(credential) \(key) \(String(reflecting: credential)) \(String(reflecting: [key]))"
        dump(credential, to: &text)
        dump(key, to: &text)
        for secret in [credential.psk, credential.signingSeed] {
            #expect(!text.contains(hex(secret)))
            #expect(!text.contains(secret.prefix(4).map(String.init).joined(separator: ", ")))
            #expect(!text.contains("- \(secret[0])\n") || key.publicKey.contains(secret[0]))
        }
        #expect(text.contains(credential.nodeID))
    }

    @Test(arguments: [
        "idste", "testuuid", "changeme", "short-but-Rand0m", "aaaaaaaaaaaaaaaaaaaaaaaa", "passwordpassword",
        "0123456789abcdef0123456789abcdef", "00000000-0000-0000-0000-000000000000",
        "12345678-1234-1234-1234-123456789012", "11111111-2222-3333-4444-555555555555",
        "deadbeef-dead-beef-dead-beefdeadbeef", "correct-horse-battery-staple", "CHANGEME-CHANGEME-CHANGEME",
        "abcabcabcabcabcabcabcabcabc", "qwertyuiopasdfghjklzxcvbnm", "aabbccddeeffgghhiijj",
        "my secret proxy server password", "01100011010111010010111001100110",
        "fedcba9876543210fedcba9876543210", "goproxy-server-node-tunnel-token-2024", "test_uuid_1", "",
        "c232ab00-9414-11ec-b3c8-9f6bdeced846", "zyxwvutsrqponmlkjihgfedcba",
    ])
    func `a guessable uuid is weak`(uuid: String) {
        let reason = Credential.weakness(of: uuid)
        #expect(reason != nil)
        #expect(uuid.isEmpty || reason?.contains(uuid) != true)
    }

    @Test(arguments: [
        "6ba7b812-9dad-41d1-80b4-00c04fd430c8", "F47AC10B-58CC-4372-A567-0E02B2C3D479",
        "f47ac10b58cc4372a5670e02b2c3d479", "018f3c5e-7b1a-7cc3-98c4-dc0c0c07398f", "kX9vQ2mLp7RtY4wZb1Nc",
        "Vq+J8s0Zk3hR/5yT1wPnLQ==", "tr0ub4dor&3-mV!q82Lz#Kp", "xkqzvwjpfgbhmtynrdlcsuio",
    ])
    func `a good uuid is strong`(uuid: String) {
        #expect(Credential.weakness(of: uuid) == nil)
    }

    @Test func `no random UUID is ever called weak`() {
        for _ in 0..<1_000 {
            var bytes = randomBytes(16)
            bytes[6] = bytes[6] & 0x0f | 0x40
            bytes[8] = bytes[8] & 0x3f | 0x80
            var text = hex(bytes)
            for place in [20, 16, 12, 8] {
                text.insert("-", at: text.index(text.startIndex, offsetBy: place))
            }
            #expect(Credential.weakness(of: text) == nil, "\(text)")
        }
    }
}
