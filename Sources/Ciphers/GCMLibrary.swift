import CIPSecMB

/// Who computes AES-128-GCM.
package enum GCMLibrary: Sendable, CaseIterable {
    /// Intel's Multi-Buffer Crypto for IPsec, with the widest instructions of the processor.
    case ipsecMB
    case openSSL

    /// The quicker one that is here and answers like the other. Looked for once; takes some milliseconds the first time. Any thread.
    package static let best = choice(isInstalled: ipsecMB.isInstalled) { ipsecMB.answersLikeOpenSSL() }

    package static func choice(isInstalled: Bool, answersAlike: () -> Bool) -> GCMLibrary {
        isInstalled && answersAlike() ? .ipsecMB : .openSSL
    }

    /// Whether this machine has what it takes. Then it is `best` unless something is wrong.
    package var isInstalled: Bool { self == .openSSL || GCMFunctions.shared != nil }

    package var name: String { self == .ipsecMB ? "ipsec-mb" : "openssl" }

    /// A few messages through both: sizes around the steps of 16, 256 and 16,384 bytes, with the header that TLS has.
    private func answersLikeOpenSSL() -> Bool {
        let key = [UInt8](0..<16)
        var sealer = GCMCipher(key: key, sealing: true, library: self)
        var opener = GCMCipher(key: key, sealing: false, library: self)
        var own = GCMCipher(key: key, sealing: true, library: .openSSL)
        let nonce = [UInt8](100..<112)
        let header: [UInt8] = [23, 3, 3, 64, 17]
        for count in [1, 16, 17, 255, 257, 1_025, 16_385] {
            let message = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ count) }
            let sealed = sealer.seal(message, nonce: nonce, header: header)
            guard sealed == own.seal(message, nonce: nonce, header: header),
                opener.open(sealed, nonce: nonce, header: header) == message,
                opener.open(sealed.dropLast() + [~sealed.last!], nonce: nonce, header: header) == nil
            else { return false }
        }
        return true
    }
}

/// The functions of the fast library, chosen for this processor.
struct GCMFunctions: Sendable {
    /// Nil where the library or the processor's instructions are missing.
    static let shared: GCMFunctions? = {
        var table = goproxy_gcm()
        return goproxy_gcm_load(&table) == 1 ? GCMFunctions(table: table) : nil
    }()

    let table: goproxy_gcm
}
