import Foundation
import Records
import SQLite
import Support
import Testing

/// The records taken away under a running server, and records that are not ours at its start: it ends, with one line.
@Suite(.light)
struct LostDatabaseTests {
    enum Loss: String, CaseIterable, CustomTestStringConvertibleByRawValue {
        case moved, deleted, replaced
        case logDeleted = "its log deleted"
        case folderMoved = "its folder moved"

        func happen(to fleet: ManagedFleet) throws {
            let (files, database) = (FileManager.default, fleet.databasePath)
            switch self {
            case .moved: try files.moveItem(atPath: database, toPath: "\(database).old")
            case .deleted: try files.removeItem(atPath: database)
            case .replaced:
                let copy = "\(database).copy"
                try files.copyItem(atPath: database, toPath: copy)
                guard rename(copy, database) == 0 else { throw Failure("rename") }
            case .logDeleted: try files.removeItem(atPath: "\(database)-wal")
            case .folderMoved: try files.moveItem(atPath: fleet.data, toPath: "\(fleet.data).old")
            }
        }
    }

    @Test(arguments: Loss.allCases)
    func `the database taken away ends a running server within two seconds, with one line`(loss: Loss) throws
    {
        try withFleet { fleet in
            let echo = try TargetServer.echo()
            _ = try fleet.joinNode("edge-07")
            let mapping = try fleet.open(.listener, of: "edge-07", to: echo.endpoint)
            let client = try Socket.connect(to: mapping.entrance)
            try client.requireAlive()
            let server = fleet.server
            try loss.happen(to: fleet)
            let taken = try ContinuousClock().measure { _ = try server.waitForExit(within: .seconds(10)) }
            #expect(taken < .seconds(2), "it took \(taken)")
            let done = try server.finish()
            #expect(done.end == .exit(1))
            let said = done.errors.filter { LogLine($0) == nil }
            try #require(said.count == 1, "\(done.errors)")
            #expect(said[0].hasPrefix("goproxy-server: ") && said[0].contains(fleet.databasePath), "\(said)")
            #expect(said[0].contains("moved, replaced or deleted"), "\(said)")
            try client.requireEnd()
        }
    }

    enum Start: String, CaseIterable, CustomTestStringConvertibleByRawValue {
        case foreign = "another program's database"
        case text = "a text file"
        case empty = "a file without a byte"
        case newer = "a newer program's database"
        case cutOff = "half of a database"
        case logAlone = "a log without its database"
        case folder = "a folder in the database's place"
        case link = "a link in the database's place"
        case readOnly = "a read-only file system"

        /// What the line has to say.
        var words: String {
            switch self {
            case .foreign, .text: "not"
            case .empty: "empty"
            case .newer: "newer"
            case .cutOff: "malformed"
            case .logAlone: "wal"
            case .folder, .link: "goproxy.db"
            case .readOnly: "ead-only"
            }
        }

        func prepare(_ database: String, _ disk: SmallDisk?) throws {
            func sqlite(_ statement: String) throws {
                _ = try run("/usr/bin/sqlite3", [database, statement]).succeeded()
            }
            let files = FileManager.default
            switch self {
            case .foreign:
                try files.removeItem(atPath: database)
                try sqlite("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1);")
            case .text:
                try "not a database, but long enough to be one".write(
                    toFile: database, atomically: false, encoding: .utf8)
            case .empty: try Data().write(to: URL(filePath: database))
            case .newer: try sqlite("PRAGMA user_version = 999")
            case .cutOff:
                let size = try files.attributesOfItem(atPath: database)[.size] as? Int ?? 0
                guard truncate(database, off_t(size / 8_192 * 4_096)) == 0 else { throw Failure("truncate") }
            case .logAlone: try files.moveItem(atPath: database, toPath: "\(database)-wal")
            case .folder:
                try files.removeItem(atPath: database)
                try files.createDirectory(atPath: database, withIntermediateDirectories: false)
            case .link:
                try files.moveItem(atPath: database, toPath: "\(database).real")
                try files.createSymbolicLink(atPath: database, withDestinationPath: "\(database).real")
            case .readOnly: try disk?.makeReadOnly()
            }
        }
    }

    @Test(arguments: Start.allCases)
    func `a start on records that are not ours, or not whole, is refused with one line and changes nothing`(
        start: Start
    ) throws {
        if start == .readOnly, !SmallDisk.isPossible { return print("a read-only file system: needs root") }
        var disk: SmallDisk?
        let fleet = try ManagedFleet { folder in
            guard start == .readOnly else { return }
            disk = try SmallDisk(folder)
        }
        try fleet.explained {
            try fleet.addNode("edge-07")
            try fleet.stopServer()
            try start.prepare(fleet.databasePath, disk)
            let before = try contents(of: fleet.data)
            let done = try fleet.startServer().finish()
            #expect(done.end == .exit(1) && done.output.isEmpty)
            let said = done.errors.filter { LogLine($0) == nil }
            try #require(said.count == 1, "\(done.errors)")
            #expect(said[0].hasPrefix("goproxy-server: ") && said[0].contains(start.words), "\(said)")
            print("\(start): \(said[0])")
            #expect(try contents(of: fleet.data) == before)
        }
        withExtendedLifetime(disk) {}
    }

    /// Of the files that last.
    private func contents(of folder: String) throws -> [String: Data] {
        var contents: [String: Data] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder)
        where !name.hasSuffix("-shm") && name != "lock" {
            contents[name] = FileManager.default.contents(atPath: "\(folder)/\(name)") ?? Data()
        }
        return contents
    }
}
