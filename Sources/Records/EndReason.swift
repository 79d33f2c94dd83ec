/// How a connection ended, in one word of a closed set.
package enum EndReason: String, CaseIterable, Codable, Sendable {
    case clientEOF = "client-eof"
    case targetEOF = "target-eof"
    case clientReset = "client-reset"
    case targetReset = "target-reset"
    case targetRefused = "target-refused"
    case targetTimeout = "target-timeout"
    case targetUnreachable = "target-unreachable"
    /// The node's own list of what it may dial does not have the target.
    case notAllowed = "not-allowed"
    case idle
    case limit
    case revoked
    case mappingRemoved = "mapping-removed"
    case linkLost = "link-lost"
    case serverStop = "server-stop"
    case nodeStop = "node-stop"
    case killed
    case nodeAway = "node-away"
    /// Its opening could not be recorded, so it was refused.
    case notRecorded = "not-recorded"
    case serverCrash = "server-crash"

    /// Who ended it.
    package enum Side: String, CaseIterable, Codable, Sendable {
        case client, target, server, node, `operator`, link
    }

    package var side: Side {
        switch self {
        case .clientEOF, .clientReset: .client
        case .targetEOF, .targetReset, .targetRefused, .targetTimeout, .targetUnreachable: .target
        case .notAllowed, .nodeStop, .nodeAway: .node
        case .idle, .limit, .serverStop, .notRecorded, .serverCrash: .server
        case .revoked, .mappingRemoved, .killed: .operator
        case .linkLost: .link
        }
    }
}
