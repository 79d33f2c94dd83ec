import Glibc
import SQLite

/// Files that hold a key. What they held is overwritten where it lies before it is let go: to take a name away or to rename
/// another file over it leaves the bytes on the disk.
///
/// That reaches what the file system itself overwrites in place, as ext4 and xfs do. It does not reach copies: snapshots, file
/// systems that write elsewhere (btrfs, zfs), a journal of the data, the spare blocks of a flash disk.
package enum SecretFile {
    /// At most `count` bytes and one more; nil when it is not there.
    package static func read(_ path: String, count: Int) throws(RecordsError) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        if descriptor < 0, errno == ENOENT { return nil }
        guard descriptor >= 0 else { throw .system(path, "cannot read it") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & 0o077 == 0 else {
            throw RecordsError(.io, "\(path): others may read it", hint: "chmod 400 \(path)")
        }
        var bytes = [UInt8](repeating: 0, count: count + 1)
        let got = Glibc.read(descriptor, &bytes, bytes.count)
        guard got >= 0 else { throw .system(path, "cannot read it") }
        bytes.removeLast(bytes.count - got)
        return bytes
    }

    /// A power cut leaves the whole file or none: written beside, synced, named, and the folder synced.
    package static func make(
        _ path: String, _ bytes: [UInt8], mode: mode_t, in directory: String
    ) throws(RecordsError) {
        let new = "\(path).new"
        try shred(new, in: directory)
        let descriptor = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw .system(new, "cannot make it") }
        FolderOwner.give(descriptor, in: directory)
        let isWritten = Glibc.write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        let reason = errno
        close(descriptor)
        guard isWritten, rename(new, path) == 0 else {
            let error = isWritten ? errno : reason
            try? shred(new, in: directory)
            errno = error
            throw .system(new, "cannot write it")
        }
        try sync(directory)
    }

    /// In place, and on disk when this returns.
    package static func overwrite(_ path: String, at offset: Int, with bytes: [UInt8]) throws(RecordsError) {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw .system(path, "cannot write it") }
        defer { close(descriptor) }
        // fsync: with its size, should it have got another.
        guard pwrite(descriptor, bytes, bytes.count, off_t(offset)) == bytes.count, fsync(descriptor) == 0
        else { throw .system(path, "cannot write it") }
    }

    /// Overwrites all of it with zeros, and takes its name away when they are on disk. Nothing happens when it is not there.
    package static func shred(_ path: String, in directory: String) throws(RecordsError) {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            guard errno == ENOENT else { throw .system(path, "cannot look at it") }
            return
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw RecordsError(.io, "\(path): not a file") }
        // Keys are read-only for their owner too.
        guard chmod(path, 0o600) == 0 else { throw .system(path, "cannot write it") }
        try overwrite(path, at: 0, with: [UInt8](repeating: 0, count: Int(status.st_size)))
        guard unlink(path) == 0 else { throw .system(path, "cannot remove it") }
        try sync(directory)
    }

    private static func sync(_ directory: String) throws(RecordsError) {
        let folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw .system(directory, "cannot sync it") }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw .system(directory, "cannot sync it") }
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
