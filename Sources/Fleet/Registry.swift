import Glibc
import Mux
import Reactor
import TLS
import Tunnel

/// What lets somebody in as a node: enough to recognise the uuid's holder, not enough to be it.
package struct Admission: Equatable, Sendable {
    /// 16 bytes, sent in the clear.
    package let identity: [UInt8]
    package let psk: [UInt8]
    package let publicKey: [UInt8]
    /// Microseconds since the epoch; the second bound is not part of it.
    package let validMicroseconds: Range<Int64>

    package init(
        identity: [UInt8], psk: [UInt8], publicKey: [UInt8], validMicroseconds: Range<Int64> = 0..<Int64.max
    ) {
        self.identity = identity
        self.psk = psk
        self.publicKey = publicKey
        self.validMicroseconds = validMicroseconds
    }

    package init(_ credential: Credential) {
        self.init(
            identity: credential.id, psk: credential.psk,
            publicKey: SigningKey(seed: credential.signingSeed).publicKey)
    }
}

/// The nodes that may log in, by the identity of each credential. The gate asks here; the reconciler, or a program without
/// records, declares here.
package final class Registry {
    private struct Entry {
        let admission: Admission
        let peer: Peer
    }

    private var entries: [[UInt8]: Entry] = [:]
    private var identities: [ObjectIdentifier: [[UInt8]]] = [:]

    package init() {}

    /// Makes `admissions` the credentials with which one logs in as `peer`: several, or none.
    package func setAdmissions(_ admissions: [Admission], of peer: Peer) {
        for identity in identities[ObjectIdentifier(peer)] ?? [] { entries[identity] = nil }
        identities[ObjectIdentifier(peer)] = admissions.isEmpty ? nil : admissions.map(\.identity)
        for admission in admissions { entries[admission.identity] = Entry(admission: admission, peer: peer) }
    }

    func psk(for identity: UnsafeRawBufferPointer) -> [UInt8]? {
        // 16 bytes; anything longer is not worth a copy.
        guard identity.count == 16, let entry = entries[[UInt8](identity)], entry.admission.isValidNow else {
            return nil
        }
        return entry.admission.psk
    }

    /// The node that has proved `identity` and signs with `publicKey`.
    func peer(identity: [UInt8]?, publicKey: [UInt8]) -> Peer? {
        guard let identity, let entry = entries[identity], entry.admission.isValidNow,
            constantTimeEqual(entry.admission.publicKey, publicKey)
        else { return nil }
        return entry.peer
    }
}

extension Admission {
    fileprivate var isValidNow: Bool {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return validMicroseconds.contains(Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
    }
}
