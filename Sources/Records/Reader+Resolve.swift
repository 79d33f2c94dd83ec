import SQLite

extension Reader {
    /// The node that an operator means: by name, by id, or by an unambiguous beginning of either.
    package func node(_ reference: String) throws(RecordsError) -> NodeRecord {
        let known = try records { () throws(SQLiteError) in
            try database.query("SELECT id, name FROM nodes ORDER BY name") { (row) throws(SQLiteError) in
                (id: try row.text(0), name: try row.text(1))
            }
        }
        let exact = known.first { $0.name == reference } ?? known.first { $0.id == reference.lowercased() }
        let begins = { (text: String) in text.utf8.starts(with: reference.utf8) }
        let found =
            exact.map { [$0] }
            ?? (reference.isEmpty
                ? []
                : known.filter { begins($0.name) || $0.id.utf8.starts(with: reference.lowercased().utf8) })
        guard let only = found.first else {
            throw RecordsError(
                .notFound, "no node \(Quoted(reference))", hint: "goproxy-admin node list shows all")
        }
        guard found.count == 1 else {
            throw RecordsError.ambiguous(
                "node", reference, found.map { "\($0.name) (id \($0.id.prefix(8))…)" })
        }
        guard let node = try node(id: only.id) else {
            throw RecordsError(.notFound, "no node \(Quoted(reference))")
        }
        return node
    }

    /// The mapping that an operator means: by id, by name, as `node/name`, or by an unambiguous beginning of its name.
    /// Ids are never completed: `1` must not mean 14 once 1 is gone.
    package func mapping(_ reference: String, kind: MappingKind? = nil) throws(RecordsError) -> MappingRecord
    {
        let what = kind?.words ?? "mapping"
        if let id = UInt32(reference), let mapping = try mapping(id: id) {
            if let kind, mapping.kind != kind {
                throw RecordsError(
                    .notFound, "\(id) is not a \(kind.words): \(mapping.sentenceName) has this id",
                    hint: "goproxy-admin \(mapping.kind.rawValue) …")
            }
            return mapping
        }
        let all = try mappings(kind: kind).filter { $0.name != nil }
        let fullName = { (mapping: MappingRecord) in "\(mapping.node)/\(mapping.name ?? "")" }
        var found = all.filter { $0.name == reference || fullName($0) == reference }
        if found.isEmpty, !reference.isEmpty, UInt32(reference) == nil {
            found = all.filter {
                ($0.name ?? "").utf8.starts(with: reference.utf8)
                    || fullName($0).utf8.starts(with: reference.utf8)
            }
        }
        guard let only = found.first else {
            throw RecordsError(
                .notFound, "no \(what) \(Quoted(reference))",
                hint: "goproxy-admin \((kind ?? .listener).rawValue) list shows all")
        }
        guard found.count == 1 else {
            throw RecordsError.ambiguous(what, reference, found.map { "\($0.id) (\(fullName($0)))" })
        }
        return only
    }
}

extension RecordsError {
    private static let candidates = 10

    fileprivate static func ambiguous(_ what: String, _ reference: String, _ found: [String]) -> RecordsError
    {
        let shown = found.prefix(candidates).joined(separator: ", ")
        let rest = found.count > candidates ? " and \(found.count - candidates) more" : ""
        return RecordsError(
            .ambiguous, "\(Quoted(reference)) could be \(found.count) \(what)s: \(shown)\(rest)",
            hint: "give more of the name or the id")
    }
}

/// An operator's text inside a sentence: in quotes, what does not print as its number, cut at 80 characters.
struct Quoted: CustomStringConvertible {
    private let text: String

    init(_ text: String) {
        self.text = text
    }

    var description: String {
        var shown = ""
        for scalar in text.unicodeScalars.prefix(80) {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned, .surrogate:
                shown += "\\u{\(String(scalar.value, radix: 16))}"
            default:
                if scalar == "\"" || scalar == "\\" { shown += "\\" }
                shown.unicodeScalars.append(scalar)
            }
        }
        return "\"\(shown)\(text.unicodeScalars.count > 80 ? "…" : "")\""
    }
}
