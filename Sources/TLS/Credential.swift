// The uuid of a node and what is derived from it. The server keeps `id`, `psk` and the public half of
// `signingSeed`; the uuid itself stays with the node.
import COpenSSL

/// The three values that one uuid stands for.
///
/// Making one takes about 80 ms and 32 MiB (scrypt): once at start, never on an event loop.
package struct Credential: Sendable {
    /// 16 bytes, no secret: the node's name on the wire and in records.
    package let id: [UInt8]
    /// 32 bytes, for `TLSContext`.
    package let psk: [UInt8]
    /// 32 bytes, for `SigningKey(seed:)`: the node signs with it, so a server's database alone cannot be the
    /// node.
    package let signingSeed: [UInt8]
    /// 16 bytes of SHA-256 of the server's public key, from a generated uuid; nil for a plain one, with which
    /// the key alone authenticates the server.
    package var serverFingerprint: [UInt8]?

    /// Accepts any uuid that is not empty, and a `gp1_` one only if it is complete. Weak ones too: see
    /// `weakness(of:)`.
    package init(uuid: String) throws(CredentialError) {
        guard !uuid.isEmpty else { throw CredentialError.empty }
        serverFingerprint = try GeneratedUUID.parse(uuid)?.serverFingerprint
        var root = try Self.scrypt(uuid)
        defer { cleanse(&root) }
        id = hkdfExpand(root, info: "goproxy v1 id", count: 16)
        psk = hkdfExpand(root, info: "goproxy v1 tls13 sha256 node->server", count: TLSContext.pskBytes)
        signingSeed = hkdfExpand(root, info: "goproxy v1 node ed25519", count: 32)
    }

    /// A credential with no uuid behind it, for a thousand nodes of a benchmark: scrypt would take 80 ms for each.
    package static func random() -> Credential {
        Credential(id: randomBytes(16), psk: randomBytes(TLSContext.pskBytes), signingSeed: randomBytes(32))
    }

    private init(id: [UInt8], psk: [UInt8], signingSeed: [UInt8]) {
        self.id = id
        self.psk = psk
        self.signingSeed = signingSeed
    }

    /// `id` in the text form of a UUID.
    package var nodeID: String {
        var text = ""
        for (index, byte) in id.enumerated() {
            if [4, 6, 8, 10].contains(index) { text += "-" }
            text += String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }
        return text
    }

    /// A new uuid whose holder accepts only the server with this 32-byte public key.
    package static func generate(serverPublicKey: [UInt8]) -> String {
        GeneratedUUID(secret: randomBytes(32), serverFingerprint: fingerprint(of: serverPublicKey)).text
    }

    /// What `serverFingerprint` is compared with.
    package static func fingerprint(of serverPublicKey: [UInt8]) -> [UInt8] {
        precondition(serverPublicKey.count == 32, "an Ed25519 public key has 32 bytes")
        return Array(sha256(serverPublicKey).prefix(16))
    }

    private static func scrypt(_ uuid: String) throws(CredentialError) -> [UInt8] {
        let salt = Array("goproxy/v1".utf8)
        var password = Array(uuid.utf8)
        defer { cleanse(&password) }
        var root = [UInt8](repeating: 0, count: 32)
        // 2^15 blocks of 1 KiB are just above the 32 MiB that OpenSSL allows by itself.
        let done = password.withUnsafeBytes { password in
            EVP_PBE_scrypt(
                password.baseAddress, password.count, salt, salt.count, 1 << 15, 8, 1, 64 << 20, &root,
                root.count)
        }
        guard done == 1 else {
            ERR_clear_error()
            throw CredentialError.derivationFailed
        }
        return root
    }
}

// Printing, interpolating or dumping a credential shows its public name only.
extension Credential: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "Credential(\(nodeID))" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: ["nodeID": nodeID]) }
}

/// Why a uuid cannot be used at all. The description never contains it.
package enum CredentialError: Error, Sendable, Equatable, CustomStringConvertible {
    case empty
    /// A `gp1_` uuid with characters missing or too many.
    case wrongLength(Int)
    /// A `gp1_` uuid with another character than a–z and 2–7, or with a last one that no generator writes.
    case wrongCharacter
    /// No memory for scrypt.
    case derivationFailed

    package var description: String {
        switch self {
        case .empty: "the uuid is empty"
        case .wrongLength(let count):
            "the uuid begins with gp1_ but has \(count) characters instead of \(GeneratedUUID.characters)"
        case .wrongCharacter: "the uuid begins with gp1_ but is not one: a character was changed"
        case .derivationFailed: "no key can be derived from the uuid: not enough memory"
        }
    }
}
