import Foundation
import Support

/// A file system in memory over a folder, gone with its owner.
final class SmallDisk {
    private let folder: String

    static let isPossible: Bool = {
        guard getuid() == 0, let folder = try? TemporaryDirectory() else { return false }
        return (try? SmallDisk(folder.path)) != nil
    }()

    init(_ folder: String) throws {
        self.folder = folder
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        _ = try run("/usr/bin/mount", ["-t", "tmpfs", "-o", "size=4m,mode=0700", "goproxy-test", folder])
            .succeeded()
    }

    deinit { _ = try? run("/usr/bin/umount", ["-l", folder]) }

    private var file: String { "\(folder)/filling" }

    /// Until there is no byte left.
    func fill() throws {
        let descriptor = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SocketError.other(call: "open", errno: errno) }
        defer { close(descriptor) }
        for size in [65_536, 4_096, 1] {
            let bytes = [UInt8](repeating: 120, count: size)
            while write(descriptor, bytes, size) > 0 {}
        }
        guard errno == ENOSPC else { throw SocketError.other(call: "write", errno: errno) }
    }

    func free() { unlink(file) }

    /// Root writes into read-only folders, but not into read-only file systems.
    func makeReadOnly() throws {
        _ = try run("/usr/bin/mount", ["-o", "remount,ro", folder]).succeeded()
    }
}
