import Fleet
import Foundation
import Records
import Support
import TLS
import Testing
import Tunnel

/// A big fleet on one server. What is printed are the figures; what is checked is only that none is absurd, because tests share
/// their machine.
@Suite(.heavy)
struct ScaleTests {
    private static let nodes = 1_000
    private static let mappingsPerNode = 20
    private static let online = 100

    @Test func `a thousand nodes with twenty mappings each are served`() throws {
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/sqlite3") else { return }
        let fleet = try ManagedFleet()
        try fleet.stopServer()
        let secrets = try fill(fleet)
        let clock = ContinuousClock()

        let start = try clock.measure { try fleet.resumeServer() }
        let bare = fleet.server.residentBytes
        try fleet.explained {
            var linked: [HostileNode] = []
            let login = try clock.measure {
                for secret in secrets {
                    let node = try HostileNode(fleet.endpoint, secret) {
                        .active(bound: "127.0.0.1:\(1_024 + $0 % 60_000)")
                    }
                    #expect(try node.waitForPlan().count == Self.mappingsPerNode)
                    linked.append(node)
                }
            }
            var status = JSON.null
            _ = try eventually("all are online and active", within: .seconds(60), evidence: { "\(status)" }) {
                status = try fleet.control.ask("GET", "/v1/status")
                for node in linked { try node.live(.zero) }
                let active = try status["mappings"].integer("active")
                return active == Self.online * Self.mappingsPerNode ? true : nil
            }
            #expect(try status.integer("online") == Self.online)
            let perNode = (fleet.server.residentBytes - bare) / Self.online

            let target = "node-\(Self.online / 2)"
            var revision = 0
            let push = try clock.measure {
                revision = try fleet.control.ask(
                    "POST", "/v1/mappings",
                    """
                    {"node":"\(target)","kind":"peer-listener","listen":{"addr":"127.0.0.1:0"},
                     "forward":{"addr":"127.0.0.1:9"}}
                    """
                ).integer("desiredRevision")
                _ = try linked[Self.online / 2].waitForPlan(Int64(revision))
            }
            // The lists come last: what answers of megabytes leave in the heap would hide what a node takes.
            var answer = ControlSocket.Answer(status: 0, body: [])
            let mappings = try clock.measure { answer = try fleet.control.send("GET", "/v1/mappings") }
            #expect(answer.status == 200 && answer.body.count > 20_000 * 200)
            let list = try clock.measure { answer = try fleet.control.send("GET", "/v1/nodes") }
            #expect(try answer.json().list().count == Self.nodes)
            let table = try clock.measure { _ = try fleet.nodes() }
            print(
                """
                fleet of \(Self.nodes) nodes with \(Self.mappingsPerNode) mappings each, \(Self.online) online:
                  server started in \(start), \(bare >> 20) MiB
                  node list: \(list) on the socket, \(table) with goproxy-admin; mapping list: \(mappings)
                  \(Self.online) logins one after the other: \(login)
                  change pushed in \(push); \(perNode >> 10) KiB per idle node
                """)
            #expect(start < .seconds(10))
            #expect(list < .seconds(5) && table < .seconds(10) && mappings < .seconds(20))
            #expect(push < .seconds(5) && perNode < 256 << 10)

            // Everything is still as it was after a crash with all of that.
            try fleet.stopServer(SIGKILL)
            try fleet.resumeServer()
            #expect(try fleet.control.ask("GET", "/v1/nodes").list().count == Self.nodes)
        }
    }

    /// Straight into the tables: 20,000 changes one by one are another test. Answers what the first nodes log in with.
    private func fill(_ fleet: ManagedFleet) throws -> [NodeSecret] {
        let seal = try DataDirectory(fleet.data).sealingKey()
        var secrets: [NodeSecret] = []
        var script = "PRAGMA foreign_keys = ON;\nBEGIN;\n"
        for number in 0..<Self.nodes {
            let secret = NodeSecret(
                identity: randomBytes(16), psk: randomBytes(32), signingSeed: randomBytes(32))
            if number < Self.online { secrets.append(secret) }
            let key = SigningKey(seed: secret.signingSeed).publicKey
            let sealed = seal.seal(secret.psk, context: secret.identity)
            let id = UUID().uuidString.lowercased()
            script += """
                INSERT INTO nodes (id, name, state, origin, revision, created_at)
                VALUES ('\(id)', 'node-\(number)', 'enabled', 'operator', \(Self.mappingsPerNode), 0);
                INSERT INTO node_tags VALUES ('\(id)', 'site', 'site-\(number % 50)');
                INSERT INTO credentials (identity, node, public_key, sealed_psk, not_before, weak, origin)
                VALUES (\(hex(secret.identity)), '\(id)', \(hex(key)), \(hex(sealed)), 0, 0, 'operator');

                """
            for place in 1...Self.mappingsPerNode {
                // One of twenty is the server's to listen for.
                let (kind, port) =
                    place == 1 ? ("listener", 0) : ("peer-listener", 1_024 + number + place * 1_000)
                script += """
                    INSERT INTO mappings (node, kind, name, listen_domain, listen_address, listen_port,
                        forward_domain, forward_address, enabled, origin, revision, created_at)
                    VALUES ('\(id)', '\(kind)', 'm\(place)', 'tcp', '127.0.0.1:\(port)', \(port),
                        'tcp', '127.0.0.1:9', 1, 'operator', \(place), 0);

                    """
            }
        }
        let file = try fleet.directory.write("fill.sql", script + "COMMIT;\n")
        _ = try run(
            "/usr/bin/sqlite3", ["-bail", "\(fleet.data)/goproxy.db", ".read \(file)"], within: .seconds(60)
        ).succeeded()
        return secrets
    }

    private func hex(_ bytes: [UInt8]) -> String {
        "x'" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "'"
    }
}
