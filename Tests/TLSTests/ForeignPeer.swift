// A peer that is not ours: OpenSSL with whatever settings a test wants, on OpenSSL's own memory BIOs.
import COpenSSL

final class ForeignPeer {
    let ssl: OpaquePointer
    private let context: OpaquePointer
    private let input = BIO_new(BIO_s_mem())
    private let output = BIO_new(BIO_s_mem())
    var identity = TLSTests.identity
    var psk: [UInt8]? = TLSTests.psk
    fileprivate(set) var ticketsSeen = 0
    /// Its key log.
    fileprivate(set) var secrets = [String: [UInt8]]()

    /// `settings` sees the context before the connection is made.
    init(isClient: Bool, _ settings: (OpaquePointer) -> Void = { _ in }) {
        context = SSL_CTX_new(isClient ? TLS_client_method() : TLS_server_method())
        settings(context)
        if isClient {
            SSL_CTX_set_psk_use_session_callback(context, offerKey)
        } else {
            SSL_CTX_set_psk_find_session_callback(context, findKey)
        }
        SSL_CTX_set_msg_callback(context, countTickets)
        SSL_CTX_set_keylog_callback(context, keepSecret)
        ssl = SSL_new(context)
        SSL_set_bio(ssl, input, output)
        SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(self).toOpaque())
        if isClient { SSL_set_connect_state(ssl) } else { SSL_set_accept_state(ssl) }
    }

    deinit {
        SSL_free(ssl)
        SSL_CTX_free(context)
    }

    func give(_ bytes: [UInt8]) {
        _ = BIO_write(input, bytes, Int32(bytes.count))
    }

    func takeOutput() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: BIO_ctrl_pending(output))
        let count = BIO_read(output, &bytes, Int32(bytes.count))
        return Array(bytes.prefix(Int(max(count, 0))))
    }

    /// True once the handshake is done.
    @discardableResult
    func handshake() -> Bool {
        ERR_clear_error()
        return SSL_do_handshake(ssl) == 1
    }

    func write(_ bytes: [UInt8]) {
        _ = SSL_write(ssl, bytes, Int32(bytes.count))
    }

    /// All that can be read now.
    func read() -> [UInt8] {
        var out = [UInt8]()
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            ERR_clear_error()
            let count = SSL_read(ssl, &buffer, Int32(buffer.count))
            if count <= 0 { return out }
            out += buffer[..<Int(count)]
        }
    }

    /// The handshake with one of our ends, as far as it goes.
    func shake(with end: End) {
        for _ in 0..<8 {
            handshake()
            let bytes = takeOutput()
            if !bytes.isEmpty { end.give(bytes) } else { end.run() }
            give(end.takeOutput())
        }
    }

    fileprivate static func of(_ ssl: OpaquePointer?) -> ForeignPeer {
        Unmanaged<ForeignPeer>.fromOpaque(SSL_get_ex_data(ssl, 0)).takeUnretainedValue()
    }

    fileprivate func session() -> OpaquePointer? {
        guard let psk else { return nil }
        let session = SSL_SESSION_new()
        SSL_SESSION_set1_master_key(session, psk, psk.count)
        // A SHA-384 key for a peer that insists on AES-256.
        let sha384 = SSL_CIPHER_find(ssl, [0x13, 0x02] as [UInt8])
        let wantsOther = psk.count == 48
        SSL_SESSION_set_cipher(session, wantsOther ? sha384 : SSL_CIPHER_find(ssl, [0x13, 0x01] as [UInt8]))
        SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION)
        return session
    }
}

private func offerKey(
    ssl: OpaquePointer?, digest: OpaquePointer?, identity: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
    count: UnsafeMutablePointer<Int>?, out: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
    let peer = ForeignPeer.of(ssl)
    out?.pointee = peer.session()
    // OpenSSL copies it before the array can change.
    peer.identity.withUnsafeBufferPointer { identity?.pointee = $0.baseAddress }
    count?.pointee = peer.identity.count
    return 1
}

private func findKey(
    ssl: OpaquePointer?, identity: UnsafePointer<UInt8>?, count: Int,
    out: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
    out?.pointee = ForeignPeer.of(ssl).session()
    return 1
}

private func countTickets(
    isWritten: Int32, version: Int32, contentType: Int32, bytes: UnsafeRawPointer?, count: Int,
    ssl: OpaquePointer?,
    argument: UnsafeMutableRawPointer?
) {
    guard isWritten == 0, contentType == SSL3_RT_HANDSHAKE, count > 0, let bytes else { return }
    if Int32(bytes.load(as: UInt8.self)) == SSL3_MT_NEWSESSION_TICKET { ForeignPeer.of(ssl).ticketsSeen += 1 }
}

private func keepSecret(ssl: OpaquePointer?, line: UnsafePointer<CChar>?) {
    let words = String(cString: line!).split(separator: " ")
    let digits = Array(words[2].utf8).map { $0 < 58 ? $0 - 48 : $0 - 87 }
    ForeignPeer.of(ssl).secrets[String(words[0])] = stride(from: 0, to: digits.count, by: 2).map {
        digits[$0] << 4 | digits[$0 + 1]
    }
}
