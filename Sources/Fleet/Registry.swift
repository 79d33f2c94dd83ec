import Glibc
import Mux
import Reactor
import Records
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

    /// As the history names it.
    var name: String { Self.name(identity) }

    static func name(_ identity: [UInt8]) -> String {
        NewCredentialRecord(identity: identity, publicKey: [], sealedPSK: []).name
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
        var logins = LoginBudget()
    }

    /// What one credential may log in: each login replaces a link, and costs rows, lines in the log and entries in the audit. Only those that
    /// have proved themselves count, so nobody who merely knows the identity can keep the node out.
    private struct LoginBudget {
        private static let burst: UInt64 = 60
        private static let each: UInt64 = 1_000_000_000
        private var spentUntil: UInt64 = 0

        func allows(now: UInt64) -> Bool { spentUntil <= now + (Self.burst - 1) * Self.each }
        mutating func spend(now: UInt64) { spentUntil = max(spentUntil, now) + Self.each }
    }

    private var entries: [[UInt8]: Entry] = [:]
    private var identities: [ObjectIdentifier: [[UInt8]]] = [:]
    /// The last identity that was asked for is one that may log in again only later.
    private(set) var heldOff = false
    /// Whose it is, where it is a known one that lets nobody in.
    private(set) var former: NodePlan.Former?
    private var formers: [[UInt8]: NodePlan.Former] = [:]
    private var formersOf: [String: [[UInt8]]] = [:]

    package init() {}

    /// Makes `admissions` the credentials with which one logs in as `peer`: several, or none.
    package func setAdmissions(_ admissions: [Admission], of peer: Peer) {
        let before = (identities[ObjectIdentifier(peer)] ?? []).map { ($0, entries.removeValue(forKey: $0)) }
        identities[ObjectIdentifier(peer)] = admissions.isEmpty ? nil : admissions.map(\.identity)
        for admission in admissions {
            var entry = Entry(admission: admission, peer: peer)
            if let same = before.first(where: { $0.0 == admission.identity })?.1 {
                entry.logins = same.logins
            }
            entries[admission.identity] = entry
        }
    }

    /// Known uuids of the node with this id that let nobody in.
    func setFormer(_ former: [[UInt8]: NodePlan.Former], of id: String) {
        for identity in formersOf.removeValue(forKey: id) ?? [] { formers[identity] = nil }
        guard !former.isEmpty else { return }
        formersOf[id] = Array(former.keys)
        formers.merge(former) { $1 }
    }

    func psk(for identity: UnsafeRawBufferPointer, now: UInt64) -> [UInt8]? {
        heldOff = false
        former = nil
        // 16 bytes; anything longer is not worth a copy.
        guard identity.count == 16 else { return nil }
        let identity = [UInt8](identity)
        guard let entry = entries[identity], entry.admission.isValidNow else {
            former = formers[identity]
            return nil
        }
        heldOff = !entry.logins.allows(now: now)
        return heldOff ? nil : entry.admission.psk
    }

    func loggedIn(_ identity: [UInt8], now: UInt64) { entries[identity]?.logins.spend(now: now) }

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
