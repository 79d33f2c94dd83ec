import Admin
import Control
import Foundation
import Records
import Support
import Testing

struct KeepingTests {
    private func size(_ path: String) -> Int {
        (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? -1
    }

    @Test(arguments: [false, true])
    func `a backup is whole, audited, for its owner alone, and replaces nothing unasked`(hasServer: Bool)
        throws
    {
        let fixture = try AdminFixture(hasServer: hasServer)
        _ = fixture.run("node add edge-07")
        let file = fixture.directory + "/copy.db"
        let made = fixture.run("backup \(file) -o json")
        #expect(made.status == 0, "\(made.error)")
        let backup: [String: Any] = ["$ref": "#/components/schemas/Backup"]
        #expect(try fixture.schema.faults(in: Array(made.output.utf8), backup) == [])
        let attributes = try FileManager.default.attributesOfItem(atPath: file)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        let again = fixture.run("backup \(file)")
        #expect(again.status == 1 && again.error.contains("is there already"))
        let forced = fixture.run("backup \(file) --force")
        #expect(forced.status == 0 && forced.output.contains("seal-verify.key"))
        #expect(fixture.run("audit").output.contains("bytes to \"\(file)\""))
        let itself = fixture.run("backup \(fixture.directory)/goproxy.db --force")
        #expect(itself.status == 1 && itself.error.contains("is the database itself"))
        let nowhere = fixture.run("backup /nowhere/at/all.db")
        #expect(nowhere.status == 1 && nowhere.error.contains("No such file"))
        let left = try FileManager.default.contentsOfDirectory(atPath: fixture.directory)
        #expect(!left.contains { $0.contains(".part") })
    }

    @Test func `a restored backup is the database, and the history says what it does not know`() throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = fixture.run("node add before")
        let file = fixture.directory + "/copy.db"
        #expect(fixture.run("backup \(file)").status == 0)
        _ = fixture.run("node add after")
        let refused = fixture.run("restore \(file) --force")
        #expect(refused.status == 1 && refused.error.contains("in use by process"))
        fixture.stop()
        #expect(fixture.run("restore \(file)").status == 2, "it asks")
        let restored = fixture.run("restore \(file) --force")
        #expect(restored.status == 0, "\(restored.error)")
        #expect(restored.output.contains("Nothing is known of the time from"))
        let nodes = fixture.run("node list").output
        #expect(nodes.contains("before") && !nodes.contains("after"))
        #expect(fixture.run("audit").output.contains("restore"))
        let verified = fixture.run("audit verify")
        #expect(verified.status == 0, "\(verified.error)")
        let aside = try #require(
            try FileManager.default.contentsOfDirectory(atPath: fixture.directory).first {
                $0.contains(".replaced-")
            })
        let whole = fixture.run("audit verify --file \(fixture.directory)/\(aside)")
        #expect(whole.status == 0, "\(whole.error)")
    }

    @Test func `verification names the record, in words and in JSON`() throws {
        let fixture = try AdminFixture(hasServer: false)
        _ = fixture.run("node add edge-07")
        _ = fixture.run("node rename edge-07 edge-7")
        let sound = fixture.run("audit verify")
        #expect(sound.status == 0 && sound.output.contains("made with it"), "\(sound.error)")
        let file = fixture.directory + "/copy.db"
        #expect(fixture.run("backup \(file)").status == 0)
        try sqlite(
            file,
            """
            DROP TRIGGER audit_is_final; UPDATE audit SET actor = 'mallory' WHERE id = 2;
            CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit
            BEGIN
                SELECT RAISE(ABORT, 'audit rows are never changed');
            END;
            """)
        let key = "--key \(fixture.directory)/seal-verify.key"
        let bad = fixture.run("audit verify --file \(file) \(key)")
        #expect(bad.status == 1 && bad.output.isEmpty)
        #expect(bad.error.contains("audit row 2: does not follow from row 1"))
        let json = fixture.run("audit -o json verify --file \(file) \(key)")
        #expect(json.status == 1 && json.errorCode == "tampered" && json.output.contains("\"id\": 2"))
        let none = fixture.run("audit verify --anchor \(fixture.directory)/seal-verify.key")
        #expect(none.status == 1 && none.error.contains("holds no anchor"))
    }

    @Test(arguments: [false, true])
    func `the verification key is handed out, overwritten, and the audit says so but not what it is`(
        hasServer: Bool
    )
        throws
    {
        let fixture = try AdminFixture(hasServer: hasServer)
        _ = fixture.run("node add edge-07")
        let file = fixture.directory + "/seal-verify.key"
        let key = [UInt8](try Data(contentsOf: URL(filePath: file)))
        // Another name of the same bytes shows what becomes of them.
        let witness = fixture.directory + "/witness"
        #expect(link(file, witness) == 0)
        let folder = try TemporaryDirectory()
        let copy = folder.file("verify.key")
        #expect(fixture.run("seal-key export \(copy)").status == 2, "it asks")
        let inside = fixture.run("seal-key export \(fixture.directory)/other.key --force")
        #expect(inside.status == 1 && inside.error.contains("lies in the data folder"))
        #expect([UInt8](try Data(contentsOf: URL(filePath: file))) == key)
        let done = fixture.run("seal-key export \(copy) --force")
        #expect(done.status == 0, "\(done.error)")
        #expect([UInt8](try Data(contentsOf: URL(filePath: copy))) == key)
        let attributes = try FileManager.default.attributesOfItem(atPath: copy)
        #expect(attributes[.posixPermissions] as? Int == 0o400)
        #expect(!FileManager.default.fileExists(atPath: file))
        #expect(try Data(contentsOf: URL(filePath: witness)) == Data(repeating: 0, count: 32))
        #expect(!fixture.run("doctor").output.contains("lies beside the database"))
        let audit = fixture.run("audit -o json").output
        let hex = key.map { String(format: "%02x", $0) }.joined()
        #expect(audit.contains("seal-key-export") && audit.contains(copy) && !audit.contains(hex))
        // Its seal is made at the stop.
        fixture.stop()
        #expect(fixture.run("audit verify").output.contains("key     not there"))
        #expect(fixture.run("audit verify --key \(copy)").output.contains("made with it"))
        let again = fixture.run("seal-key export \(copy)2 --force")
        #expect(again.status == 1 && again.error.contains("not there"))
    }

    @Test func `through a pipe the key goes as text, and stays where not all of it was taken`() throws {
        let fixture = try AdminFixture(hasServer: false)
        _ = fixture.run("node add edge-07")
        let file = fixture.directory + "/seal-verify.key"
        let words = ["seal-key", "export", "-", "--force"]
        #expect(fixture.run(words, isTerminal: true).error.contains("is a terminal"))
        #expect(fixture.run(words, outputError: EPIPE).status == 1)
        #expect(FileManager.default.fileExists(atPath: file))
        let sent = fixture.run(words)
        #expect(sent.status == 0 && sent.output.utf8.count == 65, "\(sent.error)")
        #expect(fixture.run("audit --action seal-key-export -o jsonl").output.contains(#"to \"-\""#))
        #expect(!FileManager.default.fileExists(atPath: file))
        let received = try TemporaryDirectory()
        let copy = try received.write("verify.key", sent.output)
        #expect(fixture.run("audit verify --key \(copy)").output.contains("made with it"))
        let wrong = try received.write("wrong.key", String(repeating: "xy", count: 32))
        #expect(fixture.run("audit verify --key \(wrong)").error.contains("no verification key"))
    }

    private func sqlite(_ file: String, _ sql: String) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [
            "python3", "-c",
            "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2])", file,
            sql,
        ]
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
    }

    @Test func `the doctor sees what is wrong and says what to do`() throws {
        let fixture = try AdminFixture(hasServer: true)
        _ = fixture.run("node add edge-07")
        let sound = fixture.run("doctor")
        #expect(sound.status == 0, "\(sound.output)")
        #expect(sound.output.contains("SQLite 3.") && sound.output.contains("OpenSSL 3."))
        #expect(sound.output.contains("running, process \(getpid())"))
        #expect(sound.output.contains("seal-verify.key lies beside the database"))
        let seal = fixture.directory + "/seal.key"
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: seal)
        let wide = fixture.run("doctor")
        #expect(wide.status == 1 && wide.output.contains("chmod go= \(seal)") && wide.error.contains("files"))
        fixture.stop()
        try FileManager.default.removeItem(atPath: seal)
        let missing = fixture.run("doctor -o json")
        #expect(missing.status == 1 && missing.output.contains("seal.key is missing"))
        let nowhere = fixture.run("doctor --data /nowhere")
        #expect(nowhere.status == 1 && nowhere.error.contains("folder"))
        #expect(!FileManager.default.fileExists(atPath: "/nowhere"), "it changes nothing")
    }

    @Test func `status and doctor name what failed, who is away and that nobody serves, and end with it`()
        throws
    {
        let fixture = try AdminFixture(hasServer: true)
        for node in ["never", "gone", "off"] { _ = fixture.run("node add \(node)") }
        for line in ["status", "doctor"] {
            #expect(fixture.run(line).status == 0, "one that never came is not missed")
        }
        try fixture.insert(
            "UPDATE nodes SET last_seen_at = 1750000000000000 WHERE name IN ('gone', 'off')")
        _ = fixture.run("node disable off --force")
        _ = fixture.run("listener add never --name web --listen 127.0.0.1:5 --forward 127.0.0.1:9 --wait")
        for line in ["status", "doctor"] {
            let outcome = fixture.run(line)
            #expect(outcome.status == 1 && fixture.run("\(line) -o json").status == 1)
            for word in ["gone", #"listener 1 "web" of node never (address already in use"#] {
                #expect(outcome.output.contains(word), "\(line): \(outcome.output)")
            }
            #expect(!outcome.output.contains("gone, "), "\(line): \(outcome.output)")
        }
        fixture.stop()
        for line in ["status", "doctor"] {
            let outcome = fixture.run(line)
            #expect(outcome.status == 1 && outcome.error.contains("server"), "\(line): \(outcome.error)")
        }
    }

    @Test func `a damaged database, an empty one and a stranger's are told apart`() throws {
        let fixture = try AdminFixture(hasServer: true)
        for number in 0..<40 { _ = fixture.run("node add edge-\(number)") }
        fixture.stop()
        let file = fixture.directory + "/goproxy.db"
        let handle = try FileHandle(forUpdating: URL(filePath: file))
        for place in stride(from: 8_192, to: try handle.seekToEnd(), by: 4_096) {
            try handle.seek(toOffset: place)
            try handle.write(contentsOf: Data(repeating: 0x5a, count: 4_096))
        }
        try handle.close()
        #expect(fixture.run("doctor").output.contains("FAIL   database"))
        #expect(fixture.run("audit verify").status == 1)
        try Data().write(to: URL(filePath: file))
        #expect(fixture.run("doctor").output.contains("the file is empty: restore a backup"))
        try Data(repeating: 7, count: 8_192).write(to: URL(filePath: file))
        #expect(fixture.run("doctor").output.contains("not a database of this program"))
        #expect(fixture.run("backup \(fixture.directory)/b.db").status == 1)
    }

    @Test func `commands that keep things need what they need`() throws {
        let fixture = try AdminFixture(hasServer: false)
        #expect(fixture.run("history prune --force").status == 2)
        #expect(fixture.run("history prune --before 1d").status == 2, "it asks")
        #expect(fixture.run("history prune --before soon").status == 2)
        #expect(fixture.run("hold add --since 1d").status == 2)
        #expect(fixture.run("help audit verify").output.contains("--anchor"))
        #expect(fixture.run("help audit").output.contains("audit verify"))
        #expect(fixture.run("audit --limit 3 verify").status == 2, "no target of the list")
    }
}
