import Digests
import Glibc
import SQLite

/// `DIR/openings.journal`: openings that are on disk and not in the database yet. One write and one sync put a batch there, where a
/// commit of SQLite also has its pages and their log to write; the database takes the same openings a moment later, many at once.
///
/// A ring of blocks, each of them whole in itself:
///
///     "gopxopen" │ how many openings │ SHA-256 of the number and the openings │ up to 72 openings of 7 words, big-endian
///
/// A block is written anew only when the database has all that it tells of. So what a start has to add is each opening, of any
/// block that is whole, whose id is above the last that the database has, in the order of the ids. A block that was cut by the end of
/// the power is not whole, and nobody was told of it. One thread at a time.
final class OpeningJournal {
    static let name = "openings.journal"
    private static let blockBytes = 4_096
    private static let openingBytes = 56
    private static let digestAt = 16
    private static let headBytes = digestAt + SHA256.bytes
    static let openingsPerBlock = (blockBytes - headBytes) / openingBytes
    /// Of the commits that SQLite makes meanwhile, one takes 20 to 30 ms from the one before it; 200 batches were seen in that time.
    static let blocks = 512
    private static let bytes = blocks * blockBytes
    /// Of one write.
    static let largestBatch = 64 * openingsPerBlock
    /// Of what is free: on a disk with less there is no journal, and openings wait for the database's commit.
    private static let largestShare = 16
    /// "gopxopen"
    private static let magic: UInt64 = 0x676f_7078_6f70_656e

    private let descriptor: Int32
    private var files: WatchedFiles
    private let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: 64 * OpeningJournal.blockBytes, alignment: 4_096)
    private let digest = SHA256()
    /// The highest id in each block.
    private var highest = [Int64](repeating: 0, count: OpeningJournal.blocks)
    private var next = 0

    /// Nil where there is no room, or none can be made. What the file holds must be in the database.
    init?(directory: String) {
        let path = "\(directory)/\(Self.name)"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return nil }
        FolderOwner.give(descriptor, in: directory)
        guard Self.makeRoom(descriptor, directory) else {
            close(descriptor)
            unlink(path)
            return nil
        }
        self.descriptor = descriptor
        let database = "\(directory)/\(Store.fileName)"
        files = WatchedFiles([path, database, "\(database)-wal"])
        guard (try? files.check()) != nil else { return nil }
    }

    deinit {
        buffer.deallocate()
        close(descriptor)
    }

    /// Zeros, written: a sync of bytes that overwrite others is the quickest (see `LogRoom`). The name is on disk too.
    private static func makeRoom(_ descriptor: Int32, _ directory: String) -> Bool {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return false }
        if Int(status.st_size) != bytes {
            guard bytes <= Ballast.freeBytes(directory) / largestShare, ftruncate(descriptor, 0) == 0 else {
                return false
            }
        }
        do { try Database.sync(directory) } catch { return false }
        return clear(descriptor)
    }

    /// Who connected in the past is not kept longer than the history keeps it.
    private static func clear(_ descriptor: Int32) -> Bool {
        let zeros = [UInt8](repeating: 0, count: bytes)
        return pwrite(descriptor, zeros, bytes, 0) == bytes && fdatasync(descriptor) == 0
    }

    /// All that it held is in the database.
    static func clear(in directory: String) {
        let descriptor = open("\(directory)/\(name)", O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return }
        _ = clear(descriptor)
        close(descriptor)
    }

    // MARK: Writing

    enum Failure: Error {
        /// The database has to take what is in the ring first.
        case full
        case records(RecordsError)
    }

    /// On disk when it returns. `written`: the last opening that the database has on disk.
    func write(_ openings: [Opened], written: Int64) throws(Failure) {
        let count = (openings.count + Self.openingsPerBlock - 1) / Self.openingsPerBlock
        precondition(openings.count <= Self.largestBatch, "more openings than one write holds")
        guard isFree(count, written) else { throw .full }
        let first = next
        for place in 0..<count {
            let start = place * Self.openingsPerBlock
            let part = openings[start..<min(start + Self.openingsPerBlock, openings.count)]
            fill(UnsafeMutableRawBufferPointer(rebasing: buffer[(place * Self.blockBytes)...]), with: part)
            highest[next] = part.last?.id ?? 0
            next = (next + 1) % Self.blocks
        }
        do throws(RecordsError) {
            // Round the end of the ring.
            let straight = min(count, Self.blocks - first)
            try put(0..<straight, at: first)
            try put(straight..<count, at: 0)
            guard fdatasync(descriptor) == 0 else { throw .system(Self.name, "cannot sync it") }
            // Moved away, it would be found by nobody.
            try files.check()
        } catch { throw .records(error) }
    }

    private func isFree(_ count: Int, _ written: Int64) -> Bool {
        (0..<count).allSatisfy { highest[(next + $0) % Self.blocks] <= written }
    }

    private func put(_ places: Range<Int>, at block: Int) throws(RecordsError) {
        var start = places.lowerBound * Self.blockBytes
        let end = places.upperBound * Self.blockBytes
        var offset = block * Self.blockBytes
        while start < end {
            let count = pwrite(descriptor, buffer.baseAddress! + start, end - start, off_t(offset))
            guard count > 0 else { throw .system(Self.name, "cannot write it") }
            start += count
            offset += count
        }
    }

    private func fill(_ block: UnsafeMutableRawBufferPointer, with openings: ArraySlice<Opened>) {
        func put(_ word: UInt64, at offset: Int) {
            block.storeBytes(of: word.bigEndian, toByteOffset: offset, as: UInt64.self)
        }
        put(Self.magic, at: 0)
        put(UInt64(openings.count), at: 8)
        var offset = Self.headBytes
        for opening in openings {
            let client = opening.client
            put(UInt64(bitPattern: opening.id), at: offset)
            put(UInt64(bitPattern: opening.route), at: offset + 8)
            put(UInt64(bitPattern: opening.at.microseconds), at: offset + 16)
            put(UInt64(bitPattern: opening.monotonicMicroseconds), at: offset + 24)
            put(client.high, at: offset + 32)
            put(client.low, at: offset + 40)
            put(UInt64(client.length) << 16 | UInt64(client.port), at: offset + 48)
            offset += Self.openingBytes
        }
        digest.add(UnsafeRawBufferPointer(rebasing: block[8..<Self.digestAt]))
        digest.add(UnsafeRawBufferPointer(rebasing: block[Self.headBytes..<offset]))
        digest.finish(into: (block.baseAddress! + Self.digestAt).assumingMemoryBound(to: UInt8.self))
        // What an earlier batch left in the buffer.
        if offset < Self.blockBytes { memset(block.baseAddress! + offset, 0, Self.blockBytes - offset) }
    }

    // MARK: Reading

    /// What the whole blocks tell of, above `last`, in the order of the ids; nothing where there is no such file.
    static func read(_ directory: String, after last: Int64) -> [Opened] {
        let descriptor = open("\(directory)/\(name)", O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var found: [Int64: Opened] = [:]
        var block = [UInt8](repeating: 0, count: blockBytes)
        for place in 0..<blocks {
            guard pread(descriptor, &block, blockBytes, off_t(place * blockBytes)) == blockBytes else {
                break
            }
            for opening in openings(in: block) where opening.id > last { found[opening.id] = opening }
        }
        return found.values.sorted { $0.id < $1.id }
    }

    private static func openings(in block: [UInt8]) -> [Opened] {
        func word(_ offset: Int) -> UInt64 {
            block.withUnsafeBytes {
                UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            }
        }
        guard word(0) == magic, (1...UInt64(openingsPerBlock)).contains(word(8)) else { return [] }
        let end = headBytes + Int(word(8)) * openingBytes
        guard
            SHA256.digest(Array(block[8..<digestAt] + block[headBytes..<end]))
                == Array(block[digestAt..<headBytes])
        else { return [] }
        return stride(from: headBytes, to: end, by: openingBytes).compactMap { offset in
            let (id, route) = (Int64(bitPattern: word(offset)), Int64(bitPattern: word(offset + 8)))
            let length = word(offset + 48) >> 16
            guard id > 0, route > 0, length == 0 || length == 4 || length == 16 else { return nil }
            return Opened(
                id: id, route: route, at: Timestamp(microseconds: Int64(bitPattern: word(offset + 16))),
                monotonicMicroseconds: Int64(bitPattern: word(offset + 24)),
                client: ClientPlace(
                    length: UInt8(length), high: word(offset + 32), low: word(offset + 40),
                    port: UInt16(truncatingIfNeeded: word(offset + 48))))
        }
    }
}

/// What the journal in a data directory tells of: openings that the next start puts into the database, should it not have them.
package func recordedOpenings(in directory: String) -> [Opened] { OpeningJournal.read(directory, after: 0) }
