// The recipe: every setting of TLS 1.3 with a pre-shared key that this project uses, in one place.
import COpenSSL
import Ciphers

/// What all connections of one role share. Immutable after its making.
///
/// Engines of several threads may share one, if `lookup` may be called on all of them.
package final class TLSContext {
    /// The one cipher: with a SHA-384 cipher allowed too, OpenSSL may choose it and then skips the key (RFC
    /// 8446, 4.2.11).
    private static let cipher = "TLS_AES_128_GCM_SHA256"
    private static let cipherCode: [UInt8] = [0x13, 0x01]

    /// The PSK of the wire has 32 bytes, as SHA-256 gives them.
    package static let pskBytes = 32

    /// The `SSL_CTX`, for tests that look at the settings or break one on purpose.
    package let handle: OpaquePointer
    let bioMethod: OpaquePointer
    package let isClient: Bool
    fileprivate let lookup: (UnsafeRawBufferPointer) -> [UInt8]?
    fileprivate let identity: UnsafeMutableBufferPointer<UInt8>
    fileprivate let psk: UnsafeMutableBufferPointer<UInt8>

    /// `lookup` maps an identity, which is whatever an unknown peer sent, to its 32-byte key. It is called
    /// inside `TLSEngine.handshake()`, must not block and must not call that engine. For nil the handshake
    /// goes on with a random key, so that a scanner sees the same alert as for a wrong key and learns no
    /// identity.
    package static func server(
        lookup: @escaping (_ identity: UnsafeRawBufferPointer) -> [UInt8]?
    ) throws(TLSFailure) -> TLSContext {
        let context = try TLSContext(isClient: false, identity: [], psk: [], lookup: lookup)
        SSL_CTX_set_psk_find_session_callback(context.handle, findSession)
        return context
    }

    /// A client that accepts only a server that proves the same 32-byte `psk`.
    package static func client(identity: [UInt8], psk: [UInt8]) throws(TLSFailure) -> TLSContext {
        precondition(
            !identity.isEmpty && psk.count == pskBytes, "a client needs an identity and a 32-byte key")
        let context = try TLSContext(isClient: true, identity: identity, psk: psk, lookup: { _ in nil })
        SSL_CTX_set_psk_use_session_callback(context.handle, useSession)
        // The store stays empty: no certificate is good. Without this any certificate would be.
        SSL_CTX_set_verify(context.handle, SSL_VERIFY_PEER, nil)
        return context
    }

    private init(
        isClient: Bool, identity: [UInt8], psk: [UInt8],
        lookup: @escaping (UnsafeRawBufferPointer) -> [UInt8]?
    ) throws(TLSFailure) {
        // It takes some milliseconds to find: not when the first link comes about, on its loop.
        _ = GCMLibrary.best
        ERR_clear_error()
        let method = isClient ? TLS_client_method() : TLS_server_method()
        guard let handle = SSL_CTX_new(method) else {
            throw TLSFailure(.other, "OpenSSL: cannot make a context")
        }
        guard let bioMethod = makeEngineBIOMethod(), Self.applyRecipe(to: handle) else {
            SSL_CTX_free(handle)
            throw TLSFailure(.other, "OpenSSL: a setting is refused (TLS 1.3, \(Self.cipher), X25519:P-256)")
        }
        SSL_CTX_set_msg_callback(handle, noteHandshakeMessage)
        SSL_CTX_set_keylog_callback(handle, noteSecret)
        self.handle = handle
        self.bioMethod = bioMethod
        self.isClient = isClient
        self.lookup = lookup
        // Not arrays: OpenSSL keeps a pointer to the identity, and the key is to be overwritten at the end.
        self.identity = .allocate(capacity: identity.count)
        self.psk = .allocate(capacity: psk.count)
        _ = self.identity.initialize(from: identity)
        _ = self.psk.initialize(from: psk)
    }

    deinit {
        OPENSSL_cleanse(psk.baseAddress, psk.count)
        psk.deallocate()
        identity.deallocate()
        SSL_CTX_free(handle)
        BIO_meth_free(bioMethod)
    }

    private static func applyRecipe(to handle: OpaquePointer) -> Bool {
        // What a system's openssl.cnf has switched on is switched off again; ours is then the whole list.
        SSL_CTX_clear_options(handle, SSL_CTX_get_options(handle))
        SSL_CTX_set_options(
            handle,
            goproxy_SSL_OP_NO_TICKET | goproxy_SSL_OP_NO_COMPRESSION | goproxy_SSL_OP_NO_RENEGOTIATION
                | goproxy_SSL_OP_ENABLE_MIDDLEBOX_COMPAT)
        goproxy_SSL_CTX_set_mode(handle, Int(SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS))
        goproxy_SSL_CTX_set_session_cache_off(handle)
        return goproxy_SSL_CTX_allow_only(handle, TLS1_3_VERSION) == 1
            && SSL_CTX_set_ciphersuites(handle, cipher) == 1
            && goproxy_SSL_CTX_set_groups(handle, "X25519:P-256") == 1
            && SSL_CTX_set_num_tickets(handle, 0) == 1
            && SSL_CTX_set_max_early_data(handle, 0) == 1
            && SSL_CTX_set_recv_max_early_data(handle, 0) == 1
    }

    /// A session that stands for a key from outside (SSL_CTX_set_psk_find_session_callback(3)); the caller
    /// owns it.
    fileprivate static func session(for ssl: OpaquePointer?, key: UnsafeBufferPointer<UInt8>)
        -> OpaquePointer?
    {
        guard let session = SSL_SESSION_new() else { return nil }
        guard let cipher = SSL_CIPHER_find(ssl, cipherCode),
            SSL_SESSION_set1_master_key(session, key.baseAddress, key.count) == 1,
            SSL_SESSION_set_cipher(session, cipher) == 1,
            SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1
        else {
            SSL_SESSION_free(session)
            return nil
        }
        return session
    }

    /// True if the finished handshake is of this recipe. The client's check that its key was used is here
    /// too: it holds even where a certificate was let through.
    static func isOfRecipe(_ ssl: OpaquePointer) -> Bool {
        SSL_session_reused(ssl) == 1 && SSL_version(ssl) == TLS1_3_VERSION
            && SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl)) == 0x1301
    }
}

/// Server: asked once for each hello, so twice after a HelloRetryRequest.
private func findSession(
    ssl: OpaquePointer?, identity: UnsafePointer<UInt8>?, count: Int,
    out: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
    guard let engine = TLSEngine.of(ssl) else { return 0 }
    let known = engine.context.lookup(UnsafeRawBufferPointer(start: identity, count: count))
    precondition(known == nil || known?.count == TLSContext.pskBytes, "a pre-shared key has 32 bytes")
    engine.peerOffered(UnsafeRawBufferPointer(start: identity, count: count), isKnown: known != nil)
    let key = known ?? randomBytes(TLSContext.pskBytes)
    out?.pointee = key.withUnsafeBufferPointer { TLSContext.session(for: ssl, key: $0) }
    return out?.pointee == nil ? 0 : 1
}

/// Client: asked again after a HelloRetryRequest, then with the digest that the server chose.
private func useSession(
    ssl: OpaquePointer?, digest: OpaquePointer?, identity: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
    count: UnsafeMutablePointer<Int>?, out: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
    guard let context = TLSEngine.of(ssl)?.context else { return 0 }
    out?.pointee = TLSContext.session(for: ssl, key: UnsafeBufferPointer(context.psk))
    identity?.pointee = UnsafePointer(context.identity.baseAddress)
    count?.pointee = context.identity.count
    return out?.pointee == nil ? 0 : 1
}

/// Called for each message and record header; looks only at received handshake messages.
private func noteHandshakeMessage(
    isWritten: Int32, version: Int32, contentType: Int32, bytes: UnsafeRawPointer?, count: Int,
    ssl: OpaquePointer?,
    argument: UnsafeMutableRawPointer?
) {
    guard isWritten == 0, contentType == SSL3_RT_HANDSHAKE, count > 0, let bytes else { return }
    TLSEngine.of(ssl)?.received(handshakeMessage: Int32(bytes.load(as: UInt8.self)))
}

/// Called for each secret that is agreed upon, with a line that OpenSSL wipes afterwards.
private func noteSecret(ssl: OpaquePointer?, line: UnsafePointer<CChar>?) {
    guard let line else { return }
    TLSEngine.of(ssl)?.agreed(keyLogLine: line)
}
