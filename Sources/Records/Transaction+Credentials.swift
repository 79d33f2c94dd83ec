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
        let end = now.adding(seconds: overlapSeconds)
        try run(
            "UPDATE credentials SET not_after = ?2 WHERE node = ?1 AND coalesce(not_after, ?2) >= ?2", nodeID,
            end)
        try run("DELETE FROM credentials WHERE node = ? AND not_after <= ?", nodeID, now)
        let kept = try reader.credentials(nodeID: nodeID).count
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
        let ended = try run("DELETE FROM credentials WHERE node = ? AND identity IS NOT ?", nodeID, identity)
        if ended > 0 {
            try audit("node-end-credentials", before: node, after: node, detail: "\(ended) ended")
        }
        return ended
    }

    mutating func insert(
        _ credential: NewCredentialRecord, nodeID: String, origin: Origin
    ) throws(RecordsError) {
        guard credential.identity.count == 16, credential.publicKey.count == 32,
            !credential.sealedPSK.isEmpty,
            credential.sealedPSK.count <= 256
        else { throw RecordsError(.invalid, "credential: not of the right form") }
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
