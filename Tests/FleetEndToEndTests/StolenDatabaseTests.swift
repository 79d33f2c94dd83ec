import Foundation
import Support
import TLS
import Testing

/// The database without the two key files, as a stolen backup would hold it.
@Suite(.light)
struct StolenDatabaseTests {
    private static let sqlite = "/usr/bin/sqlite3"

    @Test func `it holds neither a uuid nor anything that a node logs in with`() throws {
        try withFleet { fleet in
            let first = try fleet.joinNode("edge-07").uuid
            let second = try fleet.rotate(node: "edge-07", overlap: "5m").text("uuid")
            let flagUUID = UUID().uuidString.lowercased()
            try fleet.stopServer()
            let file = try fleet.directory.write("flag-uuid", flagUUID)
            try fleet.resumeServer(["-uuid-file", file])
            try fleet.stopServer(SIGKILL)

            // The database, its log, and whatever else lies about, but not the keys.
            let names = try FileManager.default.contentsOfDirectory(atPath: fleet.data)
            #expect(names.contains("goproxy.db") && names.contains("seal.key"))
            var stolen: [(name: String, bytes: [UInt8])] = []
            for name in names where !name.hasSuffix(".key") && name != "control.sock" {
                let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(fleet.data)/\(name)")))
                stolen.append((name, bytes))
            }
            #expect(stolen.contains { $0.name == "goproxy.db" && $0.bytes.count > 4_096 })
            for uuid in [first, second, flagUUID] {
                let credential = try Credential(uuid: uuid)
                var secrets: [(what: String, bytes: [UInt8])] = [
                    ("uuid", Array(uuid.utf8)), ("uuid's middle", Array(uuid.utf8.dropFirst(8).prefix(20))),
                    ("psk", credential.psk), ("seed", credential.signingSeed),
                ]
                secrets += secrets.suffix(2).flatMap { what, bytes in
                    [
                        ("\(what) in hex", Array(Self.hex(bytes).utf8)),
                        ("\(what) in HEX", Array(Self.hex(bytes).uppercased().utf8)),
                        ("\(what) in base64", Array(Data(bytes).base64EncodedString().dropLast().utf8)),
                    ]
                }
                for (name, bytes) in stolen {
                    for secret in secrets {
                        #expect(!Self.contains(bytes, secret.bytes), "\(name) holds the \(secret.what)")
                    }
                }
                // The search finds what is there: the identity is public.
                #expect(stolen.contains { Self.contains($0.bytes, credential.id) })
            }
        }
    }

    @Test func `it lets its holder neither in as a node nor be the server`() throws {
        guard FileManager.default.isExecutableFile(atPath: Self.sqlite) else { return }
        try withFleet { fleet in
            let (uuid, node) = try fleet.joinNode("edge-07")
            let thieves = try TemporaryDirectory()
            try FileManager.default.createDirectory(
                atPath: thieves.file("data"), withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700])
            for name in ["goproxy.db", "goproxy.db-wal"] {
                try FileManager.default.copyItem(
                    atPath: "\(fleet.data)/\(name)", toPath: thieves.file("data/\(name)"))
            }

            // As a node, with each 32 bytes of what is sealed.
            let rows = try run(
                Self.sqlite,
                [
                    thieves.file("data/goproxy.db"),
                    "SELECT hex(identity), hex(sealed_psk), hex(public_key) FROM credentials",
                ]
            ).succeeded()
            let row = try #require(rows.first).split(separator: "|").map(Self.bytes)
            let (identity, sealed, publicKey) = (row[0], row[1], row[2])
            let known = try Credential(uuid: uuid).id
            #expect(rows.count == 1 && identity == known)
            #expect(sealed.count > 32 && publicKey.count == 32)
            let guesses =
                [Array(sealed.prefix(32)), Array(sealed.suffix(32)), Array(sealed[12...].prefix(32))]
                + [publicKey, [UInt8](repeating: 0, count: 32)]
            for guess in guesses {
                let secret = NodeSecret(identity: identity, psk: guess, signingSeed: guess)
                #expect(throws: Failure.self) { try HostileNode(fleet.endpoint, secret) }
            }
            #expect(node.logged("link-down").isEmpty && fleet.server.logged("link-up").count == 1)

            // As the server: without keys it does not start, and with some of the thief's own the node does not believe it.
            let keyless = try Program.goproxy(
                "goproxy-server", ["-host", "127.0.0.1", "-port", "0", "-data", thieves.file("data")]
            ).finish()
            #expect(keyless.end == .exit(1) && keyless.errors.last?.contains("seal.key missing") == true)
            let own = try ManagedFleet()
            try own.stopServer()
            for name in ["server.key", "seal.key"] {
                try FileManager.default.copyItem(
                    atPath: "\(own.data)/\(name)", toPath: thieves.file("data/\(name)"))
            }
            let impostor = try Program.goproxy(
                "goproxy-server", ["-host", "127.0.0.1", "-port", "0", "-data", thieves.file("data")])
            let address = try impostor.waitForLog("server-listening")["address"]
            try impostor.waitForLog("credential-not-usable")
            let file = try thieves.write("uuid", uuid)
            let lured = try Program.goproxy(
                "goproxy-node",
                ["-host", "127.0.0.1", "-port", "\(Endpoint.tcp(address).port)", "-uuid-file", file])
            try lured.waitForLog("handshake-failed")
            #expect(lured.logged("link-up").isEmpty && impostor.logged("link-up").isEmpty)
        }
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private static func bytes(_ hex: Substring) -> [UInt8] {
        let digits = hex.compactMap { $0.hexDigitValue }
        return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }

    private static func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
        Data(bytes).range(of: Data(part)) != nil
    }
}
