import SQLite

extension Transaction {
    /// What must hold before a mapping is written; answers its listening address. `id` is the mapping's own, if it has one.
    func check(
        _ mapping: NewMapping, nodeID: String, nodeName: String, id: UInt32?, isEnabled: Bool = true
    ) throws(RecordsError) -> ParsedAddress {
        if let name = mapping.name { try Names.check(name, of: mapping.kind.words) }
        let listen = try ParsedAddress.check(mapping.listen, "listen")
        let forward = try ParsedAddress.check(mapping.forward, "forward")
        if forward.domain != .unix, forward.port == 0 {
            throw RecordsError(
                .invalid, "forward address \(Quoted(mapping.forward.addr)): port 0 cannot be dialled")
        }
        if let name = mapping.name, let other = try named(name, mapping.kind, nodeID), other != id {
            throw RecordsError(
                .conflict, "node \(nodeName) has a \(mapping.kind.words) \"\(name)\" already (id \(other))")
        }
        guard isEnabled else { return listen }
        for other in try candidates(mapping.kind, listen, nodeID) where other.id != id && other.enabled {
            guard let taken = try? ParsedAddress(other.listen), taken.conflicts(with: listen) else {
                continue
            }
            throw RecordsError(
                .conflict,
                "\(mapping.listen) is taken by \(other.sentenceName), which listens on \(other.listen)",
                hint: "choose another address or port, or disable the other")
        }
        return listen
    }

    private func named(_ name: String, _ kind: MappingKind, _ nodeID: String) throws(RecordsError) -> UInt32?
    {
        try records { () throws(SQLiteError) in
            try database.first(
                "SELECT id FROM mappings WHERE node = ? AND kind = ? AND name = ?", nodeID, kind.rawValue,
                name
            ) { (row) throws(SQLiteError) in try row.number(0) }
        }
    }

    /// Mappings of the same port on the same machine: listeners of all nodes share the server's addresses, peer listeners
    /// those of their node. Port 0 finds a free port and never conflicts.
    private func candidates(
        _ kind: MappingKind, _ listen: ParsedAddress, _ nodeID: String
    ) throws(RecordsError) -> [MappingRecord] {
        guard listen.domain == .unix || listen.port != 0 else { return [] }
        return try records { () throws(SQLiteError) in
            switch kind {
            case .listener:
                try database.query(
                    "SELECT * FROM mapping_list WHERE kind = 'listener' AND listen_port = ?", listen.port,
                    row: MappingRecord.init)
            case .peerListener:
                try database.query(
                    "SELECT * FROM mapping_list WHERE node = ? AND kind = 'peer-listener' AND listen_port = ?",
                    nodeID, listen.port, row: MappingRecord.init)
            }
        }
    }
}

/// What names may be.
enum Names {
    static func check(_ name: String, of what: String) throws(RecordsError) {
        guard !name.isEmpty else { throw RecordsError(.invalid, "\(what) name: empty") }
        guard name.utf8.count <= 63 else {
            throw RecordsError(
                .invalid, "\(what) name \(Quoted(name)): \(name.utf8.count) bytes, 63 is the most")
        }
        guard let strange = name.unicodeScalars.first(where: { !isPlain($0) }) else {
            guard !looksLikeID(name) else {
                throw RecordsError(.invalid, "\(what) name \(Quoted(name)): would be read as an id")
            }
            return
        }
        let lower = name.lowercased()
        throw RecordsError(
            .invalid, "\(what) name \(Quoted(name)): \(Quoted(String(strange))) is none of a-z 0-9 . _ -",
            hint: lower.unicodeScalars.allSatisfy(isPlain) ? "try \(lower)" : nil)
    }

    static func check(tags: [String: String]) throws(RecordsError) {
        guard tags.count <= Limits.tagsPerNode else {
            throw RecordsError(.limit, "\(tags.count) tags, \(Limits.tagsPerNode) is the most")
        }
        for (key, value) in tags {
            guard !key.isEmpty, key.utf8.count <= 63, key.unicodeScalars.allSatisfy(isPlain) else {
                throw RecordsError(.invalid, "tag \(Quoted(key)): a key is 1 to 63 of a-z 0-9 . _ -")
            }
            guard value.utf8.count <= Limits.tagValueBytes else {
                throw RecordsError(.invalid, "tag \(key): a value of more than \(Limits.tagValueBytes) bytes")
            }
            guard value.unicodeScalars.allSatisfy({ $0.properties.generalCategory != .control }) else {
                throw RecordsError(.invalid, "tag \(key): a control character in the value \(Quoted(value))")
            }
        }
    }

    private static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "0"..."9", ".", "_", "-": true
        default: false
        }
    }

    /// Digits alone are a mapping's id, five groups of hexadecimal digits a node's.
    private static func looksLikeID(_ name: String) -> Bool {
        if name.utf8.allSatisfy({ (48...57).contains($0) }) { return true }
        let groups = name.split(separator: "-", omittingEmptySubsequences: false)
        return groups.map(\.utf8.count) == [8, 4, 4, 4, 12]
            && groups.allSatisfy { $0.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) } }
    }
}
