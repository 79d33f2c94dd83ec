import Mux
import TLS

/// The first record in each direction after TLS: versions, who is speaking, and the proof that it holds its signing key.
///
/// The signature covers a label for the direction, the TLS exporter (equal at both ends and never seen again, so nothing
/// can be replayed) and everything else in the message.
///
///     payload of HELLO: least version u8, greatest version u8, features u32, public key 32 bytes, signature 64 bytes,
///     then program version, system and host name, each a length u8 (64 at most) and UTF-8; with the feature `namesInstance`
///     then 8 bytes that were drawn when the program was started
package struct Hello: Equatable, Sendable {
    package static let versions: ClosedRange<UInt8> = 1...1
    package static let exporterLabel = "EXPORTER-goproxy-v1-hello"
    private static let maximumTextBytes = 64
    private static let fixedBytes = 102

    package var leastVersion = Hello.versions.lowerBound
    package var greatestVersion = Hello.versions.upperBound
    package var features: UInt32 = Self.namesLoops
    /// It understands that a stream was closed because its mapping leads to itself.
    package static let namesLoops: UInt32 = 1
    /// It says which process it is.
    package static let namesInstance: UInt32 = 2
    package static let instanceBytes = 8
    package var publicKey: [UInt8]
    package var programVersion = ""
    package var system = ""
    package var hostName = ""
    /// Two machines with one uuid differ in it; nil: an end that does not say.
    package private(set) var instance: [UInt8]?

    package init(publicKey: [UInt8]) {
        self.publicKey = publicKey
    }

    /// Of this process, from now on.
    package mutating func drawInstance(_ number: UInt64 = .random(in: .min ... .max)) {
        features |= Self.namesInstance
        instance = withUnsafeBytes(of: number.bigEndian) { [UInt8]($0) }
    }

    /// The version that both ends speak.
    package func commonVersion() -> UInt8? {
        let version = min(greatestVersion, Self.versions.upperBound)
        return version >= max(leastVersion, Self.versions.lowerBound) ? version : nil
    }

    /// The frame, header and all.
    package func frame(from role: Role, key: SigningKey, exporter: [UInt8]) -> [UInt8] {
        let signature = key.sign(Self.signedBytes(role, exporter, beforeSignature, afterSignature))
        let payload = beforeSignature + signature + afterSignature
        var frame = [UInt8](repeating: 0, count: Frame.headerBytes)
        frame.withUnsafeMutableBytes {
            Frame.writeHeader(.hello, stream: .link, payloadBytes: payload.count, at: $0.baseAddress!)
        }
        return frame + payload
    }

    /// Reads and verifies the other end's HELLO; nil when it is malformed or its signature is not by its key.
    package init?(_ payload: UnsafeRawBufferPointer, from role: Role, exporter: [UInt8]) {
        guard payload.count >= Self.fixedBytes + 3 else { return nil }
        leastVersion = payload[0]
        greatestVersion = payload[1]
        features = payload.number(UInt32.self, at: 2)
        publicKey = [UInt8](payload[6..<38])
        let signature = [UInt8](payload[38..<Self.fixedBytes])
        var texts: [String] = []
        var position = Self.fixedBytes
        for _ in 0..<3 {
            guard position < payload.count else { return nil }
            let count = Int(payload[position])
            guard count <= Self.maximumTextBytes, position + 1 + count <= payload.count else { return nil }
            let text = String(decoding: payload[position + 1..<position + 1 + count], as: UTF8.self)
            texts.append(String(ofStranger: text, most: Self.maximumTextBytes))
            position += 1 + count
        }
        if features & Self.namesInstance != 0 {
            guard position + Self.instanceBytes <= payload.count else { return nil }
            instance = [UInt8](payload[position..<position + Self.instanceBytes])
        }
        // Bytes beyond are of a later version; the signature covers them.
        (programVersion, system, hostName) = (texts[0], texts[1], texts[2])
        let signed = Self.signedBytes(
            role, exporter, [UInt8](payload[..<38]), [UInt8](payload[Self.fixedBytes...]))
        guard SigningKey.verify(signature: signature, of: signed, publicKey: publicKey) else { return nil }
    }

    private var beforeSignature: [UInt8] {
        [leastVersion, greatestVersion] + withUnsafeBytes(of: features.bigEndian) { [UInt8]($0) } + publicKey
    }

    private var afterSignature: [UInt8] {
        [programVersion, system, hostName].flatMap { text in
            let bytes = [UInt8](text.utf8.prefix(Self.maximumTextBytes))
            return [UInt8(bytes.count)] + bytes
        } + (instance ?? [])
    }

    private static func signedBytes(_ role: Role, _ exporter: [UInt8], _ before: [UInt8], _ after: [UInt8])
        -> [UInt8]
    {
        [UInt8]((role == .dialer ? "goproxy v1 hello node" : "goproxy v1 hello server").utf8) + [0] + exporter
            + before + after
    }
}
