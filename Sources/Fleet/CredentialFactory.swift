import Control
import TLS

/// Makes the credentials of nodes for the control service, in the server and in the admin program alike: both have the data
/// directory and so the same two keys.
package struct CredentialFactory: CredentialMaker {
    private let serverPublicKey: [UInt8]
    private let seal: SealingKey

    /// Makes the keys at their first use, but never beside credentials that were sealed under others.
    package init(_ directory: DataDirectory) throws(DataDirectory.Failure) {
        serverPublicKey = try directory.serverKey().publicKey
        seal = try directory.sealingKey()
    }

    package func make() throws(CredentialMakerError) -> NewCredential {
        try make(uuid: Credential.generate(serverPublicKey: serverPublicKey))
    }

    /// What is kept of a uuid that somebody chose.
    package func make(uuid: String) throws(CredentialMakerError) -> NewCredential {
        let credential: Credential
        do throws(CredentialError) {
            credential = try Credential(uuid: uuid)
        } catch {
            throw CredentialMakerError("uuid: not usable: \(error)")
        }
        return NewCredential(
            uuid: uuid, identity: credential.id,
            publicKey: SigningKey(seed: credential.signingSeed).publicKey,
            sealedPSK: seal.seal(credential.psk, context: credential.id))
    }

    /// The key of the handshake; nil if it was not sealed here for this credential.
    package func openPSK(_ sealed: [UInt8], identity: [UInt8]) -> [UInt8]? {
        seal.open(sealed, context: identity)
    }
}
