/// What the server keeps of a uuid: enough to recognise it, not enough to be the node. Not encodable: it is never shown.
package struct CredentialRecord: Equatable, Sendable {
    /// 16 bytes, sent in the clear by whoever logs in.
    package let identity: [UInt8]
    package let nodeID: String
    /// 32 bytes, Ed25519.
    package let publicKey: [UInt8]
    /// The key of the handshake, encrypted under a key file that is not in the database.
    package let sealedPSK: [UInt8]
    package let notBefore: Timestamp
    /// Nil: until it is ended.
    package let notAfter: Timestamp?
    package let weak: Bool
    package let origin: Origin
    /// When a link last stood on it; nil: none ever did.
    package let lastUsed: Timestamp?

    /// As the history names it.
    package var name: String { hex(identity) }

    package func isValid(at time: Timestamp) -> Bool {
        notBefore <= time && (notAfter.map { time < $0 } ?? true)
    }
}

/// A uuid that is good no more: what is left of it is its name.
package struct EndedCredential: Equatable, Sendable {
    package enum Reason: String, Sendable {
        /// Its time was over.
        case expired
        /// Another took its place at once.
        case rotated
        case nodeRemoved = "node-removed"
        /// The server's flags name another one.
        case flags
        /// It cannot be opened here: what it was sealed under has gone.
        case sealedElsewhere = "sealed-elsewhere"
        /// A restored backup had it as good, which it no longer was.
        case restored
    }

    package let identity: [UInt8]
    package let nodeID: String
    /// The node's name when it ended.
    package let node: String
    package let at: Timestamp
    package let reason: Reason

    package var name: String { hex(identity) }
}

/// A credential that is to be.
package struct NewCredentialRecord: Equatable, Sendable {
    package let identity: [UInt8]
    package let publicKey: [UInt8]
    package let sealedPSK: [UInt8]
    package let weak: Bool

    package init(identity: [UInt8], publicKey: [UInt8], sealedPSK: [UInt8], weak: Bool = false) {
        self.identity = identity
        self.publicKey = publicKey
        self.sealedPSK = sealedPSK
        self.weak = weak
    }

    /// As the history names it.
    package var name: String { hex(identity) }

    /// The identity in the form of a UUID: the node's id, when this is its first credential.
    package var id: String {
        let hex = identity.map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0\(digits)" : digits
        }
        let ends = [0, 4, 6, 8, 10, 16]
        return zip(ends, ends.dropFirst()).map { start, end in
            hex[min(start, hex.count)..<min(end, hex.count)].joined()
        }.joined(separator: "-")
    }
}
