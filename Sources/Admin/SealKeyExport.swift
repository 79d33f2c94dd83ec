import Control
import Glibc
import JSON
import Records

/// `seal-key export`: in this process, with the rights of whoever runs it. The control socket may be opened to a group; this key
/// belongs to nobody but the owner of the data folder, so it is not to be had there. The audit is told that it went, not what it is.
enum SealKeyExport {
    static func run(_ session: Session) throws(AdminError) {
        let target = session.target
        let (file, key) = try find(session)
        try session.confirm(
            """
            The verification key goes to \(target == "-" ? "standard output" : safe(target)) and is overwritten here: \
            what it proves is then checked with --key alone.
            """)
        if target == "-" {
            guard !session.console.isOutputTerminal else {
                throw AdminError(
                    "invalid", "standard output is a terminal, which shows and keeps what it is given",
                    hint: "give a file, or send it through a pipe to another machine")
            }
            try session.console.requireRoom()
            try note("-", session)
            do throws(AdminError) { try session.console.writeOnce(hex(key) + "\n") } catch {
                throw AdminError(error.code, "\(error.message); the key stays here")
            }
            try shred(file, session)
        } else {
            let copy = try make(target, key, session)
            do throws(AdminError) { try note(copy, session) } catch {
                try? SecretFile.shred(copy, in: folder(of: copy))
                throw error
            }
            try shred(file, session)
            let json: JSONValue = ["file": .string(copy)]
            try session.print(jsonText(json)) { () throws(AdminError) in
                "Exported to \(safe(copy)), and overwritten here. Move it to another machine, for "
                    + "\(Verb.program) audit verify --key.\n"
            }
        }
    }

    /// As it was exported: its bytes, or a line of hexadecimal.
    static func key(_ bytes: [UInt8]) -> [UInt8]? {
        if bytes.count == SealKey.bytes { return bytes }
        let text = bytes.last == UInt8(ascii: "\n") ? bytes.dropLast() : bytes[...]
        guard text.count == 2 * SealKey.bytes else { return nil }
        var key: [UInt8] = []
        for place in stride(from: 0, to: text.count, by: 2) {
            guard let high = digit(text[place]), let low = digit(text[place + 1]) else { return nil }
            key.append(high << 4 | low)
        }
        return key
    }

    private static func hex(_ key: [UInt8]) -> String {
        key.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 97...102: byte - 87
        default: nil
        }
    }

    private static func find(_ session: Session) throws(AdminError) -> (file: String, key: [UInt8]) {
        let file = "\(session.directory)/\(SealKey.verifyName)"
        let key: [UInt8]?
        do throws(RecordsError) { key = try SecretFile.read(file, count: SealKey.bytes) } catch {
            throw AdminError(
                error.code.rawValue, error.message, hint: "run it as the server's user, or as root")
        }
        guard let key else {
            throw AdminError(
                "not-found", "\(file): not there: it was exported before, or the server has not made it yet")
        }
        guard key.count == SealKey.bytes else {
            throw AdminError("corrupt", "\(file): not a key: it must hold \(SealKey.bytes) bytes")
        }
        return (file, key)
    }

    /// On disk, whole, and nobody else's. Answers its whole path.
    private static func make(
        _ target: String, _ key: [UInt8], _ session: Session
    ) throws(AdminError) -> String {
        let path = KeepingCommands.absolute(target)
        guard access(path, F_OK) != 0 else {
            throw AdminError("conflict", "\(path): is there already", hint: "give another name")
        }
        guard !isSame(folder(of: path), session.directory) else {
            throw AdminError(
                "invalid", "\(path): lies in the data folder, where it lies already",
                hint: "give a place that whoever can write the records cannot read")
        }
        do throws(RecordsError) {
            try SecretFile.make(path, key, mode: 0o400, in: folder(of: path))
            guard try SecretFile.read(path, count: SealKey.bytes) == key else {
                throw RecordsError(.io, "\(path): does not hold what was written")
            }
        } catch {
            throw AdminError(error)
        }
        return path
    }

    private static func note(_ file: String, _ session: Session) throws(AdminError) {
        _ = try session.ask("POST", "seal-key", "exports", body: ["file": .string(file)])
    }

    private static func shred(_ file: String, _ session: Session) throws(AdminError) {
        do throws(RecordsError) { try SecretFile.shred(file, in: session.directory) } catch {
            throw AdminError(
                error.code.rawValue, "exported, but not overwritten here: \(error.message)",
                hint: "run it as the server's user, or as root")
        }
    }

    private static func folder(of path: String) -> String {
        let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        return folder.count < 2 ? "/" : folder.joined(separator: "/")
    }

    private static func isSame(_ one: String, _ other: String) -> Bool {
        var first = stat()
        var second = stat()
        guard stat(one, &first) == 0, stat(other, &second) == 0 else { return false }
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }
}
