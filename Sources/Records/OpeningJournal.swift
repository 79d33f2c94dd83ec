import Digests
import Glibc
import SQLite

/// `DIR/openings.journal`: openings that are on disk and not in the database yet. One write and one sync put a few there, where a
/// commit of SQLite also has its pages and their log to write; the database takes the same openings a moment later, many at once.
///
/// A ring of blocks, each of them whole in itself:
///
///     "gopxopen" │ how many openings │ a note of the database: id, chain │ SHA-256 of that and the openings
///     up to 72 openings of 7 words; all words big-endian
///
/// The note is the one of this server's start. It tells whose openings these are: no other database has it, nor a copy that is older.
/// A block is written anew only when the database has all that it tells of. So what a start has to add is each opening, of any
/// block that is whole, whose id is above the last that the database has, in the order of the ids. A block that was cut by the end of
/// the power is not whole, and nobody was told of it. One thread at a time.
final class OpeningJournal {
    static let name = "openings.journal"
    static let blockBytes = 4_096
    static let openingBytes = 56
    static let digestAt = 32
    static let headBytes = digestAt + SHA256.bytes
    static let openingsPerBlock = (blockBytes - headBytes) / openingBytes
    /// Of the commits that SQLite makes meanwhile, one takes 20 to 30 ms from the one before it; 200 batches were seen in that time.
    static let blocks = 512
    private static let bytes = blocks * blockBytes
    /// Of what is free: on a disk with less there is no journal, and openings wait for the database's commit.
    private static let largestShare = 16
    /// "gopxopen"
    static let magic: UInt64 = 0x676f_7078_6f70_656e

    /// A row of `notes`.
    struct Mark: Hashable {
        let note: Int64
        let chain: Int64
    }

    private let descriptor: Int32
    private let mark: Mark
    private var files: WatchedFiles
    private let block = UnsafeMutableRawBufferPointer.allocate(
        byteCount: OpeningJournal.blockBytes, alignment: 4_096)
    private let digest = SHA256()
    /// The highest id in each block.
    private var highest = [Int64](repeating: 0, count: OpeningJournal.blocks)
    private var next = 0

    static func path(_ directory: String) -> String { "\(directory)/\(name)" }

    /// Nil where there is no room, or none can be made. What the file holds must be in the database.
    init?(directory: String, mark: Mark) {
        let path = Self.path(directory)
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return nil }
        FolderOwner.give(descriptor, in: directory)
        guard Self.makeRoom(descriptor, directory) else {
            close(descriptor)
            unlink(path)
            return nil
        }
        self.descriptor = descriptor
        self.mark = mark
        let database = "\(directory)/\(Store.fileName)"
        files = WatchedFiles([path, database, "\(database)-wal"])
        guard (try? files.check()) != nil else { return nil }
    }

    deinit {
        block.deallocate()
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
        let descriptor = open(path(directory), O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return }
        _ = clear(descriptor)
        close(descriptor)
    }

    // MARK: Writing

    enum Failure: Error {
        /// The database has to take what is in the ring first.
        case full
        /// Nothing is written to this file again: after a sync that failed the kernel may have forgotten pages, and answers the next
        /// sync as if all were well.
        case records(RecordsError)
    }

    /// On disk when it returns: one block. `written`: the last opening that the database has on disk.
    func write(_ openings: [Opened], written: Int64) throws(Failure) {
        precondition(openings.count <= Self.openingsPerBlock, "more openings than a block holds")
        guard highest[next] <= written else { throw .full }
        let place = next
        highest[place] = openings.last?.id ?? 0
        next = (next + 1) % Self.blocks
        fill(with: openings)
        do throws(RecordsError) {
            try put(at: place)
            try sync()
            // Moved away, it would be found by nobody.
            try files.check()
        } catch { throw .records(error) }
    }

    private func sync() throws(RecordsError) {
        while fdatasync(descriptor) != 0 {
            guard errno == EINTR else { throw .system(Self.name, "cannot sync it") }
        }
    }

    private func put(at place: Int) throws(RecordsError) {
        var count = -1
        repeat {
            count = pwrite(descriptor, block.baseAddress, Self.blockBytes, off_t(place * Self.blockBytes))
        } while count < 0 && errno == EINTR
        guard count == Self.blockBytes else { throw .system(Self.name, "cannot write it") }
    }

    private func fill(with openings: [Opened]) {
        func put(_ word: UInt64, at offset: Int) {
            block.storeBytes(of: word.bigEndian, toByteOffset: offset, as: UInt64.self)
        }
        put(Self.magic, at: 0)
        put(UInt64(openings.count), at: 8)
        put(UInt64(bitPattern: mark.note), at: 16)
        put(UInt64(bitPattern: mark.chain), at: 24)
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
        // What an earlier batch left.
        if offset < Self.blockBytes { memset(block.baseAddress! + offset, 0, Self.blockBytes - offset) }
    }
}
