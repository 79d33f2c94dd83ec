import FoundationEssentials
import Glibc

/// The notes of a server's life. Programs that only change records have none.
struct Lifecycle: Sendable {
    let version: String

    /// Of the machine's run since its last start; empty where the kernel does not tell.
    static let bootID: String = {
        let descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 36)
        guard descriptor >= 0, read(descriptor, &bytes, 36) == 36 else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }()

    /// `lastOpened`: all connections up to it are closed.
    func start(at now: Timestamp, lastOpened: Int64) -> Note {
        struct Detail: Encodable {
            let boot: String
            let format: Int
            let monotonic: UInt64
            let version: String
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let detail = Detail(
            boot: Self.bootID, format: Self.format, monotonic: Monotonic.nanoseconds / 1_000, version: version
        )
        let json = (try? encoder.encode(detail)).map { String(decoding: $0, as: UTF8.self) }
        return Note(at: now, kind: .start, connection: lastOpened, detail: json)
    }

    func stop(at now: Timestamp) -> Note { Note(at: now, kind: .stop) }
}
