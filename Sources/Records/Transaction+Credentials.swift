import SQLite

extension Transaction {
    /// A new uuid for the node. Those it has go on for `overlapSeconds`, and never longer than they would have.
    package mutating func addCredential(
        _ nodeID: String, _ credential: NewCredentialRecord, overlapSeconds: Int64
    ) throws(RecordsError) -> NodeRecord {
        let node = try require(nodeID: nodeID)
        try refuseFlagCredentials(of: node, "cannot be rotated")
        guard (0...Limits.overlapSeconds).contains(overlapSeconds) else {
            throw RecordsError(.invalid, "overlap: \(overlapSeconds) s is not between 0 and 90 days")
        }
        try requireIdentity(credential.identity, isFreeFor: nil)
        let overlapEnd = now.adding(seconds: overlapSeconds)
        try run(
            "UPDATE credentials SET not_after = ?2 WHERE node = ?1 AND coalesce(not_after, ?2) >= ?2", nodeID,
            overlapEnd)
        var kept = 0
        for old in try reader.credentials(nodeID: nodeID) {
            guard let notAfter = old.notAfter, notAfter <= now else {
                kept += 1
                continue
            }
            try end(old, notAfter < now ? .expired : .rotated)
        }
        guard kept < Limits.credentialsPerNode else {
            throw RecordsError(
                .limit, "node \(node.name) has \(kept) uuids that are still valid",
                hint: "rotate without overlap to end them")
        }
        try insert(credential, nodeID: nodeID, origin: .operator)
        try audit(
            "node-rotate", before: node, after: try require(nodeID: nodeID),
            detail: "identity \(credential.id), overlap \(overlapSeconds) s")
        return try require(nodeID: nodeID)
    }

    /// Ends all of a node's uuids, except one if it is given. Answers how many.
    @discardableResult
    package mutating func endCredentials(_ nodeID: String, except identity: [UInt8]? = nil)
        throws(RecordsError) -> Int
    {
        let node = try require(nodeID: nodeID)
        let ended = try reader.credentials(nodeID: nodeID).filter { $0.identity != identity }
        for credential in ended { try end(credential, .rotated) }
        if !ended.isEmpty {
            try audit("node-end-credentials", before: node, after: node, detail: "\(ended.count) ended")
        }
        return ended.count
    }

    /// Ends the uuids whose time is over, each with its entry in the audit. `links` says how many sub-connections ended with
    /// a link that stood on one. Answers how many ended.
    @discardableResult
    package mutating func endExpiredCredentials(links: [[UInt8]: Int] = [:]) throws(RecordsError) -> Int {
        let expired = try records { () throws(SQLiteError) in
            try database.query(
                "SELECT * FROM credentials WHERE not_after <= ? ORDER BY not_after, identity", now,
                row: CredentialRecord.init)
        }
        for credential in expired {
            let node = try reader.node(id: credential.nodeID)
            let link =
                links[credential.identity].map { "; its link was closed, \($0) sub-connections ended" } ?? ""
            try audit(
                "uuid-ended", node: node,
                detail:
                    "identity \(Self.id(credential.identity)), good until \(credential.notAfter ?? now)\(link)"
            )
            try end(credential, .expired)
        }
        return expired.count
    }

    /// What is left of a uuid that has ended is its name, and why.
    mutating func end(_ credential: CredentialRecord, _ reason: EndedCredential.Reason) throws(RecordsError) {
        try run(
            """
            INSERT OR REPLACE INTO ended_credentials (identity, node, node_name, ended_at, reason)
            SELECT c.identity, c.node, n.name, ?2, ?3
            FROM credentials AS c JOIN nodes AS n ON n.id = c.node WHERE c.identity = ?1
            """, credential.identity, min(credential.notAfter ?? now, now), reason.rawValue)
        // Those are told apart from strangers as long as there is room for their names.
        try run(
            """
            DELETE FROM ended_credentials WHERE identity IN
                (SELECT identity FROM ended_credentials ORDER BY ended_at DESC LIMIT -1 OFFSET ?)
            """, Limits.endedCredentials)
        try run("DELETE FROM credentials WHERE identity = ?", credential.identity)
    }

    /// In the form of a UUID, as the audit names it.
    private static func id(_ identity: [UInt8]) -> String {
        NewCredentialRecord(identity: identity, publicKey: [], sealedPSK: []).id
    }

    mutating func insert(
        _ credential: NewCredentialRecord, nodeID: String, origin: Origin
    ) throws(RecordsError) {
        guard credential.identity.count == 16, credential.publicKey.count == 32,
            !credential.sealedPSK.isEmpty,
            credential.sealedPSK.count <= 256
        else { throw RecordsError(.invalid, "credential: not of the right form") }
        // One that the flags take up again.
        try run("DELETE FROM ended_credentials WHERE identity = ?", credential.identity)
        try run(
            """
            INSERT INTO credentials (identity, node, public_key, sealed_psk, not_before, weak, origin)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """, credential.identity, nodeID, credential.publicKey, credential.sealedPSK, now,
            credential.weak,
            origin.rawValue)
    }

    func requireIdentity(_ identity: [UInt8], isFreeFor nodeID: String?) throws(RecordsError) {
        let owner = try records { () throws(SQLiteError) in
            try database.first(
                "SELECT n.id, n.name FROM credentials AS c JOIN nodes AS n ON n.id = c.node WHERE c.identity = ?",
                identity
            ) { (row) throws(SQLiteError) in (try row.text(0), try row.text(1)) }
        }
        guard let (id, name) = owner, id != nodeID else { return }
        throw RecordsError(
            .conflict, "this uuid is that of node \(name)",
            hint: "a uuid names one node: make another for this one")
    }

    func refuseFlagCredentials(of node: NodeRecord, _ what: String) throws(RecordsError) {
        guard try reader.credentials(nodeID: node.id).contains(where: { $0.origin == .flags }) else { return }
        throw RecordsError(
            .conflict, "node \(node.name) \(what): its uuid comes from the server's flags",
            hint: "change -uuid where the server is started")
    }
}
