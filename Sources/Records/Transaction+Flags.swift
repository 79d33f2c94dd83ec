extension Transaction {
    /// Makes the flags' share of the records what the flags say: the node, its one uuid, and exactly these mappings beside
    /// those of operators. What is the same keeps its id, and the node's revision when all is. Without a credential and
    /// mappings, as when the server is started without flags, the flags' share goes away; the answer is then nil when
    /// there is no such node.
    @discardableResult
    package mutating func replaceFlagMappings(
        node name: String = "default", credential: NewCredentialRecord?, _ mappings: [NewMapping]
    ) throws(RecordsError) -> NodeRecord? {
        guard let node = try flagNode(name, credential) else { return nil }
        if let credential {
            try replace(credential, of: node)
        } else {
            try endFlagCredentials(of: node.id, except: nil)
        }
        var wanted = mappings
        var unwanted: [MappingRecord] = []
        for known in try reader.mappings(nodeID: node.id) where known.origin == .flags {
            let isSame = { (new: NewMapping) in
                new.kind == known.kind && new.listen == known.listen && new.forward == known.forward
                    && new.name == known.name
            }
            if let place = wanted.firstIndex(where: isSame) {
                wanted.remove(at: place)
            } else {
                unwanted.append(known)
            }
        }
        // First room, then the new: an address may move from one to the other.
        for mapping in unwanted { _ = try remove(mapping) }
        for mapping in wanted { _ = try addMapping(node.id, mapping, origin: .flags) }
        return try require(nodeID: node.id)
    }

    private mutating func flagNode(
        _ name: String, _ credential: NewCredentialRecord?
    ) throws(RecordsError) -> NodeRecord? {
        if let known = try reader.nodes().first(where: { $0.name == name }) { return known }
        guard let credential else { return nil }
        return try addNode(name: name, tags: [:], credential: credential, origin: .flags)
    }

    private mutating func replace(_ credential: NewCredentialRecord, of node: NodeRecord) throws(RecordsError)
    {
        let known = try reader.credentials(nodeID: node.id).filter { $0.origin == .flags }
        if let same = known.first, known.count == 1, same.identity == credential.identity,
            same.publicKey == credential.publicKey, same.sealedPSK == credential.sealedPSK,
            same.weak == credential.weak
        {
            return
        }
        try requireIdentity(credential.identity, isFreeFor: node.id)
        try endFlagCredentials(of: node.id, except: credential.identity)
        try run("DELETE FROM credentials WHERE node = ? AND identity = ?", node.id, credential.identity)
        try insert(credential, nodeID: node.id, origin: .flags)
        if known.first?.identity != credential.identity {
            try audit(
                "node-rotate", before: node, after: node, detail: "identity \(credential.id), from flags")
        }
    }

    private mutating func endFlagCredentials(
        of nodeID: String, except identity: [UInt8]?
    ) throws(RecordsError) {
        for old in try reader.credentials(nodeID: nodeID)
        where old.origin == .flags && old.identity != identity {
            try end(old, .flags)
        }
    }
}
