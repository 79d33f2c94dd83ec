import Foundation
import Records
import SQLite
import Testing

/// A data directory of its own for one test, gone with it.
final class Scratch: Sendable {
    let directory: String

    init() {
        directory =
            FileManager.default.temporaryDirectory.appending(path: "records-tests-\(UUID().uuidString)").path
        // A test without its folder fails when it opens the store.
        try? FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: directory)
    }

    func store() throws(RecordsError) -> Store { try Store.open(directory: directory) }

    /// As a server opens it.
    func server() throws(RecordsError) -> Store { try Store.open(directory: directory, server: "1.0.0") }

    func path(_ name: String) -> String { "\(directory)/\(name)" }

    /// What a kill at this moment would leave: the files as the kernel has them, while a store has them open and writes nothing.
    func killed() throws -> Scratch {
        let copy = Scratch()
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name != "lock" {
            try FileManager.default.copyItem(atPath: path(name), toPath: copy.path(name))
        }
        return copy
    }

    /// A connection beside the store's, for a test to look.
    func database() throws -> Database { try Database(path: path(Store.fileName), mode: .readOnly) }

    /// Each row as its values with bars between.
    func rows(_ sql: StaticString, columns: Int) throws -> [String] {
        try database().query(sql) { (row) throws(SQLiteError) in
            var texts: [String] = []
            for column in 0..<Int32(columns) {
                if row.isNull(column) {
                    texts.append("-")
                } else if let number = try? row.integer(column) {
                    texts.append("\(number)")
                } else {
                    texts.append(try row.text(column))
                }
            }
            return texts.joined(separator: "|")
        }
    }
}

/// What tests do most.
extension Store {
    static let alice = Actor.user("alice", uid: 1_000)

    func change<Result: Sendable>(
        _ body: @escaping @Sendable (inout Transaction) throws(RecordsError) -> Result
    ) throws(RecordsError) -> Result {
        try write(actor: Self.alice, body)
    }

    @discardableResult
    func addNode(_ name: String, tags: [String: String] = [:]) throws(RecordsError) -> NodeRecord {
        try change { (transaction) throws(RecordsError) in
            try transaction.addNode(name: name, tags: tags, credential: .random())
        }
    }

    @discardableResult
    func addMapping(
        _ node: NodeRecord, _ listen: Place, kind: MappingKind = .listener, name: String? = nil,
        to forward: Place = Place(addr: "127.0.0.1:80")
    ) throws(RecordsError) -> MappingRecord {
        try change { (transaction) throws(RecordsError) in
            try transaction.addMapping(
                node.id, NewMapping(kind: kind, name: name, listen: listen, forward: forward))
        }
    }

    func node(_ reference: String) throws(RecordsError) -> NodeRecord {
        try read { (reader) throws(RecordsError) in try reader.node(reference) }
    }

    func mapping(_ id: UInt32) throws(RecordsError) -> MappingRecord? {
        try read { (reader) throws(RecordsError) in try reader.mapping(id: id) }
    }

    func audit() throws(RecordsError) -> [AuditEntry] {
        try read { (reader) throws(RecordsError) in try reader.audit() }
    }
}

extension NewCredentialRecord {
    static func random() -> NewCredentialRecord {
        let bytes = { (count: Int) in (0..<count).map { _ in UInt8.random(in: 0...255) } }
        return NewCredentialRecord(identity: bytes(16), publicKey: bytes(32), sealedPSK: bytes(60))
    }
}

extension Place {
    static func tcp(_ addr: String) -> Place { Place(addr: addr) }
}

/// The refusal that `body` must meet.
func refused<Anything>(
    _ code: RecordsError.Code, _ location: SourceLocation = #_sourceLocation,
    _ body: () throws(RecordsError) -> Anything
) -> String {
    do {
        _ = try body()
        Issue.record("it was not refused", sourceLocation: location)
        return ""
    } catch {
        #expect(error.code == code, "\(error)", sourceLocation: location)
        return error.message
    }
}
