import Glibc
import Logging
import SQLite

/// `DIR/ballast`: room that the records give back to the file system when the disk is full, so that what is known of the
/// connections that run can still be written. Made anew when there is room for it twice. On the writer's thread.
final class Ballast {
    static let name = "ballast"
    private static let largestBytes = 16 * 1_024 * 1_024
    /// A smaller one would hold no commit.
    private static let smallestBytes = 64 * 1_024

    private let directory: String
    private let path: String
    /// What it has when it is there; 0 when there was never room.
    private var bytes: Int
    private(set) var isGivenBack = false

    init(directory: String) {
        self.directory = directory
        path = "\(directory)/\(Self.name)"
        var status = stat()
        bytes = lstat(path, &status) == 0 ? Int(status.st_size) : 0
        guard bytes < Self.smallestBytes else { return }
        bytes = min(Self.largestBytes, Self.freeBytes(directory) / 8) & ~4_095
        if bytes < Self.smallestBytes || !make() {
            bytes = 0
            Log.warn("ballast-not-made", ("path", path), ("free-bytes", Self.freeBytes(directory)))
        }
    }

    /// When it is for want of room that a commit failed.
    func giveBack(for error: RecordsError) {
        guard bytes > 0, !isGivenBack else { return }
        // A full disk also shows as an I/O error: where SQLite extends its shared memory, or at a sync.
        guard error.isFull || Self.freeBytes(directory) < Self.smallestBytes else { return }
        isGivenBack = unlink(path) == 0 || errno == ENOENT
        if isGivenBack { Log.warn("ballast-given-back", ("bytes", bytes)) }
    }

    /// Whether it is in its place; tries to put it there.
    func isBack() -> Bool {
        guard isGivenBack else { return true }
        guard Self.freeBytes(directory) >= 2 * bytes, make() else { return false }
        isGivenBack = false
        return true
    }

    /// For a start on a full disk. Answers whether there was one.
    static func remove(from directory: String, for error: RecordsError) -> Bool {
        guard error.isFull, unlink("\(directory)/\(name)") == 0 else { return false }
        Log.warn("ballast-given-back", ("error", error.message))
        return true
    }

    private func make() -> Bool {
        unlink(path)
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        FolderOwner.give(descriptor, in: directory)
        guard posix_fallocate(descriptor, 0, bytes) == 0 else {
            unlink(path)
            return false
        }
        return true
    }

    static func freeBytes(_ directory: String) -> Int {
        var system = statvfs()
        guard statvfs(directory, &system) == 0 else { return 0 }
        return Int(
            clamping: UInt64(system.f_bavail).multipliedReportingOverflow(by: UInt64(system.f_frsize))
                .partialValue)
    }
}
