import Foundation
import Records
import Testing

struct OwnerTests {
    private static let nobody: UInt32 = 65_534

    private func expectOwned(
        _ scratch: Scratch, atLeast count: Int, _ location: SourceLocation = #_sourceLocation
    ) throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch.directory)
        #expect(names.count >= count, "\(names)", sourceLocation: location)
        for name in names {
            var status = stat()
            #expect(lstat(scratch.path(name), &status) == 0, sourceLocation: location)
            #expect(
                status.st_uid == Self.nobody && status.st_gid == Self.nobody, "\(name)",
                sourceLocation: location)
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root makes files for others"))
    func `what root makes in another user's folder is that user's`() throws {
        let scratch = Scratch()
        #expect(chown(scratch.directory, Self.nobody, Self.nobody) == 0)
        let store = try scratch.server()
        try store.addNode("a")
        // The database, its log and shared memory, the lock, two keys, slots, ballast.
        try expectOwned(scratch, atLeast: 8)
        let elsewhere = Scratch()
        let copy = elsewhere.path("copy.db")
        _ = try Backup.make(of: scratch.directory, at: copy, replaces: false) { (_) throws(RecordsError) in }
        store.close()
        try scratch.store().close()
        try expectOwned(scratch, atLeast: 5)
        _ = try Restore.run(from: copy, into: scratch.directory, actor: Store.alice)
        try expectOwned(scratch, atLeast: 6)
    }
}
