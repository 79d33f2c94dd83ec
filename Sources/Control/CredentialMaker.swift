/// Makes what a new or rotated node logs in with. A protocol, because the keys that it takes are the left column's.
package protocol CredentialMaker: Sendable {
    /// Takes about 80 ms of one core (scrypt). Called on the threads of the control socket.
    func make() throws(CredentialMakerError) -> NewCredential
}

/// A credential whose uuid is shown once and then forgotten.
package struct NewCredential: Sendable {
    package let uuid: String
    /// What the records keep: 16 bytes that name the credential, the node's Ed25519 key (32), and the key of the handshake,
    /// encrypted under a key that is not in the database.
    package let identity: [UInt8]
    package let publicKey: [UInt8]
    package let sealedPSK: [UInt8]

    package init(uuid: String, identity: [UInt8], publicKey: [UInt8], sealedPSK: [UInt8]) {
        self.uuid = uuid
        self.identity = identity
        self.publicKey = publicKey
        self.sealedPSK = sealedPSK
    }
}

// Printing or dumping shows nothing of the uuid.
extension NewCredential: CustomStringConvertible, CustomReflectable {
    package var description: String { "NewCredential" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Why none could be made: *subject: what failed: why*.
package struct CredentialMakerError: Error, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
