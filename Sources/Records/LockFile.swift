import Glibc
import Logging
import SQLite

/// `DIR/lock`: whoever holds it is the one process that writes the database. The kernel frees it when the process ends,
/// however it ends; the pid inside is for people.
final class LockFile: Sendable {
    private let descriptor: Int32

    /// `patience`: how long it waits for another process to let go.
    convenience init(directory: String, patience: Duration = .zero) throws(RecordsError) {
        self.init(try Self.locked(directory, patience))
    }

    /// Nothing throws once the object exists: its `deinit` would run, and close and empty what has been closed before, which by
    /// then may be another thread's file.
    private init(_ descriptor: Int32) {
        self.descriptor = descriptor
    }

    private static func locked(_ directory: String, _ patience: Duration) throws(RecordsError) -> Int32 {
        let path = "\(directory)/lock"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw RecordsError(.io, "\(path): cannot open it: \(String(cString: strerror(errno)))")
        }
        FolderOwner.give(descriptor, in: directory)
        let deadline = ContinuousClock.now + patience
        var result = flock(descriptor, LOCK_EX | LOCK_NB)
        if result != 0, errno == EWOULDBLOCK, patience > .zero {
            Log.info("waiting-for-records", ("directory", directory))
            errno = EWOULDBLOCK
        }
        while result != 0, errno == EWOULDBLOCK, ContinuousClock.now < deadline {
            // Shorter than it takes to start a program that wants it too.
            usleep(1_000)
            result = flock(descriptor, LOCK_EX | LOCK_NB)
        }
        guard result == 0 else {
            let reason = errno
            defer { close(descriptor) }
            guard reason == EWOULDBLOCK else {
                throw RecordsError(.io, "\(path): cannot lock it: \(String(cString: strerror(reason)))")
            }
            throw refusal(directory, holder: holder(descriptor))
        }
        let pid = Array("\(getpid())\n".utf8)
        // Without room the lock holds all the same, nameless: a full disk must not stop a start that makes room.
        guard ftruncate(descriptor, 0) == 0,
            pwrite(descriptor, pid, pid.count, 0) == pid.count || errno == ENOSPC
        else {
            let reason = String(cString: strerror(errno))
            close(descriptor)
            throw RecordsError(.io, "\(path): cannot write it: \(reason)")
        }
        return descriptor
    }

    deinit {
        // The file stays: unlinking it would let two processes lock two files of one name.
        ftruncate(descriptor, 0)
        // A child that another thread is just starting may share the descriptor until it runs its program: closing alone would
        // leave the lock to it for that long.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    /// Whoever has just taken the lock may not have written its pid yet.
    private static func holder(_ descriptor: Int32) -> Int32? {
        for _ in 0..<50 {
            var bytes = [UInt8](repeating: 0, count: 16)
            let count = pread(descriptor, &bytes, bytes.count, 0)
            let digits = bytes.prefix(max(0, count)).prefix { (48...57).contains($0) }
            if let pid = Int32(String(decoding: digits, as: UTF8.self)) { return pid }
            usleep(2_000)
        }
        return nil
    }

    private static func refusal(_ directory: String, holder: Int32?) -> RecordsError {
        guard let holder else {
            return RecordsError(.locked, "\(directory) is in use by another process")
        }
        var name = [UInt8](repeating: 0, count: 64)
        let descriptor = open("/proc/\(holder)/comm", O_RDONLY | O_CLOEXEC)
        let count = read(descriptor, &name, name.count)
        close(descriptor)
        let words = String(decoding: name.prefix(max(0, count)).filter { $0 > 32 && $0 < 127 }, as: UTF8.self)
        return RecordsError(
            .locked, "\(directory) is in use by process \(holder)\(words.isEmpty ? "" : " (\(words))")",
            hint: "stop process \(holder) first, or ask it over its control socket")
    }
}
