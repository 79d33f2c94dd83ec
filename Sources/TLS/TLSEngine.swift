// One TLS connection without a socket. The owner of the socket feeds what it received and sends what `output`
// holds:
//
//     recv ─► feed ─► handshake() until .done, then read(into:) until .wantsInput
//     write(_:) ─► output ─► send
import Buffers
import COpenSSL
import Ciphers

/// The TLS state of one main link. One thread at a time; it may move to another thread between two calls.
///
/// Reading and writing make no allocation of ours. OpenSSL takes and returns its own record buffer for each
/// record, which is why an idle engine is small; one that carries much keeps them. After a failure every call
/// answers that same failure.
package final class TLSEngine {
    package enum HandshakeProgress {
        /// All input was taken; what is in `output` has to be sent.
        case wantsInput
        /// Input may be left: go on with `read`.
        case done
        /// `output` may hold an alert that is worth sending.
        case failed(TLSFailure)
    }

    package enum ReadResult {
        /// Not more than one record's payload, so there may be more.
        case bytes(Int)
        case wantsInput
        /// The peer sent close_notify: all of its data was delivered. Writing is still allowed.
        case closed
        case failed(TLSFailure)
    }

    /// The most that one record carries (RFC 8446, 5.1).
    package static let maximumPayload = 16_384

    /// Where ciphertext is appended.
    package let output: ByteQueue
    /// Server: the identity whose key the client proved. Nil until the handshake is done, and on a client.
    package var peerIdentity: [UInt8]? { evidence.isEstablished ? offeredIdentity : nil }

    /// The cipher and who provides it, for the log.
    package var cipherText: String {
        FastGCM.shared == nil ? "aes-128-gcm/openssl" : "aes-128-gcm/ipsec-mb"
    }

    package let context: TLSContext
    package private(set) var keyUpdates = KeyUpdateSchedule()
    private let ssl: OpaquePointer
    private var input = UnsafeRawBufferPointer(start: nil, count: 0)
    private var evidence: PeerEvidence
    private var offeredIdentity: [UInt8]?
    private var failure: TLSFailure?
    private var isClosedByPeer = false
    private var isClosedByUs = false
    /// Since the last tick, in both directions.
    private var recentRecords = 0
    private var keepsBuffers = false
    /// Records between two ticks that make an engine a busy one.
    private static let busyRecords = 64

    /// A client's first bytes appear in `output` with the first `handshake()`.
    package init(context: TLSContext, output: ByteQueue) throws(TLSFailure) {
        ERR_clear_error()
        guard let bio = BIO_new(context.bioMethod) else { throw TLSFailure(.other, "OpenSSL: no memory") }
        guard let ssl = SSL_new(context.handle) else {
            BIO_free(bio)
            throw TLSFailure(.other, "OpenSSL: no memory")
        }
        self.context = context
        self.output = output
        self.ssl = ssl
        evidence = PeerEvidence(isClient: context.isClient)
        let me = Unmanaged.passUnretained(self).toOpaque()
        BIO_set_data(bio, me)
        BIO_set_init(bio, 1)
        SSL_set_bio(ssl, bio, bio)
        SSL_set_ex_data(ssl, Self.engineIndex, me)
        if context.isClient { SSL_set_connect_state(ssl) } else { SSL_set_accept_state(ssl) }
    }

    deinit {
        SSL_free(ssl)
    }

    /// Sets the input. The memory stays the caller's and has to stay valid until a call answers `.wantsInput`
    /// (all was taken), `.closed` or `.failed` (the rest is dropped).
    package func feed(_ ciphertext: UnsafeRawBufferPointer) {
        if failure != nil || isClosedByPeer { return }
        precondition(input.isEmpty, "feeding before the last input was taken")
        input = ciphertext
    }

    /// Goes as far as the input reaches.
    package func handshake() -> HandshakeProgress {
        if let failure { return .failed(failure) }
        if evidence.isEstablished { return .done }
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        if result == 1 { return finishHandshake() }
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsInput
        case SSL_ERROR_ZERO_RETURN:
            return .failed(
                fail(TLSFailure(.truncated, "the peer closed the connection during the handshake")))
        default: return .failed(fail(evidence.failureFromErrorQueue()))
        }
    }

    /// Decrypts into `buffer`, which is not empty. May append to `output` (the answer to a key update, an
    /// alert), so flush after reading too.
    package func read(into buffer: UnsafeMutableRawBufferPointer) -> ReadResult {
        if let failure { return .failed(failure) }
        if isClosedByPeer { return .closed }
        precondition(
            evidence.isEstablished && !buffer.isEmpty, "reading before the handshake, or into nothing")
        forgetErrors()
        let result = SSL_read(ssl, buffer.baseAddress, Int32(clamping: buffer.count))
        if result > 0 {
            countRecord()
            return .bytes(Int(result))
        }
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsInput
        case SSL_ERROR_ZERO_RETURN:
            isClosedByPeer = true
            dropInput()
            return .closed
        default:
            if keyUpdates.isFlooded {
                return .failed(fail(TLSFailure(.keyUpdateFlood, "the peer asks for new keys too often")))
            }
            return .failed(fail(evidence.failureFromErrorQueue()))
        }
    }

    /// To be told after all input was read and the socket says end of file. Nil after a close_notify.
    package func endOfInput() -> TLSFailure? {
        if isClosedByPeer { return nil }
        if let failure { return failure }
        return fail(
            TLSFailure(
                .truncated,
                evidence.isEstablished
                    ? "the connection ended without a TLS close"
                    : "the connection ended during the handshake"))
    }

    /// Encrypts 1 to 16,384 bytes as one record into `output`. Nil is success.
    package func write(_ plaintext: UnsafeRawBufferPointer) -> TLSFailure? {
        if let failure { return failure }
        precondition(
            evidence.isEstablished && !isClosedByUs, "writing before the handshake or after the close")
        precondition(
            !plaintext.isEmpty && plaintext.count <= Self.maximumPayload, "a record has 1 to 16384 bytes")
        if keyUpdates.isDue { renewKey() }
        forgetErrors()
        let result = SSL_write(ssl, plaintext.baseAddress, Int32(plaintext.count))
        if result == Int32(plaintext.count) {
            keyUpdates.sentRecord()
            countRecord()
            return nil
        }
        if SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ {
            // The BIO never refuses a write; OpenSSL waits for the rest of a message that the peer split.
            return fail(TLSFailure(.other, "the peer breaks the TLS protocol: half a key update"))
        }
        return fail(evidence.failureFromErrorQueue())
    }

    /// Ends our direction; nothing can be written after it. Does nothing before the handshake or after a
    /// failure.
    package func sendCloseNotify() {
        guard evidence.isEstablished, failure == nil, !isClosedByUs else { return }
        isClosedByUs = true
        ERR_clear_error()
        _ = SSL_shutdown(ssl)
    }

    /// 32 bytes that only the two ends of this connection can know (RFC 8446, 7.5), after the handshake.
    package func exportKeyingMaterial(label: String) -> [UInt8] {
        precondition(evidence.isEstablished, "exporting before the handshake")
        var label = label
        let bytes = label.withUTF8 { label in
            [UInt8](unsafeUninitializedCapacity: 32) { out, count in
                let done = label.withMemoryRebound(to: CChar.self) {
                    SSL_export_keying_material(ssl, out.baseAddress, 32, $0.baseAddress, $0.count, nil, 0, 0)
                }
                count = done == 1 ? 32 : 0
            }
        }
        precondition(bytes.count == 32, "OpenSSL: cannot export keying material")
        return bytes
    }

    /// Tells the time, on any scale that does not go back, every few seconds or oftener: a key of an hour is
    /// renewed with the next record, and the count of the peer's key updates starts anew each minute.
    package func tick(nowNanoseconds: UInt64) {
        keyUpdates.tick(nowNanoseconds)
        if evidence.isEstablished, failure == nil, !isClosedByUs, keyUpdates.isDue { renewKey() }
        if keepsBuffers, recentRecords < Self.busyRecords {
            keepsBuffers = false
            SSL_ctrl(ssl, SSL_CTRL_MODE, Int(SSL_MODE_RELEASE_BUFFERS), nil)
            // Not while half a record is in them; the next record then returns them.
            SSL_free_buffers(ssl)
        }
        recentRecords = 0
    }

    @inline(__always)
    private func countRecord() {
        recentRecords += 1
        if recentRecords == Self.busyRecords, !keepsBuffers {
            keepsBuffers = true
            SSL_ctrl(ssl, SSL_CTRL_CLEAR_MODE, Int(SSL_MODE_RELEASE_BUFFERS), nil)
        }
    }

    /// For tests: how many records one key protects; 2^22 otherwise.
    package var recordsPerKey: UInt64 {
        get { keyUpdates.recordsPerKey }
        set { keyUpdates.recordsPerKey = newValue }
    }

    /// What an earlier call left would be taken for this one's. Looking costs a tenth of clearing.
    @inline(__always)
    private func forgetErrors() {
        if ERR_peek_error() != 0 { ERR_clear_error() }
    }

    private func finishHandshake() -> HandshakeProgress {
        guard TLSContext.isOfRecipe(ssl) else {
            return .failed(
                fail(
                    evidence.showedCertificate
                        ? TLSFailure(
                            .certificateInsteadOfPSK,
                            "the server shows a certificate instead of proving the credential")
                        : TLSFailure(.other, "the handshake is not of this recipe")))
        }
        evidence.isEstablished = true
        return .done
    }

    /// The KeyUpdate itself goes out before the next record. Not answered by the peer: it counts its own
    /// records.
    private func renewKey() {
        if SSL_get_key_update_type(ssl) == SSL_KEY_UPDATE_NONE {
            ERR_clear_error()
            // It fails only while OpenSSL waits for the rest of a split message, which the next write
            // reports.
            guard SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 else { return }
        }
        keyUpdates.renewedKey()
    }

    private func fail(_ reason: TLSFailure) -> TLSFailure {
        failure = reason
        dropInput()
        return reason
    }

    private func dropInput() {
        input = UnsafeRawBufferPointer(start: nil, count: 0)
    }
}

// What OpenSSL's callbacks call, always from inside one of the engine's own calls.
extension TLSEngine {
    /// SSL_get_app_data's slot.
    private static let engineIndex: Int32 = 0

    static func of(_ ssl: OpaquePointer?) -> TLSEngine? {
        SSL_get_ex_data(ssl, engineIndex).map { Unmanaged<TLSEngine>.fromOpaque($0).takeUnretainedValue() }
    }

    func takeInput(into out: UnsafeMutableRawBufferPointer) -> Int {
        let taken = min(out.count, input.count)
        guard taken > 0 else { return 0 }
        out.baseAddress!.copyMemory(from: input.baseAddress!, byteCount: taken)
        if taken == input.count { dropInput() } else { input = .init(rebasing: input[taken...]) }
        return taken
    }

    func peerOffered(_ identity: UnsafeRawBufferPointer, isKnown: Bool) {
        offeredIdentity = isKnown ? [UInt8](identity) : nil
        evidence.offer = isKnown ? .knownIdentity : .unknownIdentity
    }

    func received(handshakeMessage type: Int32) {
        evidence.spokeTLS = true
        if type == SSL3_MT_CERTIFICATE { evidence.showedCertificate = true }
        if type == SSL3_MT_KEY_UPDATE { keyUpdates.peerRenewedKey() }
    }
}
