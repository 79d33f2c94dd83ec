// How a TLS connection ends badly, in words for an operator, and how OpenSSL's error queue becomes one of
// these.
import COpenSSL

/// Why a link's TLS ended. Whatever it is, the peer or the network did it; the link is closed, the program
/// goes on.
///
/// The description is one line made of fixed text only: nothing that the peer sent and no secret can be in
/// it.
package struct TLSFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Kind: Sendable {
        /// Wrong key, no key, or a server that does not prove that it has the key.
        case wrongCredential
        /// An identity that the server does not know. (The other end cannot tell it from a wrong key.)
        case unknownCredential
        case wrongVersion
        case noSharedCipher
        /// The first bytes are no TLS record with a hello: HTTP, SSH, a port scanner.
        case notTLS
        /// The stream ended without close_notify, so its last bytes may be missing.
        case truncated
        /// A server showed a certificate and ignored the key: perhaps an impostor.
        case certificateInsteadOfPSK
        /// The peer ended the connection with an alert.
        case alert
        case keyUpdateFlood
        /// Also a record that fails its authentication: changed or damaged on the way.
        case other
    }

    package let kind: Kind
    package let description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}

/// What an engine has seen so far; the same OpenSSL error means different things at different moments.
struct PeerEvidence {
    /// What the client's hello offered as its key, as far as the server's lookup knows.
    enum Offer { case nothing, unknownIdentity, knownIdentity }

    let isClient: Bool
    var isEstablished = false
    /// A whole handshake message was received: the peer does speak TLS.
    var spokeTLS = false
    var showedCertificate = false
    var offer = Offer.nothing

    init(isClient: Bool) {
        self.isClient = isClient
    }

    /// Reads the oldest error of this thread's queue, which is the cause; later ones are consequences.
    func failureFromErrorQueue() -> TLSFailure {
        let code = ERR_peek_error()
        ERR_clear_error()
        guard code != 0 else { return TLSFailure(.other, "TLS failed without a reason") }
        let text = ERR_reason_error_string(code).map { String(cString: $0) } ?? "unknown reason"
        guard ERR_GET_LIB(code) == ERR_LIB_SSL else { return TLSFailure(.other, "TLS failed: \(text)") }
        let reason = ERR_GET_REASON(code)
        if reason > SSL_AD_REASON_OFFSET { return failure(ofAlert: reason - SSL_AD_REASON_OFFSET) }
        return failureInHandshake(reason, text)
    }

    func failure(ofAlert number: Int32) -> TLSFailure {
        let name = String(cString: SSL_alert_desc_string_long(number))
        guard !isEstablished else {
            return TLSFailure(.alert, "the peer ended the link with the alert '\(name)'")
        }
        switch number {
        case SSL_AD_PROTOCOL_VERSION:
            return TLSFailure(.wrongVersion, "the peer refuses TLS 1.3 (alert '\(name)')")
        case SSL_AD_ILLEGAL_PARAMETER, SSL_AD_DECRYPT_ERROR, SSL_AD_UNKNOWN_PSK_IDENTITY:
            // OpenSSL's server answers a key that does not fit with illegal_parameter.
            return TLSFailure(.wrongCredential, "the peer refuses the credential (alert '\(name)')")
        case SSL_AD_HANDSHAKE_FAILURE, SSL_AD_INSUFFICIENT_SECURITY:
            return TLSFailure(.noSharedCipher, "no common way to encrypt (alert '\(name)')")
        default:
            return TLSFailure(.alert, "the peer refuses the handshake with the alert '\(name)'")
        }
    }

    private func failureInHandshake(_ reason: Int32, _ text: String) -> TLSFailure {
        if showedCertificate {
            return TLSFailure(
                .certificateInsteadOfPSK, "the server shows a certificate instead of proving the credential")
        }
        switch reason {
        case SSL_R_BINDER_DOES_NOT_VERIFY:
            return offer == .knownIdentity
                ? TLSFailure(.wrongCredential, "wrong key for a known credential")
                : TLSFailure(.unknownCredential, "unknown credential")
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_VERSION_TOO_HIGH,
            SSL_R_WRONG_SSL_VERSION,
            SSL_R_UNKNOWN_PROTOCOL, SSL_R_INAPPROPRIATE_FALLBACK:
            return TLSFailure(.wrongVersion, "the peer does not speak TLS 1.3")
        default:
            break
        }
        guard spokeTLS else { return TLSFailure(.notTLS, "the peer does not speak TLS") }
        switch reason {
        case SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SUITABLE_KEY_SHARE, SSL_R_NO_SHARED_GROUPS:
            return TLSFailure(.noSharedCipher, "no common way to encrypt: \(text)")
        case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SSL_R_NO_CERTIFICATE_SET, SSL_R_MISSING_SIGALGS_EXTENSION:
            // Only a client without a usable key makes our server look for a certificate.
            return TLSFailure(.wrongCredential, "the peer offers no credential")
        case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC where isClient:
            return TLSFailure(.wrongCredential, "the server does not prove the credential")
        default:
            return TLSFailure(.other, "the handshake failed: \(text)")
        }
    }
}
