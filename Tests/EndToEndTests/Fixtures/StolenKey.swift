import Foundation
import Support

/// What a thief of the server's database would have: a node's id and pre-shared key, but not its signing key.
///
/// Derived with the openssl program from the recipe of the credential, and so a second opinion on that recipe.
struct StolenKey {
    let identity: [UInt8]
    let psk: String

    init(uuid: String) throws {
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

    /// `openssl s_client` with the key; what is written to its input goes through the tunnel's TLS.
    ///
    /// The identity is raw bytes, which only a shell's printf can put into an argument; it cannot hold a NUL, and
    /// one identity in sixteen does.
    func client(of server: Endpoint, _ flags: [String] = []) throws -> Program? {
        guard !identity.contains(0), identity.last != 10 else { return nil }
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
