import Foundation
import Support

/// A folder on a disk that keeps only what it was told to keep: what is written reaches it at a sync, or before, in any
/// order and in part.
///
/// Of names (new, renamed, removed) it keeps those up to some moment after the last sync of the folder: file systems keep
/// their own books in order. Of a file's content it keeps any subset of the writes since its last sync, torn at 512 bytes.
struct Disk {
    private enum Change {
        case write(offset: Int?, [UInt8])
        case resize(Int)
    }

    private enum NameChange {
        case make(String, Int)
        case rename(String, String)
        case remove(String)
    }

    private struct File {
        var kept: [UInt8] = []
        var pending: [(number: Int, change: Change)] = []
    }

    private static let sector = 512

    private var files: [File] = []
    /// As programs see it; as it is on disk.
    private var names: [String: Int] = [:]
    private var keptNames: [String: Int] = [:]
    private var pendingNames: [(number: Int, change: NameChange)] = []

    /// All of it is kept.
    init(folder: String) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            guard let content = FileManager.default.contents(atPath: "\(folder)/\(name)") else { continue }
            names[name] = files.count
            files.append(File(kept: [UInt8](content)))
        }
        keptNames = names
    }

    /// The next event of a trace, which is its number `number`.
    mutating func take(_ event: Trace.Event, number: Int) {
        switch event {
        case .made(let name):
            guard names[name] == nil else { return }
            names[name] = files.count
            pendingNames.append((number, .make(name, files.count)))
            files.append(File())
        case .wrote(let name, let offset, let bytes): change(name, number, .write(offset: offset, bytes))
        case .resized(let name, let bytes): change(name, number, .resize(bytes))
        case .synced(let name, let before): sync(name, before)
        case .syncedFolder(let before):
            for (_, change) in pendingNames.prefix(while: { $0.number < before }) {
                Self.apply(change, to: &keptNames)
            }
            pendingNames.removeAll { $0.number < before }
        case .renamed(let name, let new): changeName(number, .rename(name, new))
        case .removed(let name): changeName(number, .remove(name))
        case .said: break
        }
    }

    private mutating func change(_ name: String, _ number: Int, _ change: Change) {
        guard let file = names[name] else { return }
        files[file].pending.append((number, change))
    }

    private mutating func changeName(_ number: Int, _ change: NameChange) {
        Self.apply(change, to: &names)
        pendingNames.append((number, change))
    }

    private mutating func sync(_ name: String, _ before: Int) {
        guard let file = names[name] else { return }
        for (_, change) in files[file].pending.prefix(while: { $0.number < before }) {
            Self.apply(change, to: &files[file].kept)
        }
        files[file].pending.removeAll { $0.number < before }
    }

    private static func apply(_ change: NameChange, to names: inout [String: Int]) {
        switch change {
        case .make(let name, let file): names[name] = file
        case .rename(let name, let new): if let file = names.removeValue(forKey: name) { names[new] = file }
        case .remove(let name): names[name] = nil
        }
    }

    private static func apply(_ change: Change, to content: inout [UInt8]) {
        switch change {
        case .write(let offset, let bytes):
            let offset = offset ?? content.count
            let end = offset + bytes.count
            if content.count < end { content += [UInt8](repeating: 0, count: end - content.count) }
            content.replaceSubrange(offset..<end, with: bytes)
        case .resize(let bytes):
            if bytes < content.count { content.removeLast(content.count - bytes) }
            if bytes > content.count { content += [UInt8](repeating: 0, count: bytes - content.count) }
        }
    }

    /// The power is cut now: what is found afterwards, by name.
    func afterPowerCut(_ random: inout SeededRandom) -> [String: [UInt8]] {
        var found = keptNames
        let kept = Int.random(in: 0...pendingNames.count, using: &random)
        for (_, change) in pendingNames.prefix(kept) { Self.apply(change, to: &found) }
        // Sorted: a seed gives one image.
        var contents: [String: [UInt8]] = [:]
        for (name, file) in found.sorted(by: { $0.key < $1.key }) {
            contents[name] = content(of: files[file], &random)
        }
        return contents
    }

    private func content(of file: File, _ random: inout SeededRandom) -> [UInt8] {
        var content = file.kept
        // Nothing since the last sync, about half of it, or nearly all.
        let share: Double = [0.0, 0.5, 0.95].randomElement(using: &random) ?? 0
        for (_, change) in file.pending where Double.random(in: 0..<1, using: &random) < share {
            guard case .write(let offset, let bytes) = change, Int.random(in: 0..<3, using: &random) == 0
            else {
                Self.apply(change, to: &content)
                continue
            }
            // On a sector's border of the file, not of the write.
            let start = offset ?? content.count
            let end = (start + Int.random(in: 0...bytes.count, using: &random)) / Self.sector * Self.sector
            if end > start { Self.apply(.write(offset: start, Array(bytes[..<(end - start)])), to: &content) }
        }
        return content
    }
}
