import COpenSSL
import Glibc

/// What a handshake leaves (RFC 8446, 7.1): the first secrets of both directions, and that of what is exported. OpenSSL tells
/// them through its key log (SSL_CTX_set_keylog_callback(3)), a line for each, and wipes the line.
struct HandshakeSecrets {
    private(set) var client = [UInt8]()
    private(set) var server = [UInt8]()
    private(set) var exporter = [UInt8]()

    /// SHA-256's, as the recipe's one cipher has it.
    private static let bytes = 32

    var isComplete: Bool { [client, server, exporter].allSatisfy { $0.count == Self.bytes } }

    /// `LABEL random secret`, the latter two in hexadecimal.
    mutating func note(_ line: UnsafePointer<CChar>) {
        guard let labelEnd = strchr(line, Self.space), let secretStart = strrchr(line, Self.space) else {
            return
        }
        let label = UnsafeRawBufferPointer(start: line, count: UnsafePointer(labelEnd) - line)
        switch String(decoding: label, as: UTF8.self) {
        case "CLIENT_TRAFFIC_SECRET_0": client = Self.bytes(secretStart + 1)
        case "SERVER_TRAFFIC_SECRET_0": server = Self.bytes(secretStart + 1)
        case "EXPORTER_SECRET": exporter = Self.bytes(secretStart + 1)
        default: break
        }
    }

    /// RFC 8446, 7.5, with an empty context.
    func export(label: String) -> [UInt8] {
        let nothing = sha256([])
        var secret = TrafficKey.expand(exporter, label: label, context: nothing, count: Self.bytes)
        defer { cleanse(&secret) }
        return TrafficKey.expand(secret, label: "exporter", context: nothing, count: Self.bytes)
    }

    mutating func wipe() {
        cleanse(&client)
        cleanse(&server)
        cleanse(&exporter)
    }

    private static func bytes(_ hexadecimal: UnsafePointer<CChar>) -> [UInt8] {
        var count = 0
        return [UInt8](unsafeUninitializedCapacity: bytes) { out, made in
            let isRight = OPENSSL_hexstr2buf_ex(out.baseAddress, out.count, &count, hexadecimal, 0) == 1
            made = isRight ? count : 0
        }
    }

    private static let space = Int32(UInt8(ascii: " "))
}
