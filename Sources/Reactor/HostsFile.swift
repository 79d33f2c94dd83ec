import Glibc
import Synchronization
import Threads

/// Which names this machine knows by itself (hosts(5)): to look them up asks no name server, so it need not wait behind those who do.
package final class HostsFile: Sendable {
    private struct State {
        var names: Set<Substring> = []
        var modified = timespec()
        var size: off_t = -1
        var nextLook: UInt64 = 0
    }

    package static let shared = HostsFile()

    private static let lookEvery: UInt64 = 1_000_000_000
    /// Lists of blocked names may be long; what is behind this is looked up as any name.
    private static let maximumBytes = 256 << 10

    private let path: String
    private let state = Mutex(State())

    /// Reads the file: before a loop runs.
    package init(path: String = "/etc/hosts") {
        self.path = path
        read()
    }

    /// As the file was when it was last asked for; it is read again meanwhile, by another thread.
    package func knows(_ name: String, now: UInt64) -> Bool {
        let name = name.lowercased()
        let (isKnown, isOld) = state.withLock { state in
            let isOld = now >= state.nextLook
            if isOld { state.nextLook = now + Self.lookEvery }
            return (state.names.contains(Substring(name)), isOld)
        }
        if isOld { _ = tryToStartThread("hosts") { self.read() } }
        return isKnown
    }

    private func read() {
        var new = state.withLock { $0 }
        read(&new)
        state.withLock { [new] state in
            (state.names, state.modified, state.size) = (new.names, new.modified, new.size)
        }
    }

    private func read(_ state: inout State) {
        var status = stat()
        guard stat(path, &status) == 0 else { return state = State() }
        let modified = status.st_mtim
        if state.size == status.st_size, state.modified.tv_sec == modified.tv_sec,
            state.modified.tv_nsec == modified.tv_nsec
        {
            return
        }
        (state.size, state.modified, state.names) = (status.st_size, modified, [])
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: min(Int(max(status.st_size, 0)), Self.maximumBytes))
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count > 0 else { return }
        let text = String(decoding: bytes.prefix(count), as: UTF8.self).lowercased()
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
            state.names.formUnion(words.dropFirst())
        }
    }
}
