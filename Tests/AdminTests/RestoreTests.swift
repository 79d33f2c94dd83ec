import Admin
import Foundation
import Records
import Support
import Testing

/// What a restored backup brings back, what it loses, and what opens it.
struct RestoreTests {
    private func object(_ outcome: AdminFixture.Outcome) throws -> [String: Any] {
        try #require(
            try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any],
            "\(outcome.error)")
    }

    private func names(_ value: Any?, _ key: String) -> [String] {
        ((value as? [[String: Any]]) ?? []).compactMap { $0[key] as? String }.sorted()
    }

    private func perform(_ fixture: AdminFixture, _ lines: String...) {
        for line in lines {
            let outcome = fixture.run(line)
            #expect(outcome.status == 0, "\(line): \(outcome.error)")
        }
    }

    /// A backup of three nodes, and all that can happen to a credential after it.
    private func past() throws -> (fixture: AdminFixture, file: String) {
        let fixture = try AdminFixture(hasServer: false)
        let file = fixture.directory + "/copy.db"
        perform(
            fixture, "node add leaked", "node add slow", "node add stolen", "node add old", "node add same",
            "backup \(file)", "node rotate leaked --force", "node rotate slow --overlap 24h",
            "node remove stolen --force", "node disable old --force", "node add new-shop")
        return (fixture, file)
    }

    @Test func `a restore says what it brings back and what it loses, before and after`() throws {
        let (fixture, file) = try past()
        let asked = fixture.run("restore \(file)", answer: "n")
        for words in ["5 changes since the backup will be gone", "GOOD AGAIN", "--revoke-since"] {
            #expect(asked.error.contains(words), "\(words): \(asked.error)")
        }
        #expect(asked.status == 1)
        let restored = fixture.run("restore \(file) --force")
        #expect(restored.status == 0, "\(restored.error)")
        let lines = restored.output.split(separator: "\n")
        for (start, wanted, others) in [
            ("  uuids that were ended since, GOOD AGAIN", ["leaked", "slow"], ["same", "old"]),
            ("  nodes that were removed since, BACK", ["stolen"], ["old"]),
            ("  nodes that were disabled since, ENABLED AGAIN", ["old"], ["stolen"]),
            ("  nodes that were added since, unknown now", ["new-shop"], ["leaked"]),
            ("  uuids that were handed out since, refused now", ["leaked", "slow"], ["new-shop"]),
        ] {
            let line = try #require(lines.first { $0.hasPrefix(start) }, "\(start)\n\(restored.output)")
            for name in wanted { #expect(line.contains(name), "\(line)") }
            for name in others { #expect(!line.contains(name), "\(line)") }
        }
        let nodes = try AdminFixture.list(fixture.run("node list -o json"))
        #expect(names(nodes, "name") == ["leaked", "old", "same", "slow", "stolen"])
        #expect(nodes.allSatisfy { $0["state"] as? String == "enabled" })
    }

    @Test func `with --revoke-since what had ended ends again, and nothing else`() throws {
        let (fixture, file) = try past()
        let slow = try #require(
            names(try object(fixture.run("node show slow -o json"))["credentials"], "to").first)
        let restored = fixture.run("restore \(file) --force --revoke-since -o json")
        let since = try #require(try object(restored)["since"] as? [String: Any])
        #expect(since["changes"] as? Int == 5)
        #expect(names(since["goodAgain"], "node") == ["leaked", "slow"])
        #expect(names(since["lostUuids"], "node") == ["leaked", "slow"])
        #expect(names(since["removedNodes"], "name") == ["stolen"])
        #expect(names(since["disabledNodes"], "name") == ["old"])
        #expect(names(since["lostNodes"], "name") == ["new-shop"])
        let nodes = try AdminFixture.list(fixture.run("node list -o json"))
        #expect(names(nodes, "name") == ["leaked", "old", "same", "slow"])
        for node in nodes {
            let name = node["name"] as? String ?? ""
            let credentials = node["credentials"] as? [[String: Any]] ?? []
            #expect(node["state"] as? String == (name == "old" ? "disabled" : "enabled"))
            #expect(credentials.count == (name == "leaked" ? 0 : 1), "\(name)")
            #expect(name == "slow" ? credentials[0]["to"] as? String == slow : true)
        }
        let audit = fixture.run("audit").output
        #expect(audit.contains("uuid-ended") && audit.contains("node-disable"), "\(audit)")
        #expect(fixture.run("audit verify").status == 0)
    }

    @Test func `without the database that went on from it, a restore says that nobody can tell`() throws {
        let (fixture, file) = try past()
        for name in ["goproxy.db", "goproxy.db-wal", "goproxy.db-shm"] {
            try? FileManager.default.removeItem(atPath: "\(fixture.directory)/\(name)")
        }
        // A younger one is none that could.
        perform(fixture, "node add other")
        let restored = fixture.run("restore \(file) --force --revoke-since")
        #expect(restored.status == 0 && restored.output.contains("no database here tells"), "\(restored)")
    }

    @Test func `a backup goes nowhere without the keys that open it, and no key is made beside it`() throws {
        let (old, file) = try past()
        let new = try AdminFixture(hasServer: false)
        func refusal() -> String {
            let outcome = new.run("restore \(file) --force")
            #expect(outcome.status == 1 && outcome.output.isEmpty)
            return outcome.error
        }
        #expect(refusal().contains("5 of its 5 credentials cannot be opened"))
        #expect(refusal().contains("copy server.key and seal.key"))
        let left = try FileManager.default.contentsOfDirectory(atPath: new.directory)
        #expect(!left.contains { $0.hasPrefix("goproxy.db") || $0.hasSuffix(".key") }, "\(left)")
        // Keys of its own open it no better.
        perform(new, "node add other")
        #expect(refusal().contains("5 of its 5 credentials cannot be opened"))
        #expect(new.run("node list").output.contains("other"))

        for name in ["server.key", "seal.key"] {
            try? FileManager.default.removeItem(atPath: "\(new.directory)/\(name)")
            try FileManager.default.copyItem(
                atPath: "\(old.directory)/\(name)", toPath: "\(new.directory)/\(name)")
        }
        perform(new, "restore \(file) --force")
        #expect(new.run("node list").output.contains("leaked"))

        // Lost afterwards: who needs none goes on, nobody makes one.
        let seal = "\(new.directory)/seal.key"
        try FileManager.default.removeItem(atPath: seal)
        let added = new.run("node add more")
        #expect(added.status == 1 && added.error.contains("seal.key missing beside a database"), "\(added)")
        #expect(!FileManager.default.fileExists(atPath: seal))
        #expect(new.run("doctor").output.contains("no credential can be opened"))
        // The way out that it names.
        perform(new, "backup \(new.directory)/b.db", "restore \(new.directory)/b.db --force --without-keys")
        #expect(new.run("node list").output.contains("no uuid of it is good: rotate it"))
        perform(new, "node rotate leaked --force", "node add more")
        #expect(FileManager.default.fileExists(atPath: seal))
    }
}

extension AdminFixture {
    static func list(_ outcome: Outcome) throws -> [[String: Any]] {
        try #require(
            try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [[String: Any]],
            "\(outcome.error)")
    }
}
