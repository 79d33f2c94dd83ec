import COpenSSL
import Glibc

/// What a handshake leaves (RFC 8446, 7.1): the first secrets of both directions, and that of what is exported. OpenSSL tells
/// them through its key log (SSL_CTX_set_keylog_callback(3)), a line for each, and wipes the line.
struct HandshakeSecrets {
    private(set) var client: Secret?
    private(set) var server: Secret?
    private(set) var exporter: Secret?

    /// SHA-256's, as the recipe's one cipher has it.
    private static let bytes = 32

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

    private static func bytes(_ hexadecimal: UnsafePointer<CChar>) -> Secret? {
        var count = 0
        let secret = Secret(
            [UInt8](unsafeUninitializedCapacity: bytes) { out, made in
                let isRight = OPENSSL_hexstr2buf_ex(out.baseAddress, out.count, &count, hexadecimal, 0) == 1
                made = isRight ? count : 0
            })
        return secret.bytes.count == bytes ? secret : nil
    }

    private static let space = Int32(UInt8(ascii: " "))
}

/// What two ends can derive that nobody else knows (RFC 8446, 7.5).
struct Exporter {
    private let secret: Secret

    init(_ secret: Secret) {
        self.secret = secret
    }

    /// 32 bytes, with an empty context.
    func export(label: String) -> [UInt8] {
        let nothing = sha256([])
        let derived = Secret(TrafficKey.expand(secret, label: label, context: nothing, count: 32))
        return TrafficKey.expand(derived, label: "exporter", context: nothing, count: 32)
    }
}
