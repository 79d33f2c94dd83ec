import Glibc
import TLS

/// Where a program gets its uuid from. Exactly one source may speak; a missing file, an empty value or a file that others
/// can read means: do not start.
package struct CredentialSource: Sendable {
    package var file: String?
    package var argument: String?

    private static let maximumBytes = 1_024

    package init(file: String? = nil, argument: String? = nil) {
        self.file = file
        self.argument = argument
    }

    package struct Failure: Error, Equatable, Sendable, CustomStringConvertible {
        package let description: String
    }

    /// The uuid; nil when no source speaks. The error never holds the value.
    package func read() throws(Failure) -> String? {
        var found: [(source: String, value: String)] = []
        if let file { found.append(("-uuid-file", try Self.contents(of: file))) }
        if let directory = environment("CREDENTIALS_DIRECTORY"), access("\(directory)/uuid", F_OK) == 0 {
            found.append(("$CREDENTIALS_DIRECTORY/uuid", try Self.contents(of: "\(directory)/uuid")))
        }
        if let value = environment("GOPROXY_UUID") { found.append(("GOPROXY_UUID", value)) }
        if let argument { found.append(("-uuid", argument)) }
        guard found.count <= 1 else {
            throw Failure(
                description: "uuid: two sources: \(found.map(\.source).joined(separator: " and ")); give one")
        }
        guard let (source, value) = found.first else { return nil }
        guard !value.isEmpty else { throw Failure(description: "uuid: \(source) is empty") }
        guard value.utf8.count <= Self.maximumBytes, value.utf8.allSatisfy({ $0 > 32 && $0 != 127 }) else {
            throw Failure(
                description: "uuid: \(source) holds spaces, control characters or more than 1,024 bytes")
        }
        return value
    }

    private func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }

    private static func contents(of path: String) throws(Failure) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { throw Failure(description: "uuid: cannot read \(path): \(lastError())") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw Failure(description: "uuid: \(path) is not a file")
        }
        guard status.st_mode & 0o077 == 0 else {
            let mode = String(status.st_mode & 0o777, radix: 8)
            throw Failure(description: "uuid: \(path): others may read it (mode \(mode)); chmod 600 \(path)")
        }
        var bytes = [UInt8](repeating: 0, count: maximumBytes + 2)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw Failure(description: "uuid: cannot read \(path): \(lastError())") }
        guard let text = String(validating: bytes[..<count], as: UTF8.self) else {
            throw Failure(description: "uuid: \(path) is not text")
        }
        return text.hasSuffix("\n") ? String(text.dropLast()) : text
    }

    private static func lastError() -> String {
        String(cString: strerror(errno)).lowercased()
    }
}

/// Why the uuid is weak, or nil. Refuses a weak one that the operator did not ask for.
package func weakness(of uuid: String, allowWeak: Bool) throws(CredentialSource.Failure) -> String? {
    let weakness = Credential.weakness(of: uuid)
    if let weakness, !allowWeak {
        throw CredentialSource.Failure(
            description: "uuid: too weak: \(weakness); make a good one with: goproxy-server -new-uuid "
                + "(or -allow-weak-uuid)")
    }
    return weakness
}

/// What a node does with its uuid before it uses it.
package func checkedCredential(
    _ uuid: String, allowWeak: Bool
) throws(CredentialSource.Failure) -> (Credential, weakness: String?) {
    let weakness = try weakness(of: uuid, allowWeak: allowWeak)
    do {
        return (try Credential(uuid: uuid), weakness)
    } catch {
        throw CredentialSource.Failure(description: "uuid: not usable: \(error)")
    }
}
