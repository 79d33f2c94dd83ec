/// Which end finished a connection, and how. The raw values are the words of the records and the command lines.
package enum EndReason: String, CaseIterable, Codable, Sendable {
    case clientEOF = "client-eof"
    case targetEOF = "target-eof"
    case clientReset = "client-reset"
    case targetReset = "target-reset"
    case targetRefused = "target-refused"
    case targetTimeout = "target-timeout"
    case targetUnreachable = "target-unreachable"
    /// The dialling side's allow list does not hold the target.
    case notAllowed = "not-allowed"
    case idle
    case limit
    /// The node's credential or the node itself was taken away.
    case revoked
    case mappingRemoved = "mapping-removed"
    case linkLost = "link-lost"
    case serverStop = "server-stop"
    case nodeStop = "node-stop"
    /// By an operator.
    case killed
    case nodeAway = "node-away"
    /// Its opening could not be made durable, so nothing was passed on.
    case notRecorded = "not-recorded"
    /// The server ended without closing it; what is known of it was found at the next start.
    case serverCrash = "server-crash"
    /// The mapping leads to its own listener.
    case loop

    package enum Side: String, Codable, Sendable {
        case client, target, server, node, `operator`, link
    }

    package var side: Side {
        switch self {
        case .clientEOF, .clientReset: .client
        case .targetEOF, .targetReset, .targetRefused, .targetTimeout, .targetUnreachable: .target
        case .idle, .limit, .serverStop, .notRecorded, .serverCrash: .server
        case .notAllowed, .nodeStop: .node
        case .revoked, .mappingRemoved, .killed, .loop: .operator
        case .linkLost, .nodeAway: .link
        }
    }

    /// In the slot file: 0 is none. The order of the cases is that of the file, so new ones come last.
    var number: UInt64 { UInt64((Self.allCases.firstIndex(of: self) ?? 0) + 1) }

    init?(number: UInt64) {
        guard number > 0, number <= Self.allCases.count else { return nil }
        self = Self.allCases[Int(number) - 1]
    }
}

/// Why somebody got no connection or no link at all. Counted by the minute.
package enum Refusal: String, CaseIterable, Codable, Sendable {
    case wrongCredential = "wrong-credential"
    case unknownNode = "unknown-node"
    case source
    case limit
    case nodeAway = "node-away"
    case targetRefused = "target-refused"
    case notRecorded = "not-recorded"
    /// One client's address, one mapping or one node has its share.
    case clientShare = "client-share"
    case mappingShare = "mapping-share"
    case nodeShare = "node-share"
    /// The program has none left.
    case descriptors
    /// The mapping leads to its own listener.
    case loop
    /// The same credential, again and again.
    case logins

    /// In the slot file; new cases come last.
    var index: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}
