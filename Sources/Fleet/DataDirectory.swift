import Glibc
import Reactor
import Records
import TLS

/// The folder beside the server in which everything lasting is kept. Others may neither read nor enter it.
package struct DataDirectory: Sendable {
    package let path: String

    package struct Failure: Error, Sendable, CustomStringConvertible {
        package let description: String
    }

    /// `$STATE_DIRECTORY`, `/var/lib/goproxy` for root, else `~/.local/state/goproxy`.
    package static var defaultPath: String {
        if let path = getenv("STATE_DIRECTORY").map({ String(cString: $0) }), !path.isEmpty { return path }
        if geteuid() == 0 { return "/var/lib/goproxy" }
        return (getenv("HOME").map { String(cString: $0) } ?? "") + "/.local/state/goproxy"
    }

    /// Makes the folder (0700) if it is not there; refuses one that others may enter.
    package init(_ path: String) throws(Failure) {
        self.path = path
        guard path.hasPrefix("/") || !path.isEmpty else {
            throw Failure(description: "data directory: no path")
        }
        var status = stat()
        if stat(path, &status) != 0 {
            try Self.make(path)
            guard stat(path, &status) == 0 else { throw Self.failure(path, "cannot look at it") }
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw Failure(description: "data directory: \(path): not a folder")
        }
        guard status.st_mode & 0o077 == 0 else {
            let mode = String(status.st_mode & 0o777, radix: 8)
            throw Failure(
                description: "data directory: \(path): others may enter it (mode \(mode)): chmod 700 \(path)")
        }
    }

    /// The server's signing key; made at the first start. Generated uuids name it, so it belongs into the backup.
    package func serverKey() throws(Failure) -> SigningKey {
        SigningKey(seed: try secret("server.key", what: "server key"))
    }

    /// Seals what the database keeps of the nodes' credentials; made at the first use. Without it the database lets no node in,
    /// so it belongs into the backup, but not beside the database's.
    package func sealingKey() throws(Failure) -> SealingKey {
        SealingKey(try secret("seal.key", what: "sealing key"))
    }

    /// Whether both keys are there.
    package var hasKeys: Bool {
        ["server.key", "seal.key"].allSatisfy { access("\(path)/\($0)", F_OK) == 0 }
    }

    /// A new key beside what only the old one opens would lock every node out for good, and look like a working server.
    private func refuseLostKeys() throws(Failure) {
        let count: Int
        do throws(RecordsError) { count = try Store.credentials(in: path).count } catch {
            throw Failure(description: "data directory: \(path): cannot tell what its keys open: \(error)")
        }
        guard count > 0 else { return }
        let missing = ["server.key", "seal.key"].filter { access("\(path)/\($0)", F_OK) != 0 }
        throw Failure(
            description:
                "data directory: \(path): \(missing.joined(separator: " and ")) missing beside a database with \(count) credentials that nothing else opens: copy it from the server that it came from; if it is lost: goproxy-admin backup FILE, then goproxy-admin restore FILE --without-keys, and each node needs a new uuid"
        )
    }

    /// 32 random bytes that are kept in a file of their own.
    private func secret(_ name: String, what: String) throws(Failure) -> [UInt8] {
        let file = "\(path)/\(name)"
        let descriptor = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        if descriptor < 0, errno == ENOENT {
            try refuseLostKeys()
            try makeSecret(file)
            // Another process may have been first: what is on disk is the secret.
            return try secret(name, what: what)
        }
        guard descriptor >= 0 else { throw Self.failure(file, "cannot read it") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & 0o077 == 0 else {
            throw Failure(description: "\(what): \(file): others may read it: chmod 400 \(file)")
        }
        var bytes = [UInt8](repeating: 0, count: 33)
        guard read(descriptor, &bytes, 33) == 32 else {
            throw Failure(description: "\(what): \(file): not a key: it must hold 32 bytes")
        }
        return [UInt8](bytes[..<32])
    }

    /// Written beside, synced and linked: a power cut leaves the whole key or none.
    private func makeSecret(_ file: String) throws(Failure) {
        // Of this process alone, so that two that start at once do not write into one file.
        let new = "\(file).new.\(getpid())"
        let shred = { () throws(Failure) in
            do throws(RecordsError) { try SecretFile.shred(new, in: path) } catch {
                throw Failure(description: error.message)
            }
        }
        try shred()
        let descriptor = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o400)
        guard descriptor >= 0 else { throw Self.failure(new, "cannot write it") }
        Store.giveToOwner(descriptor, of: path)
        let isWritten = write(descriptor, randomBytes(32), 32) == 32 && fsync(descriptor) == 0
        close(descriptor)
        let isNamed = isWritten && link(new, file) == 0
        let reason = errno
        // Once it is named, this is another name of the same file.
        if isNamed { unlink(new) } else { try shred() }
        errno = reason
        guard isNamed || isWritten && reason == EEXIST else { throw Self.failure(new, "cannot write it") }
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(folder) }
        guard folder >= 0, fsync(folder) == 0 else { throw Self.failure(path, "cannot sync it") }
    }

    private static func make(_ path: String) throws(Failure) {
        var made = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            made += "/\(part)"
            if mkdir(made, 0o700) != 0, errno != EEXIST { throw failure(path, "cannot make it") }
        }
    }

    private static func failure(_ path: String, _ what: String) -> Failure {
        Failure(description: "data directory: \(path): \(what): \(SystemError())")
    }
}
