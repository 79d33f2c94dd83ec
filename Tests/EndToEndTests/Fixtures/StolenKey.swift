import Foundation
import Support

/// What a thief of the server's database would have: a node's id and pre-shared key, but not its signing key.
///
/// Derived with the openssl program from the recipe of the credential, and so a second opinion on that recipe.
struct StolenKey {
    let uuid: String
    private let identity: [UInt8]
    private let psk: String

    /// Of a uuid whose identity can stand in an argument: it is raw bytes, and one in sixteen holds a NUL.
    static func some() throws -> StolenKey {
        for _ in 0..<20 {
            let key = try StolenKey(uuid: UUID().uuidString.lowercased())
            if !key.identity.contains(0), key.identity.last != 10 { return key }
        }
        throw Failure("no identity without a NUL")
    }

    private init(uuid: String) throws {
        self.uuid = uuid
        let root = try Self.derive([
            "-keylen", "32", "-kdfopt", "pass:\(uuid)", "-kdfopt", "salt:goproxy/v1", "-kdfopt", "n:32768",
            "-kdfopt", "r:8", "-kdfopt", "p:1", "-kdfopt", "maxmem_bytes:67108864", "SCRYPT",
        ])
        identity = try Self.expand(root, "goproxy v1 id", 16)
        psk = Self.hex(try Self.expand(root, "goproxy v1 tls13 sha256 node->server", 32))
    }

    private static func expand(_ root: [UInt8], _ info: String, _ count: Int) throws -> [UInt8] {
        try derive([
            "-keylen", "\(count)", "-kdfopt", "digest:SHA256", "-kdfopt", "mode:EXPAND_ONLY",
            "-kdfopt", "hexkey:\(hex(root))", "-kdfopt", "info:\(info)", "HKDF",
        ])
    }

    private static func derive(_ arguments: [String]) throws -> [UInt8] {
        let lines = try run(Tool.openssl, ["kdf"] + arguments).succeeded()
        return lines.joined().split(separator: ":").compactMap { UInt8($0, radix: 16) }
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// `openssl s_client` with the key; what is written to its input goes through the tunnel's TLS. Only a shell's printf
    /// can put the identity into an argument.
    func client(of server: Endpoint, _ flags: [String] = []) throws -> Program {
        let octal = identity.map {
            "\\" + String(repeating: "0", count: $0 < 8 ? 2 : $0 < 64 ? 1 : 0) + String($0, radix: 8)
        }
        let script = "exec \(Tool.openssl) s_client \"$@\" -psk_identity \"$(printf '\(octal.joined())')\""
        return try Program(
            "/bin/sh",
            ["-c", script, "sh", "-connect", server.address, "-tls1_3", "-psk", psk, "-quiet"] + flags,
            keepInputOpen: true, name: "openssl")
    }
}
