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
/// OpenSSL shakes hands and is let go of then; `RecordProtection` seals and opens records, as a kernel does that is handed a
/// connection's keys: from the caller's memory into the queue, and from what arrived into the caller's memory. After a failure
/// every call answers that same failure.
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
        /// One record's payload; there may be more.
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
    package var cipherText: String { "aes-128-gcm/\(GCMLibrary.best.name)" }

    package let context: TLSContext
    /// Until the handshake is done.
    private var ssl: OpaquePointer?
    private var input = RecordInput()
    private var secrets = HandshakeSecrets()
    private var exporter: Exporter?
    /// From then on, with an input of its own.
    private var protection: RecordProtection?
    private var evidence: PeerEvidence
    private var offeredIdentity: [UInt8]?
    private var failure: TLSFailure?
    private var isClosedByPeer = false

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
        if protection == nil { input.feed(ciphertext) } else { protection!.input.feed(ciphertext) }
    }

    /// The memory that was fed may go although `read` has not answered `.wantsInput`: the rest of it is read later, before anything
    /// else is fed. False if there is no rest.
    package func keepInput() -> Bool { failure == nil && !isClosedByPeer && protection?.input.keep() == true }

    /// Goes as far as the input reaches.
    package func handshake() -> HandshakeProgress {
        if let failure { return .failed(failure) }
        guard let ssl else { return .done }
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        if result == 1 { return finishHandshake(ssl) }
        switch SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsInput
        case SSL_ERROR_ZERO_RETURN:
            return .failed(
                fail(TLSFailure(.truncated, "the peer closed the connection during the handshake")))
        default: return .failed(fail(evidence.failureFromErrorQueue()))
        }
    }

    /// Decrypts into `buffer`, which has room for a whole record's payload. May append to `output` (the answer to a key
    /// update, an alert), so flush after reading too.
    package func read(into buffer: UnsafeMutableRawBufferPointer) -> ReadResult {
        if let failure { return .failed(failure) }
        if isClosedByPeer { return .closed }
        precondition(protection != nil, "reading before the handshake")
        precondition(buffer.count >= Self.maximumPayload, "a record is read as a whole")
        switch protection!.read(into: buffer) {
        case .bytes(let count): return .bytes(count)
        case .wantsInput: return .wantsInput
        case .closed:
            isClosedByPeer = true
            return .closed
        case .alert(let number): return .failed(fail(evidence.failure(ofAlert: Int32(number))))
        case .refused(let failure): return .failed(fail(failure))
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
        precondition(protection != nil, "writing before the handshake")
        precondition(
            !plaintext.isEmpty && plaintext.count <= Self.maximumPayload, "a record has 1 to 16384 bytes")
        protection!.write(plaintext)
        return nil
    }

    /// Ends our direction; nothing can be written after it. Does nothing before the handshake or after a
    /// failure.
    package func sendCloseNotify() {
        if failure == nil { protection?.sendCloseNotify() }
    }

    /// 32 bytes that only the two ends of this connection can know (RFC 8446, 7.5), after the handshake.
    package func exportKeyingMaterial(label: String) -> [UInt8] {
        guard let exporter else { preconditionFailure("exporting before the handshake") }
        return exporter.export(label: label)
    }

    /// Tells the time, on any scale that does not go back, every few seconds or oftener: a key of an hour is
    /// renewed with the next record, and the count of the peer's key updates starts anew each minute.
    package func tick(nowNanoseconds: UInt64) {
        protection?.tick(nowNanoseconds)
    }

    /// For tests, after the handshake: how many records one key protects; 2^22 otherwise.
    package var recordsPerKey: UInt64 {
        get { protection!.keyUpdates.recordsPerKey }
        set { protection!.keyUpdates.recordsPerKey = newValue }
    }

    /// For tests.
    package var keyUpdatesInWindow: Int { protection?.keyUpdates.inWindow ?? 0 }

    private func finishHandshake(_ ssl: OpaquePointer) -> HandshakeProgress {
        guard TLSContext.isOfRecipe(ssl) else {
            return .failed(
                fail(
                    evidence.showedCertificate
                        ? TLSFailure(
                            .certificateInsteadOfPSK,
                            "the server shows a certificate instead of proving the credential")
                        : TLSFailure(.other, "the handshake is not of this recipe")))
        }
        // OpenSSL takes a record at a time: what has come behind the last of the handshake is still ours to read. And it has
        // sealed nothing under the new keys, as a ticket would be: no number may serve twice.
        guard let client = secrets.client, let server = secrets.server, let exporter = secrets.exporter,
            SSL_has_pending(ssl) == 0, context.isClient || SSL_get_num_tickets(ssl) == 0
        else { return .failed(fail(TLSFailure(.other, "OpenSSL keeps to itself what was agreed upon"))) }
        self.exporter = Exporter(exporter)
        secrets = HandshakeSecrets()
        protection = RecordProtection(
            isClient: context.isClient,
            sending: TrafficKey(context.isClient ? client : server, sealing: true),
            receiving: TrafficKey(context.isClient ? server : client, sealing: false), output: output)
        protection!.input.feed(input.fed)
        input.drop()
        evidence.isEstablished = true
        self.ssl = nil
        SSL_free(ssl)
        return .done
    }

    private func fail(_ reason: TLSFailure) -> TLSFailure {
        failure = reason
        input.drop()
        protection?.input.drop()
        return reason
    }
}

// What OpenSSL's callbacks call, always from inside `handshake()`.
extension TLSEngine {
    /// SSL_get_app_data's slot.
    private static let engineIndex: Int32 = 0

    static func of(_ ssl: OpaquePointer?) -> TLSEngine? {
        SSL_get_ex_data(ssl, engineIndex).map { Unmanaged<TLSEngine>.fromOpaque($0).takeUnretainedValue() }
    }

    func takeInput(into out: UnsafeMutableRawBufferPointer) -> Int {
        input.take(into: out)
    }

    func peerOffered(_ identity: UnsafeRawBufferPointer, isKnown: Bool) {
        offeredIdentity = isKnown ? [UInt8](identity) : nil
        evidence.offer = isKnown ? .knownIdentity : .unknownIdentity
    }

    func received(handshakeMessage type: Int32) {
        evidence.spokeTLS = true
        if type == SSL3_MT_CERTIFICATE { evidence.showedCertificate = true }
    }

    func agreed(keyLogLine line: UnsafePointer<CChar>) {
        secrets.note(line)
    }
}
