import Foundation
import SQLite

/// A folder of its own for one test, gone with it.
final class Scratch {
    let folder: URL

    init() {
        folder = FileManager.default.temporaryDirectory.appending(path: "sqlite-tests-\(UUID().uuidString)")
        // A test without its folder fails at its first file.
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    func path(_ name: String = "a.db") -> String { folder.appending(path: name).path }

    var files: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted()
    }

    func mode(_ name: String) -> Int {
        let attributes = try? FileManager.default.attributesOfItem(atPath: path(name))
        return attributes?[.posixPermissions] as? Int ?? -1
    }
}
