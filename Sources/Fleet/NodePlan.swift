import Logging
import Reactor
import Records
import TLS
import Tunnel

/// What the records ask for of one node, as a value: compared with what runs, the difference is the work.
struct NodePlan: Sendable {
    let id: String
    let name: String
    let revision: Int64
    /// Empty for a node that may not log in.
    var admissions: [Admission]
    /// Whose a known uuid is that lets nobody in, and why it does not.
    var former: [[UInt8]: Former]

    struct Former: Equatable, Sendable {
        let node: String
        let why: String
    }

    let mappings: [Mapping]
    let mappingNames: [UInt32: String]
    /// The revision that last changed each mapping.
    let wantedRevisions: [UInt32: Int64]
    /// Mappings whose addresses this program does not understand (written by a newer one), with the reason.
    let refused: [UInt32: String]

    init(_ record: FleetNode, keys: CredentialFactory) {
        id = record.node.id
        name = record.node.name
        revision = record.node.revision
        let isEnabled = record.node.state == .enabled
        admissions = isEnabled ? record.credentials.compactMap { Self.admission($0, keys) } : []
        former = Self.former(record.ended)
        for credential in record.credentials
        where !admissions.contains(where: { $0.identity == credential.identity }) {
            former[credential.identity] = Former(
                node: name, why: isEnabled ? "it was sealed under another seal.key" : "the node is disabled")
        }
        var mappings: [Mapping] = []
        var refused: [UInt32: String] = [:]
        var names: [UInt32: String] = [:]
        for row in record.mappings where row.enabled && isEnabled {
            do throws(EndpointError) {
                guard mappings.count < Limits.mappingsPerNode else {
                    throw EndpointError("more than \(Limits.mappingsPerNode) mappings")
                }
                mappings.append(try Mapping(row))
                names[row.id] = row.name
            } catch {
                refused[row.id] = error.description
            }
        }
        self.mappings = mappings
        self.refused = refused
        mappingNames = names
        wantedRevisions = Dictionary(record.mappings.map { ($0.id, $0.desiredRevision) }) { max($0, $1) }
    }

    /// Of uuids that have ended.
    static func former(_ ended: [EndedCredential]) -> [[UInt8]: Former] {
        Dictionary(ended.map { ($0.identity, Former(node: $0.node, why: "\($0.words) (\($0.at))")) }) { $1 }
    }

    /// What is known of its uuids once the node is no more.
    func removed(at time: Timestamp) -> [[UInt8]: Former] {
        var former = former
        for identity in Set(former.keys).union(admissions.map(\.identity)) {
            former[identity] = Former(node: name, why: "the node was removed (\(time))")
        }
        return former
    }

    private static func admission(_ row: CredentialRecord, _ keys: CredentialFactory) -> Admission? {
        // TLS takes keys of one length, and the row may be anybody's.
        guard let psk = keys.openPSK(row.sealedPSK, identity: row.identity), psk.count == TLSContext.pskBytes
        else {
            // Sealed under another key: a database that was copied here without its seal.key.
            Log.error(
                "credential-not-usable", ("node", row.nodeID), ("reason", "it was sealed under another key"))
            return nil
        }
        let end = row.notAfter?.microseconds ?? .max
        let start = min(row.notBefore.microseconds, end)
        return Admission(
            identity: row.identity, psk: psk, publicKey: row.publicKey, validMicroseconds: start..<end)
    }
}

extension EndedCredential {
    fileprivate var words: String {
        switch reason {
        case .expired: "the time was over that it was good for"
        case .rotated: "another took its place"
        case .nodeRemoved: "the node was removed"
        case .flags: "the server's flags name another"
        case .sealedElsewhere: "it was sealed under a key that is lost"
        case .restored: "it was ended again after a restore"
        }
    }
}

extension Mapping {
    fileprivate init(_ row: MappingRecord) throws(EndpointError) {
        self.init(
            id: row.id, kind: row.kind == .listener ? .listener : .peerListener,
            listen: try Endpoint(row.listen), forward: try Endpoint(row.forward))
    }
}

extension Endpoint {
    fileprivate init(_ place: Place) throws(EndpointError) {
        guard let domain = Domain(rawValue: place.domain) else {
            throw EndpointError("unknown domain \(place.domain)")
        }
        try self.init(domain: domain, address: place.addr)
    }
}
