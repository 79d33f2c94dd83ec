import Digests
import Glibc
import SQLite

/// The key that seals are made with. It evolves with every seal and the one before is erased: whoever takes the machine over
/// can forge no seal that was made before.
///
/// K_0 is in `seal-verify.key` alone, which is made at the first start and is meant to be moved off the machine: it checks all
/// seals, and could forge them. Seal j is made with K_j = HMAC(K_(j-1), "next"), the first is 1; `seal-now.key` holds j
/// (8 bytes, big-endian) and K_j.
package struct SealKey: Sendable {
    package static let verifyName = "seal-verify.key"
    package static let nowName = "seal-now.key"
    package static let bytes = 32
    /// Ten years of a seal a minute: nothing honest is further ahead of a key.
    static let furthest: Int64 = 10 * 366 * 1_440

    /// Of the next seal.
    package private(set) var number: Int64
    private var key: [UInt8]

    /// K_0.
    package init(verification key: [UInt8]) {
        precondition(key.count == Self.bytes, "a seal's key has \(Self.bytes) bytes")
        number = 0
        self.key = key
    }

    fileprivate init(number: Int64, key: [UInt8]) {
        self.number = number
        self.key = key
    }

    package mutating func evolve() {
        var next = hmacSHA256(key: key, Array("next".utf8))
        swap(&key, &next)
        erase(&next)
        number += 1
    }

    /// Forwards only: an old key is not to be had again.
    package mutating func evolve(to wanted: Int64) {
        while number < wanted { evolve() }
    }

    package func mac(_ sealed: [UInt8]) -> [UInt8] { hmacSHA256(key: key, sealed) }

    fileprivate var fileBytes: [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } + key }
}

// Printing or dumping shows nothing of the key.
extension SealKey: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "SealKey \(number)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// The two key files of a data directory.
struct SealKeyFiles {
    let directory: String

    private var verify: String { "\(directory)/\(SealKey.verifyName)" }
    private var now: String { "\(directory)/\(SealKey.nowName)" }

    /// The key for seal `next` (the database has those before). Nil when there is none to continue with.
    func load(next: Int64) throws(RecordsError) -> SealKey? {
        if let bytes = try read(now, count: 8 + SealKey.bytes) {
            let number = bytes.prefix(8).reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
            var key = SealKey(number: Int64(clamping: number), key: Array(bytes[8...]))
            guard key.number < next else { return key }
            // The process ended between a seal's commit and the key's replacement.
            try move(&key, to: next)
            return key
        }
        guard let bytes = try read(verify, count: SealKey.bytes) else { return nil }
        var key = SealKey(verification: bytes)
        try move(&key, to: next)
        return key
    }

    /// A new verification key, and the key for seal `next` from it. The verification key first: without it nothing could be
    /// checked, while a key of now is derived from it.
    func make(next: Int64) throws(RecordsError) -> SealKey {
        var new = randomKey(bytes: SealKey.bytes)
        defer { erase(&new) }
        var key = SealKey(verification: new)
        try check(key, next)
        try write(new, to: verify, mode: 0o400)
        try move(&key, to: next)
        return key
    }

    private func move(_ key: inout SealKey, to next: Int64) throws(RecordsError) {
        try check(key, next)
        key.evolve(to: next)
        try save(key)
    }

    private func check(_ key: SealKey, _ next: Int64) throws(RecordsError) {
        guard next - key.number > SealKey.furthest else { return }
        throw RecordsError(
            .corrupt,
            "the last seal is \(next - 1), but the key stands at \(key.number): no server made so many",
            hint: "goproxy-admin audit verify; restore a backup")
    }

    func save(_ key: SealKey) throws(RecordsError) {
        try write(key.fileBytes, to: now, mode: 0o600)
    }

    private func read(_ file: String, count: Int) throws(RecordsError) -> [UInt8]? {
        let descriptor = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        if descriptor < 0, errno == ENOENT { return nil }
        guard descriptor >= 0 else { throw .system(file, "cannot read it") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & 0o077 == 0 else {
            throw RecordsError(.io, "\(file): others may read it", hint: "chmod 400 \(file)")
        }
        var bytes = [UInt8](repeating: 0, count: count + 1)
        guard Glibc.read(descriptor, &bytes, bytes.count) == count else {
            throw RecordsError(.corrupt, "\(file): not a key: it must hold \(count) bytes")
        }
        bytes.removeLast()
        return bytes
    }

    /// A power cut leaves the old file or the new one.
    private func write(_ bytes: [UInt8], to file: String, mode: mode_t) throws(RecordsError) {
        let new = "\(file).new"
        unlink(new)
        let descriptor = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw .system(new, "cannot make it") }
        FolderOwner.give(descriptor, in: directory)
        let isWritten = Glibc.write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        let reason = errno
        close(descriptor)
        guard isWritten else {
            unlink(new)
            errno = reason
            throw .system(new, "cannot write it")
        }
        guard rename(new, file) == 0 else { throw .system(new, "cannot move it to its place") }
        let folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(folder) }
        guard folder >= 0, fsync(folder) == 0 else { throw .system(directory, "cannot sync it") }
    }
}

extension RecordsError {
    /// With the words of `errno`.
    static func system(_ path: String, _ what: String) -> RecordsError {
        let reason = errno
        return RecordsError(
            .io, "\(path): \(what): \(String(cString: strerror(reason)))", hint: nil, isFull: reason == ENOSPC
        )
    }
}
