// The uuids that we make: gp1_ + base32(32 random bytes + 16 bytes of the server's fingerprint).

/// A uuid with 256 bits of randomness that also says which server is the right one.
struct GeneratedUUID {
    static let prefix = "gp1_"
    /// 48 bytes are 384 bits: 77 characters of 5 bits, the last with one bit to spare, which is 0.
    static let characters = prefix.utf8.count + 77
    private static let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)

    let secret: [UInt8]
    let serverFingerprint: [UInt8]

    init(secret: [UInt8], serverFingerprint: [UInt8]) {
        precondition(secret.count == 32 && serverFingerprint.count == 16)
        self.secret = secret
        self.serverFingerprint = serverFingerprint
    }

    var text: String {
        Self.prefix + String(decoding: Self.base32(secret + serverFingerprint), as: UTF8.self)
    }

    /// Nil for a uuid of another kind. A damaged one of ours is an error, not a plain uuid: as that it would
    /// work, but as another node and with no server pinned.
    static func parse(_ text: String) throws(CredentialError) -> GeneratedUUID? {
        guard text.lowercased().hasPrefix(prefix) else { return nil }
        guard text.utf8.count == characters else { throw .wrongLength(text.utf8.count) }
        guard text.hasPrefix(prefix), let bytes = bytes(ofBase32: text.utf8.dropFirst(prefix.utf8.count))
        else {
            throw .wrongCharacter
        }
        return GeneratedUUID(secret: Array(bytes[..<32]), serverFingerprint: Array(bytes[32...]))
    }

    /// RFC 4648, section 6, in lower case and without padding.
    static func base32(_ bytes: [UInt8]) -> [UInt8] {
        var out = [UInt8]()
        var bits: UInt32 = 0
        var held = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            held += 8
            while held >= 5 {
                held -= 5
                out.append(alphabet[Int(bits >> UInt32(held)) & 31])
            }
            bits &= (1 << UInt32(held)) - 1
        }
        if held > 0 { out.append(alphabet[Int(bits << UInt32(5 - held)) & 31]) }
        return out
    }

    /// Nil if a character is not of the alphabet or a spare bit is set: one value has one text.
    static func bytes(ofBase32 text: some Sequence<UInt8>) -> [UInt8]? {
        var out = [UInt8]()
        var bits: UInt32 = 0
        var held = 0
        for character in text {
            guard let value = alphabet.firstIndex(of: character) else { return nil }
            bits = bits << 5 | UInt32(value)
            held += 5
            if held >= 8 {
                held -= 8
                out.append(UInt8(bits >> UInt32(held)))
                bits &= (1 << UInt32(held)) - 1
            }
        }
        return held < 5 && bits == 0 ? out : nil
    }
}
