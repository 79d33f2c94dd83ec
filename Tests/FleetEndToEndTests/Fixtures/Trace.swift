import Foundation
import Support

/// What programs did to one folder, and what they told others meanwhile, as `strace -f -y -xx` saw it, in its order.
struct Trace {
    enum Event {
        /// A file's name came to be.
        case made(String)
        /// Nil: at the end.
        case wrote(String, offset: Int?, [UInt8])
        case resized(String, bytes: Int)
        /// What the file had before the event of this number is on disk.
        case synced(String, before: Int)
        case syncedFolder(before: Int)
        case renamed(String, to: String)
        case removed(String)
        /// The first bytes of what was passed to a socket.
        case said([UInt8])
    }

    static let calls = "openat,pwrite64,write,writev,sendmsg,sendto,fdatasync,fsync,ftruncate,unlink,rename"

    let folder: String
    private(set) var events: [Event] = []
    /// Syncs that have begun: the thread, and how many events there were.
    private var syncs: [Substring: (place: String, before: Int)] = [:]

    /// What is longer than this is not all in the trace.
    static let longestString = 200_000

    init(file: String, folder: String) throws {
        self.folder = folder
        let text = [UInt8](try Data(contentsOf: URL(filePath: file)))
        text.withUnsafeBufferPointer { text in
            var start = 0
            while start < text.count {
                let end = text.firstIndex(of: 10, from: start) ?? text.count
                take(Line(UnsafeBufferPointer(rebasing: text[start..<end])))
                start = end + 1
            }
        }
    }

    private mutating func take(_ line: Line) {
        if line.isResumed {
            // Only of syncs is the end what counts.
            if let sync = syncs.removeValue(forKey: line.thread), line.result >= 0 { addSync(sync) }
            return
        }
        guard line.isUnfinished || line.result >= 0 else { return }
        switch line.call {
        case "openat":
            guard line.rest.contains("O_CREAT"), let name = name(line.string()) else { return }
            events.append(.made(name))
        case "pwrite64", "write", "writev", "sendmsg", "sendto":
            let place = line.place()
            if place.hasPrefix("socket:") {
                events.append(.said(Array(line.bytes(most: 16))))
            } else if let name = name(place), !line.isDeleted {
                let offset = line.call == "pwrite64" ? line.lastNumber : nil
                events.append(.wrote(name, offset: offset, line.bytes()))
            }
        case "ftruncate":
            guard let name = name(line.place()), !line.isDeleted, let size = line.lastNumber else { return }
            events.append(.resized(name, bytes: size))
        case "fdatasync", "fsync":
            let sync = (place: line.isDeleted ? "" : line.place(), before: events.count)
            if line.isUnfinished { syncs[line.thread] = sync } else { addSync(sync) }
        case "unlink":
            if let name = name(line.string()) { events.append(.removed(name)) }
        case "rename":
            if let name = name(line.string()), let new = self.name(line.string(1)) {
                events.append(.renamed(name, to: new))
            }
        default: break
        }
    }

    private mutating func addSync(_ sync: (place: String, before: Int)) {
        if sync.place == folder { return events.append(.syncedFolder(before: sync.before)) }
        if let name = name(sync.place) { events.append(.synced(name, before: sync.before)) }
    }

    /// Inside the folder. What lives only while the program does is left out: SQLite's shared memory, sockets, locks; and
    /// the slots, which are mapped, so that no call shows what is in them.
    private func name(_ path: String) -> String? {
        guard path.hasPrefix("\(folder)/") else { return nil }
        let name = String(path.dropFirst(folder.count + 1))
        let isLeftOut = ["-shm", ".sock", "lock", ".slots", "ballast"].contains { name.hasSuffix($0) }
        return isLeftOut || name.contains("/") ? nil : name
    }
}

/// `thread call(3<path>, "bytes", numbers) = result`; strings and paths are `\xNN` throughout.
private struct Line {
    let thread: Substring
    let call: Substring
    let isResumed: Bool
    let isUnfinished: Bool
    let isDeleted: Bool
    /// -1 also for what has no number.
    let result: Int
    /// Behind the last string.
    let rest: Substring
    private let text: UnsafeBufferPointer<UInt8>
    /// Of each quotation mark.
    private let quotes: [Int]

    init(_ text: UnsafeBufferPointer<UInt8>) {
        self.text = text
        var quotes: [Int] = []
        // No string has a quotation mark inside: all of it is hexadecimal.
        while let quote = text.firstIndex(of: 34, from: quotes.last.map { $0 + 1 } ?? 0) {
            quotes.append(quote)
        }
        self.quotes = quotes
        let head = String(decoding: text.prefix(64), as: UTF8.self)
        let words = head.split(separator: " ", maxSplits: 1)
        thread = words.first ?? ""
        let after = words.count > 1 ? words[1].drop { $0 == " " } : ""
        isResumed = after.hasPrefix("<... ")
        call = after.prefix { $0 != "(" }
        let tail = String(decoding: text[(quotes.last.map { $0 + 1 } ?? 0)...], as: UTF8.self)
        rest = Substring(tail)
        isUnfinished = tail.hasSuffix("<unfinished ...>")
        isDeleted = String(decoding: text[..<(quotes.first ?? text.count)], as: UTF8.self).contains(
            ">(deleted)")
        let equals = tail.range(of: " = ", options: .backwards)
        result = equals.flatMap { Int(tail[$0.upperBound...].prefix { $0 == "-" || $0.isNumber }) } ?? -1
    }

    /// Of the first descriptor.
    func place() -> String {
        let head = text[..<(quotes.first ?? text.count)]
        guard let open = head.firstIndex(of: 60), let end = head[open...].firstIndex(of: 62) else {
            return ""
        }
        return String(decoding: decode(open + 1, end), as: UTF8.self)
    }

    func string(_ number: Int = 0) -> String {
        guard quotes.count > 2 * number + 1 else { return "" }
        return String(decoding: decode(quotes[2 * number] + 1, quotes[2 * number + 1]), as: UTF8.self)
    }

    /// Of the first string.
    func bytes(most: Int = .max) -> [UInt8] {
        guard quotes.count > 1 else { return [] }
        let end = min(quotes[1], most == .max ? .max : quotes[0] + 1 + 4 * most)
        return decode(quotes[0] + 1, end)
    }

    /// Before the bracket or the interruption.
    var lastNumber: Int? {
        // Without a string, the descriptor's path is in front.
        let arguments = quotes.isEmpty ? rest.drop { $0 != ">" }.dropFirst() : rest
        let words = arguments.prefix { $0 != ")" && $0 != "<" }.split { !$0.isNumber }
        return words.last.flatMap { Int($0) }
    }

    private func decode(_ start: Int, _ end: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: (end - start) / 4) { buffer, count in
            var place = start
            while place + 3 < end {
                buffer[count] = Self.digit(text[place + 2]) << 4 | Self.digit(text[place + 3])
                count += 1
                place += 4
            }
        }
    }

    private static func digit(_ byte: UInt8) -> UInt8 { byte < 58 ? byte &- 48 : byte &- 87 }
}

extension UnsafeBufferPointer<UInt8> {
    /// The same as the library's, which is slow in debug builds.
    fileprivate func firstIndex(of byte: Int32, from start: Int) -> Int? {
        guard let base = baseAddress, start < count else { return nil }
        return memchr(base + start, byte, count - start).map { UnsafeRawPointer($0) - UnsafeRawPointer(base) }
    }
}
